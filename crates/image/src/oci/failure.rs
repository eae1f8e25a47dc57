// SPDX-License-Identifier: Apache-2.0
//! Failures of work with an image: the image is refused, or the store or the system failed.
//!
//! The display of an error is the whole message. It is no [`std::error::Error`], as the store's is none: the one
//! conversion to [`anyhow::Error`] keeps the hint.

use std::fmt::{self, Display};
use std::io;

use rustix::io::Errno;
use store::fault::Fault;

use super::error::Error;

/// Why work with an image failed.
#[derive(Debug)]
pub enum Failure {
    /// The OCI image is refused, or can't be read.
    Image(Error),
    /// The image's manifest is not valid, or the store or the system failed.
    Store(store::Error),
}

/// The result of work with an image.
pub(super) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Image(error)
    }
}

/// Makes errors of these types the store's.
macro_rules! stores {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Store(error.into())
            }
        })+
    };
}

stores!(store::Error, Fault, Errno, io::Error);

impl From<Failure> for anyhow::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Image(error) => report::told(error),
            Failure::Store(error) => error.into(),
        }
    }
}
