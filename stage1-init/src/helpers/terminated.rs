// SPDX-License-Identifier: Apache-2.0
//! Decides whether an app has failed that SIGTERM ended before the pod was asked to stop. Only the first app to fail
//! matters.
//!
//! If all of the pod's processes get SIGTERM, the request to stop the pod may arrive right after the app's end. Then
//! the app did as it was asked. So such an end leaves a marker file of its own, and the decision waits until the pod's
//! end.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::exchange::outcome::PODS;
use crate::names::TERMINATED;

/// How long after such an end the request may come.
const TOGETHER: Duration = Duration::from_millis(500);
/// How often the request is looked for meanwhile.
const STEP: Duration = Duration::from_millis(10);

/// Tells whether there is such an end without a request. Waits while a request may still come.
pub(super) fn is_failure() -> io::Result<bool> {
    match fs::metadata(TERMINATED) {
        Ok(sign) => Ok(!asked_with(sign.modified()?)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether the pod's process was asked to stop before that end, or so soon after it that one sender signalled
/// both.
fn asked_with(ended: SystemTime) -> io::Result<bool> {
    loop {
        if let Some(asked) = PODS.asked()? {
            return Ok(asked.duration_since(ended).unwrap_or_default() <= TOGETHER);
        }
        // The clock may be changed meanwhile.
        if ended.elapsed().map_or(true, |passed| passed > TOGETHER) {
            return Ok(false);
        }
        sleep(STEP);
    }
}
