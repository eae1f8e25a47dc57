// SPDX-License-Identifier: Apache-2.0
//! Refusals: an archive that is refused for its content, told from one that could not be unpacked this time.
//!
//! Invariant: an error of the system or an exceeded limit is never a [`Refused`]. So each further attempt with a
//! refused file gets the same answer.

use crate::fault::Fault;

/// Why an archive is not acceptable, or not the expected one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    /// Makes a refusal from the reason a worker has given.
    pub fn by_worker(why: String) -> Self {
        Self(why)
    }

    /// Makes a refusal from a fault, if that is the archive's own.
    pub fn of(fault: &Fault) -> Option<Self> {
        fault.is_contents().then(|| Self(fault.to_string()))
    }
}
