// SPDX-License-Identifier: Apache-2.0
//! Errors of archives: an archive is refused for what it is, exceeds a limit, or could not be read this time.

use std::fmt::Display;
use std::io;

use crate::limits::Exceeded;

/// The reason why an archive was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive can't be accepted: it is malformed, cut or ambiguous, or has what no tree may have. Each further
    /// attempt ends in the same way.
    #[error("{0}")]
    Refused(String),
    /// The archive asks for more than a limit allows. It is not at fault.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The file can't be read, or the system had no memory for the decoder.
    #[error(transparent)]
    System(io::Error),
    /// A signal has asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// One of the above, in a part of the archive.
    #[error("{about}: {error}")]
    Within {
        /// The part, for people.
        about: String,
        /// The error itself.
        error: Box<Self>,
    },
}

/// The result of reading an archive.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns a refusal for this reason.
    pub fn refused(why: impl Display) -> Self {
        Self::Refused(why.to_string())
    }

    /// Returns the error without the parts of the archive around it.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Within { error, .. } => error.cause(),
            cause => cause,
        }
    }

    /// Returns what can be done about the error.
    pub fn hint(&self) -> Option<String> {
        match self.cause() {
            Self::Exceeded(exceeded) => exceeded.hint(),
            _ => None,
        }
    }
}

/// Decoders report malformed data by errors without a number of the system's.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::OutOfMemory {
            Self::System(error)
        } else {
            Self::refused(error)
        }
    }
}

impl From<pod::Error> for Error {
    fn from(error: pod::Error) -> Self {
        Self::refused(error)
    }
}

/// For readers outside of this crate that need no more than the message.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::System(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// Says in which part of an archive an error is.
pub trait Within<T> {
    /// Adds the part `about` to an error.
    ///
    /// # Errors
    /// Returns the same error, in that part.
    fn within<A: Display>(self, about: impl FnOnce() -> A) -> Result<T>;
}

impl<T, E: Into<Error>> Within<T> for Result<T, E> {
    fn within<A: Display>(self, about: impl FnOnce() -> A) -> Result<T> {
        self.map_err(|error| Error::Within { about: about().to_string(), error: Box::new(error.into()) })
    }
}

/// Returns from the function with a refusal.
macro_rules! refuse {
    ($($why:tt)*) => {
        return Err($crate::error::Error::Refused(format!($($why)*)).into())
    };
}

/// Returns from the function with a refusal, or with the given error, unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $why:literal $($rest:tt)*) => {
        if !$condition {
            return Err($crate::error::Error::Refused(format!($why $($rest)*)).into());
        }
    };
    ($condition:expr, $error:expr) => {
        if !$condition {
            return Err($error.into());
        }
    };
}

pub(crate) use {ensure, refuse};
