// SPDX-License-Identifier: Apache-2.0
//! The names of directories in staging: ids, drawn at random.

use std::ffi::CString;
use std::io;

use pod::id::PodId;

use crate::fault::{Fault, Within as _};

/// The maximum number of attempts to draw an id that is not taken, and to make a staging directory that no sweep takes
/// for dead.
pub(super) const ATTEMPTS: usize = 64;

/// Returns the name of a staging directory.
pub(super) fn name_of(id: PodId) -> CString {
    CString::new(id.to_string()).expect("an id has no NUL")
}

pub(super) fn random() -> Result<[u8; 16], Fault> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other).within(|| "cannot get random bytes")?;
    Ok(random)
}
