// SPDX-License-Identifier: Apache-2.0
//! Errors of the kernel's, with the system call and the object that it failed on.

use std::ffi::OsStr;
use std::io;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt as _;

use pod::text::escape_bytes;
use rustix::io::Errno;

/// A system call that failed, with what there is to say of it. It is a pointer, which keeps every result small.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Failed>);

/// A failed system call.
///
/// The error number is its source, so that a chain of errors ends with the kernel's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} {object}")]
pub struct Failed {
    /// The name of the system call.
    pub call: &'static str,
    /// The object of the call, for people: an escaped path, or a word for an object without one.
    pub object: String,
    /// The kernel's error number.
    #[source]
    pub errno: Errno,
}

impl Error {
    /// Makes the error of a call.
    #[cold]
    #[inline(never)]
    pub fn new(call: &'static str, object: &OsStr, errno: Errno) -> Self {
        Self(Box::new(Failed { call, object: escape_bytes(object.as_bytes()), errno }))
    }
}

impl Deref for Error {
    type Target = Failed;

    fn deref(&self) -> &Failed {
        &self.0
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        error.errno
    }
}

/// Keeps the error number alone, since an [`io::Error`] can't have a number and a text.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        error.errno.into()
    }
}

/// Says which call a result is of, and which object it was called on.
pub trait CalledOn<T> {
    /// Adds the call's name and the path or name of its object to an error.
    ///
    /// # Errors
    /// Returns the same error, with these two.
    fn called_on(self, call: &'static str, object: impl AsRef<OsStr>) -> Result<T, Error>;
}

impl<T> CalledOn<T> for rustix::io::Result<T> {
    fn called_on(self, call: &'static str, object: impl AsRef<OsStr>) -> Result<T, Error> {
        self.map_err(|errno| Error::new(call, object.as_ref(), errno))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_names_call_and_object_and_ends_with_the_kernels_text() {
        let error = Err::<(), _>(Errno::NOENT).called_on("openat2", "a\x1b").unwrap_err();
        assert_eq!(error.to_string(), "openat2 \"a\\u{1b}\"");
        assert_eq!(error.source().unwrap().to_string(), Errno::NOENT.to_string());
        assert_eq!(io::Error::from(error).raw_os_error(), Some(Errno::NOENT.raw_os_error()));
    }
}
