// SPDX-License-Identifier: Apache-2.0
//! Errors of the store: a case for each that a caller may branch on, and the way out for a person.
//!
//! The display of an error is the whole message, with everything it is within. It is no [`std::error::Error`]: the one
//! conversion to [`anyhow::Error`] keeps the hint, which a plain `?` on a standard error would lose.

use std::fmt::{self, Display};
use std::io;

use pod::id::TreeId;
use report::{Advice as _, hinted};
use rustix::io::Errno;
use sys::locks::Unlocked;

use crate::extract::Refused;
use crate::fault::Fault;
use crate::guarded;
use crate::info::TreeKind;
use crate::selector::{NoImage, Selector};
use crate::unremoved::{Mounted, Unremoved};

/// Why the store did not do what it was asked for.
#[derive(Debug)]
pub enum Error {
    /// The system failed, a limit was exceeded, a signal has asked for the end, or content is not what it must be.
    Fault(Fault),
    /// An archive is refused, and would be again.
    Refused(Refused),
    /// The process that unpacks an archive has failed, for this reason and perhaps with a way out.
    Worker(String, Option<String>),
    /// A tree in the store is not what it was when it was made.
    Damaged(TreeId, Fault),
    /// The store has this tree, and it is not of the kind that was asked for.
    OtherKind {
        /// The tree.
        id: TreeId,
        /// The kind that was asked for.
        expected: TreeKind,
        /// The kind that it is.
        found: TreeKind,
    },
    /// The store has no image that a selector means.
    NoImage(NoImage),
    /// A selector means several images.
    Ambiguous(Selector, Vec<TreeId>),
    /// Something stays, because it has a mount in it.
    Mounted(Mounted),
    /// Others than root can change where the path of DIR leads.
    Unguarded(guarded::Error),
    /// Others than root can write to a directory, or open it.
    Exposed {
        /// The reason: which users can do what there.
        why: String,
        /// The permissions that were expected, with the command that sets them.
        expected: &'static str,
    },
    /// A part of DIR is a file or a link.
    NoDirectory(&'static str),
    /// Other processes got in the way, each time.
    Contended(String),
    /// One of the above, in a step of the work.
    Within(String, Box<Self>),
}

/// The result of work of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Returns the error within a step of the work.
    #[must_use]
    pub fn at(self, about: impl Display) -> Self {
        Self::Within(about.to_string(), Box::new(self))
    }

    /// Returns the error without what it is within.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Within(_, error) => error.cause(),
            cause => cause,
        }
    }

    /// Returns what can be done about the error.
    pub fn hint(&self) -> Option<String> {
        match self.cause() {
            Self::Fault(fault) => fault.hint(),
            Self::Worker(_, hint) => hint.clone(),
            Self::Damaged(..) => {
                Some(format!("{} verify --repair sets it right, or takes it out", report::program()))
            }
            Self::NoImage(none) => none.hint(),
            Self::Unguarded(error) => error.hint(),
            Self::Exposed { expected, .. } => Some((*expected).to_owned()),
            Self::NoDirectory(_) => Some("--dir can name another directory".to_owned()),
            _ => None,
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::Worker(why, _) | Self::Exposed { why, .. } | Self::Contended(why) => f.write_str(why),
            Self::Damaged(id, fault) => write!(f, "tree {id} in the store is damaged: {fault}"),
            Self::OtherKind { id, expected, found } => {
                write!(f, "{id} is no {}: it is in the store as {}", expected.shown(), found.shown())
            }
            Self::NoImage(none) => none.fmt(f),
            Self::Ambiguous(selector, trees) => {
                let ids: Vec<_> = trees.iter().map(ToString::to_string).collect();
                let (shown, ids) = (selector.shown(), ids.join(" or "));
                write!(
                    f,
                    "{shown} could be several, {ids}: expected one image's id, or a name with its version"
                )
            }
            Self::Mounted(mounted) => mounted.fmt(f),
            Self::Unguarded(error) => match error {
                guarded::Error::Link(errno) => write!(f, "{error}: {errno}"),
                _ => error.fmt(f),
            },
            Self::NoDirectory(name) => write!(f, "{name} is a file or a link: expected a directory"),
            Self::Within(about, error) => write!(f, "{about}: {error}"),
        }
    }
}

impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        let hint = error.hint();
        let error = Self::msg(error.to_string());
        match hint {
            Some(hint) => hinted(error, hint),
            None => error,
        }
    }
}

/// Makes errors of these types faults.
macro_rules! faults {
    ($($error:ty),+) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Fault(error.into())
            }
        })+
    };
}

faults!(Fault, Errno, io::Error, pod::Error, sys::Error);

impl From<Unlocked> for Error {
    fn from(error: Unlocked) -> Self {
        Self::Fault(match error {
            Unlocked::Open(errno) => errno.into(),
            Unlocked::Lock(ref reason) => {
                Fault::System(io::Error::new(reason.kind(), reason.to_string())).at(error)
            }
            Unlocked::Replaced(errno) => Fault::from(errno).at(error),
        })
    }
}

impl From<Unremoved> for Error {
    fn from(error: Unremoved) -> Self {
        match error {
            Unremoved::Mounted(mounted) => Self::Mounted(mounted),
            Unremoved::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// Says in which step of the work something failed.
pub trait About<T> {
    /// Adds the step `about` to an error.
    ///
    /// # Errors
    /// Returns the same error, within the step.
    fn about<A: Display>(self, about: impl FnOnce() -> A) -> Result<T>;
}

impl<T, E: Into<Error>> About<T> for Result<T, E> {
    fn about<A: Display>(self, about: impl FnOnce() -> A) -> Result<T> {
        self.map_err(|error| error.into().at(about()))
    }
}
