// SPDX-License-Identifier: Apache-2.0
//! Stage1's `/init` and the helpers that run inside the pod: one static binary, called by many names.
//!
//! `/init` turns a prepared pod directory into a running pod and starts the bundled systemd-nspawn: load → localtime →
//! plan → apply → mounts → exec.
//!
//! Architecture invariant: the plan is pure; nothing of the host's userland is used; and no Gantry process does the
//! pod's work. One Gantry process takes the requests to stop the pod, another removes what is left of it.

mod apply;
mod args;
mod cgroup;
mod clear;
pub mod dry_run;
mod failure;
mod feed;
mod filesystem;
mod halt;
pub mod host;
mod in_pod;
mod in_root;
mod inotify;
mod job;
pub mod launch;
mod load;
mod localtime;
mod lock;
mod mounts;
mod nspawn;
mod outcome;
mod overlay;
pub mod plan;
mod reaper;
mod rlimits;
mod roots;
mod sockets;
mod start;
mod statuses;
mod stdio;
mod store;
mod supervisor;
mod sys;
mod terminal;
mod trees;
mod unit;
mod volumes;

pub use load::{Credentials, Loaded, load};
pub use statuses::Writes;
pub use store::Store;
pub use trees::{Lower, Tree};

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program that it was called as: the in-pod helper of that name, or `/init` for any other name.
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let called = args.next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    if matches!(name.to_str(), Some(in_pod::MOUNTS | in_pod::STATUS | in_pod::EXIT_CODE)) {
        in_pod::outlive_requests();
    }
    match name.to_str() {
        Some(in_pod::LAUNCH) => in_pod::launch::run(),
        Some(in_pod::MOUNTS) => in_pod::mounts::run(),
        Some(in_pod::STATUS) => in_pod::status::run(&args),
        Some(in_pod::EXIT_CODE) => in_pod::status::exit_code(),
        _ => start::run(&args),
    }
}
