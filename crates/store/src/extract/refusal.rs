// SPDX-License-Identifier: Apache-2.0
//! Whether an archive was refused for what it is, or could not be unpacked this time.
//!
//! Invariant: [`Refused`] is never said for what the system or a limit is to blame for: whoever tries the same file
//! again gets the same answer.

use std::fmt;
use std::io;

use rustix::io::Errno;

use archive::Exceeded;

/// Why an archive is none that is accepted, or not the one that was expected.
#[derive(Debug)]
pub struct Refused(anyhow::Error);

impl Refused {
    /// By a worker, for this reason.
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

/// Tells what is the archive's own fault; says what raises a limit.
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
                // A write that wrote nothing has no number.
                let is_write = error.kind() == io::ErrorKind::WriteZero;
                error.raw_os_error().is_some() || is_write || archive::is_exhausted(error)
            })
    })
}
