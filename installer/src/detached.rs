// SPDX-License-Identifier: Apache-2.0
//! The detached pod: a process of this program that leaves the caller's session and becomes a pod.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use pods::logs::Logging;
use rustix::process::setsid;
use sys::process::PROGRAM;

use crate::network_attendant;
use crate::pod_process::{self, InitOptions};

/// The name (`argv[0]`) under which this program becomes a pod in the background.
pub(crate) const NAME: &str = "gantry-detached";
/// The second word of a detached pod that shows what nspawn and systemd say.
const DEBUG: &str = "debug";

/// Starts a pod in the background.
///
/// # Errors
/// If the process can't be started. Whether the pod starts is another matter.
pub(crate) fn start(pod: &Path, options: &InitOptions, logging: Logging) -> Result<Child> {
    let mut command = Command::new(PROGRAM);
    command.arg0(NAME).arg(pod).args(options.debug.then_some(DEBUG)).env_clear().current_dir("/");
    command.envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    command.envs(network_attendant::said());
    command.stdin(Stdio::null()).stdout(Stdio::from(logging.stdout)).stderr(Stdio::from(logging.stderr));
    command.spawn().context("cannot start a process for the pod")
}

/// Becomes the pod that `words` name.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let pod = words.first().context("expected a pod directory")?;
    setsid().context("cannot leave the caller's session")?;
    let debug = words.get(1).is_some_and(|word| word == DEBUG);
    match pod_process::exec(Path::new(pod), &InitOptions { debug, terminal: None })? {}
}
