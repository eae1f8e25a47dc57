// SPDX-License-Identifier: Apache-2.0
//! Faults: errors of the store's lower half, by whose fault they are. An archive or a tree is not what it must be; an
//! archive exceeds a limit; the system failed; or a signal has asked for the end.
//!
//! Callers act on that alone: content that is at fault is refused or taken out, and everything else may be tried again.
//! The display of a fault is the whole message, with everything it is within.

use std::fmt::Display;
use std::io;

use archive::Exceeded;
use report::Advice;
use rustix::io::Errno;
use sys::Interrupt;

/// An error, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The content is at fault: the archive's, the record's or the tree's.
    #[error("{0}")]
    Content(String),
    /// The archive asks for more than a limit allows. It is not at fault.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The system failed.
    #[error(transparent)]
    System(#[from] io::Error),
    /// A signal has asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// One of the above, at a part of the content or in a step of the work.
    #[error("{about}: {fault}")]
    Within {
        /// The part or step, for people.
        about: String,
        /// The fault itself.
        fault: Box<Self>,
    },
}

/// The result of work of the store's lower half.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// Returns the fault of content for this reason.
    pub fn content(why: impl Display) -> Self {
        Self::Content(why.to_string())
    }

    /// Returns the fault within a part of the content or a step of the work.
    pub fn at(self, about: impl Display) -> Self {
        Self::Within { about: about.to_string(), fault: Box::new(self) }
    }

    /// Returns the fault without what it is within.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Within { fault, .. } => fault.cause(),
            cause => cause,
        }
    }

    /// Returns the kernel's error number, if the system failed with one.
    pub fn errno(&self) -> Option<Errno> {
        match self.cause() {
            Self::System(error) => Errno::from_io_error(error),
            _ => None,
        }
    }

    /// Tells whether the content is at fault.
    pub fn is_contents(&self) -> bool {
        matches!(self.cause(), Self::Content(_))
    }
}

impl Advice for Fault {
    fn hint(&self) -> Option<String> {
        match self.cause() {
            Self::Exceeded(exceeded) => exceeded.hint(),
            _ => None,
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

impl From<sys::Error> for Fault {
    fn from(error: sys::Error) -> Self {
        Self::from(error.errno).at(error)
    }
}

impl From<archive::Error> for Fault {
    fn from(error: archive::Error) -> Self {
        use archive::Error;
        match error {
            Error::Refused(why) => Self::Content(why),
            Error::Exceeded(exceeded) => exceeded.into(),
            Error::System(error) => error.into(),
            Error::Interrupted => Self::Interrupted,
            Error::Within { about, error } => Self::from(*error).at(about),
        }
    }
}

impl From<pod::Error> for Fault {
    fn from(error: pod::Error) -> Self {
        Self::content(error)
    }
}

/// Says in which part of the content, or in which step, something failed.
pub(crate) trait Within<T> {
    /// Adds the part or step `about` to a fault.
    fn within<A: Display>(self, about: impl FnOnce() -> A) -> Result<T>;
}

impl<T, E: Into<Fault>> Within<T> for Result<T, E> {
    fn within<A: Display>(self, about: impl FnOnce() -> A) -> Result<T> {
        self.map_err(|error| error.into().at(about()))
    }
}

/// Turns what is missing into a fault of the content.
pub(crate) trait OrFault<T> {
    /// Returns the value; without one, the fault of content for this reason.
    fn or_fault<A: Display>(self, why: impl FnOnce() -> A) -> Result<T>;
}

impl<T> OrFault<T> for Option<T> {
    fn or_fault<A: Display>(self, why: impl FnOnce() -> A) -> Result<T> {
        self.ok_or_else(|| Fault::content(why()))
    }
}

/// Fails once a signal has asked for the end.
pub(crate) fn check(interrupt: &Interrupt) -> Result<()> {
    if interrupt.signal().is_some() { Err(Fault::Interrupted) } else { Ok(()) }
}

/// Returns from the function with a fault of the content.
macro_rules! refuse {
    ($($why:tt)*) => {
        return Err($crate::fault::Fault::Content(format!($($why)*)))
    };
}

/// Returns from the function with a fault of the content unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($why:tt)*) => {
        if !$condition {
            return Err($crate::fault::Fault::Content(format!($($why)*)));
        }
    };
}

pub(crate) use {ensure, refuse};
