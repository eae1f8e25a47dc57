// SPDX-License-Identifier: Apache-2.0
//! Whether the pod's systemd can have an inotify instance. A user has few of them (128 by default), and without one for
//! its cgroups systemd ends with 255 before it could say why. It takes three more, and does without (252, measured).
//!
//! There is no way to ask whether one is left but to take it. Two starts may find the same one, so where a pod ends
//! without a code this is looked at again.

use std::fs;

use anyhow::{Result, ensure};
use rustix::fs::inotify::{CreateFlags, init};
use rustix::io::{Errno, dup};

const LIMIT: &str = "fs.inotify.max_user_instances";
/// How many a pod takes while it starts.
const TAKEN: u64 = 4;
/// systemd's code where it can't go on (exit-status.h, `EXIT_EXCEPTION`).
const EXCEPTION: i32 = 255;

/// Fails where none is left.
pub(crate) fn check() -> Result<()> {
    ensure!(is_left(), "no inotify instance is left for the pod, which takes {TAKEN}: {}", way_out(&limit()));
    Ok(())
}

/// What there is to say of them where a pod ended with nspawn's code `code` and none of its own.
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
        // The error is the same where this process can have no more descriptors.
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
