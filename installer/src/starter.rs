// SPDX-License-Identifier: Apache-2.0
//! Finds the process that has started an attendant.

use anyhow::Result;
use pods::Process;
use rustix::process::getppid;

/// Opens this process's parent. `number` was the parent's id when it started this process. Returns `None` if the parent has
/// ended since: another process is the parent then.
pub(crate) fn parent(number: u32) -> Result<Option<Process>> {
    let is_parent = || getppid().is_some_and(|now| now.as_raw_nonzero().get().unsigned_abs() == number);
    if !is_parent() {
        return Ok(None);
    }
    let process = Process::of_family(number)?;
    // It was the parent all the time, or the number may be another process's.
    Ok(is_parent().then_some(process))
}
