// SPDX-License-Identifier: Apache-2.0
//! Tells an archive that is refused for its content from one that could not be unpacked this time.
//!
//! Invariant: an error of the system or an exceeded limit is never a [`Refused`]. So each further attempt with a
//! refused file gets the same answer.

use std::fmt;
use std::io;

use rustix::io::Errno;

use archive::Exceeded;

/// Why an archive is not acceptable, or not the expected one.
#[derive(Debug)]
pub struct Refused(anyhow::Error);

impl Refused {
    /// Makes a refusal from the reason a worker has given.
    pub fn by_worker(why: String) -> Self {
        Self(anyhow::Error::msg(why))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

// No `source`: the display holds the whole chain already.
impl std::error::Error for Refused {}

/// Turns an error that is the archive's own fault into a [`Refused`]. An error from a limit gets a hint to the flag
/// that raises it.
pub(super) fn judge(error: anyhow::Error) -> anyhow::Error {
    match Exceeded::by(&error) {
        Some(Some(flag)) => report::hinted(error, format!("{flag} raises it")),
        Some(None) => error,
        None if is_the_systems(&error) => error,
        None => Refused(error).into(),
    }
}

fn is_the_systems(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        cause.is::<Errno>()
            || io.is_some_and(|error| {
                // A write that wrote nothing has no errno.
                let is_write = error.kind() == io::ErrorKind::WriteZero;
                error.raw_os_error().is_some() || is_write || archive::is_exhausted(error)
            })
    })
}
