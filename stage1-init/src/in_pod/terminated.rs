// SPDX-License-Identifier: Apache-2.0
//! An app that SIGTERM ended before the pod was being stopped, as the first to fail.
//!
//! Where all of the pod's processes get SIGTERM, the request to stop the pod may come right after such an end, which was
//! asked for then. So it leaves a sign of its own, and the pod's end decides what it was.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::outcome::PODS;

/// The sign, with the app's status.
pub(super) const TERMINATED: &str = "/run/gantry-terminated";
/// As long after such an end may the request come.
const TOGETHER: Duration = Duration::from_millis(500);
/// How often it is looked for meanwhile.
const STEP: Duration = Duration::from_millis(10);

/// Tells whether there is such an end that nobody has asked for. Waits as long as that is open.
pub(super) fn is_failure() -> io::Result<bool> {
    match fs::metadata(TERMINATED) {
        Ok(sign) => Ok(!asked_with(sign.modified()?)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether the pod's process was asked before that end, or so soon after it that one sender signalled both.
fn asked_with(ended: SystemTime) -> io::Result<bool> {
    loop {
        if let Some(asked) = PODS.asked()? {
            return Ok(asked.duration_since(ended).unwrap_or_default() <= TOGETHER);
        }
        // The clock may be set meanwhile.
        if ended.elapsed().map_or(true, |passed| passed > TOGETHER) {
            return Ok(false);
        }
        sleep(STEP);
    }
}
