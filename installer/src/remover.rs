// SPDX-License-Identifier: Apache-2.0
//! The remover: a process of this program that waits for the end of a pod that is to be removed then, and removes it.
//! Where it is killed, `gc` removes the pod.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use pods::Pod;
use rustix::process::{chdir, getppid, setsid};
use store::DataDir;
use sys::Interrupt;

use crate::ui::Ui;

/// The name (`argv[0]`) under which this program removes a pod.
pub(crate) const NAME: &str = "gantry-remover";
/// This program's file, even if it was replaced or removed meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// Starts the remover of a pod that this process is about to become.
///
/// # Errors
/// If it can't be started.
pub(crate) fn start(pod: &Path) -> Result<()> {
    let mut command = Command::new(PROGRAM);
    command.arg0(NAME).arg(pod).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).context("cannot start what removes the pod")
}

/// Removes the pod that `words` name, when this process's parent has ended.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let path = PathBuf::from(words.first().context("expected a pod directory")?);
    setsid().context("cannot leave the caller's session")?;
    chdir("/")?;
    // If it has ended already, another process is the parent by now, and this one waits for too long: gc is faster.
    let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get().unsigned_abs());
    let process = pods::Process::of_family(parent)?;
    process.wait()?;
    let name = path.to_string_lossy();
    let selector = pods::Selector::parse(&name);
    let (dir, id) = selector.data_directory()?.context("expected a pod directory")?;
    let interrupt = Interrupt::default();
    let Some(data_dir) = DataDir::find(&dir, &interrupt, &Ui)? else { return Ok(()) };
    let Some(pod) = Pod::open(&data_dir, id)? else { return Ok(()) };
    pods::wait(&pod, None, &interrupt)?;
    // Somebody who reads the logs, or has started the pod again, is left alone: gc removes it then.
    let _ = pods::remove(&data_dir, pod)?;
    Ok(())
}
