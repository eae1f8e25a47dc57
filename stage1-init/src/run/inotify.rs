// SPDX-License-Identifier: Apache-2.0
//! Checks whether an inotify instance is left for the pod's systemd.
//!
//! A user has few instances (128 by default). systemd needs one for its cgroups; without it, systemd ends with 255
//! before it can report why. It uses three more, but works without them (measured with 252).
//!
//! The only way to find out whether an instance is left is to take one. Two starts may find the same one, so the check
//! is repeated when a pod ends without an exit code.

use std::fs;

use anyhow::{Result, ensure};
use rustix::fs::inotify::{CreateFlags, init};
use rustix::io::{Errno, dup};

const LIMIT: &str = "fs.inotify.max_user_instances";
/// How many instances a pod takes while it starts.
const TAKEN: u64 = 4;
/// systemd's exit code when it can't go on (exit-status.h, `EXIT_EXCEPTION`).
const EXCEPTION: i32 = 255;

/// Fails if no instance is left.
pub(crate) fn check() -> Result<()> {
    ensure!(is_left(), "no inotify instance is left for the pod, which takes {TAKEN}: {}", way_out(&limit()));
    Ok(())
}

/// Explains the end of a pod that recorded no exit code, if inotify instances may be the cause.
///
/// `code` is the exit code of nspawn.
pub(crate) fn reason(code: Option<i32>) -> Option<String> {
    match check() {
        Err(error) => Some(error.to_string()),
        Ok(()) if code == Some(EXCEPTION) => {
            Some(format!("inotify instances may have run out: {}", way_out(&limit())))
        }
        Ok(()) => None,
    }
}

fn is_left() -> bool {
    match init(CreateFlags::CLOEXEC) {
        // The kernel reports the same error if this process has no descriptor left.
        Err(Errno::MFILE) => dup(std::io::stderr()).is_err(),
        _ => true,
    }
}

fn limit() -> String {
    let limit = fs::read_to_string(format!("/proc/sys/{}", LIMIT.replace('.', "/")));
    limit.map_or(String::new(), |limit| limit.trim().to_owned())
}

fn way_out(limit: &str) -> String {
    match limit.parse::<u64>() {
        Ok(number) => {
            let more = number.saturating_mul(2).max(TAKEN);
            format!("{LIMIT} is {number}, so raise it, as with sysctl -w {LIMIT}={more}")
        }
        Err(_) => format!("raise {LIMIT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_a_command() {
        let expected = "fs.inotify.max_user_instances is 128, so raise it, as with sysctl -w \
                        fs.inotify.max_user_instances=256";
        assert_eq!(way_out("128"), expected);
        assert_eq!(way_out("?"), "raise fs.inotify.max_user_instances");
    }
}
