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
mod enter;
mod exchange;
mod failure;
mod helpers;
mod load;
mod names;
pub mod plan;
mod run;
mod start;

pub use exchange::launch_file;
pub use exchange::statuses::Writes;
pub use load::host;
pub use load::ids;
pub use load::metadata;
pub use load::network;
pub use load::store::Store;
pub use load::trees::{Lower, Tree};
pub use load::zone::{Zone, ZoneLink};
pub use load::{Documents, Loaded, load};
pub use plan::dry_run;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the program that it was called as: the in-pod helper of that name, or `/init` for any other name.
pub fn run(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let called = args.next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    if matches!(name.to_str(), Some(names::BOOT | names::METADATA | names::STATUS | names::EXIT_CODE)) {
        helpers::outlive_requests();
    }
    match name.to_str() {
        Some(names::LAUNCH) => helpers::launch::run(),
        Some(names::ENTER) => helpers::launch::enter(),
        Some(names::BOOT) => helpers::boot::run(&args),
        Some(names::METADATA) => helpers::metadata::run(&args),
        Some(names::STATUS) => helpers::status::run(&args),
        Some(names::EXIT_CODE) => helpers::status::exit_code(&args),
        _ => start::run(&args),
    }
}
