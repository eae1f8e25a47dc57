// SPDX-License-Identifier: Apache-2.0
//! The remover: a process of this program that waits for the end of a pod that is to be removed then, and removes it.
//! Where it is killed, `gc` removes the pod.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use pods::Pod;
use rustix::process::{chdir, setsid};
use store::DataDir;
use sys::Interrupt;
use sys::process::PROGRAM;

use crate::starter;
use crate::ui::Ui;

/// The name (`argv[0]`) under which this program removes a pod.
pub(crate) const NAME: &str = "gantry-remover";

/// Starts the remover of a pod that this process is about to become.
///
/// # Errors
/// If it can't be started.
pub(crate) fn start(pod: &Path) -> Result<()> {
    let mut command = Command::new(PROGRAM);
    command.arg0(NAME).arg(pod).arg(std::process::id().to_string()).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).context("cannot start the process that removes the pod")
}

/// Removes the pod that `words` name, when this process's parent, which they name, too, has ended.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let [path, parent] = words else { bail!("expected a pod directory and a process") };
    let path = PathBuf::from(path);
    let parent = parent.to_str().and_then(|parent| parent.parse().ok()).context("expected a process")?;
    setsid().context("cannot leave the caller's session")?;
    chdir("/")?;
    if let Some(parent) = starter::parent(parent)? {
        parent.wait()?;
    }
    let name = path.to_string_lossy();
    let selector = pods::Selector::parse(&name);
    let (dir, id) = selector.data_directory()?.context("expected a pod directory")?;
    let interrupt = Interrupt::default();
    let Some(data_dir) = DataDir::find(&dir, &interrupt, &Ui)? else { return Ok(()) };
    let Some(pod) = Pod::open(&data_dir, id)? else { return Ok(()) };
    pods::wait(&pod, None, &interrupt)?;
    // If a command has the pod locked, or it was started again, it stays. gc removes it then.
    let _ = pods::remove(&data_dir, pod)?;
    Ok(())
}

/// Removes a pod that could not be started, maybe because this process was interrupted. One that runs all the same is left to
/// its remover.
///
/// # Errors
/// If that fails.
pub(crate) fn remove(pod: &Path, dir: &Path) -> Result<()> {
    let interrupt = Interrupt::default();
    let Some(data_dir) = DataDir::find(dir, &interrupt, &Ui)? else { return Ok(()) };
    let id =
        pod.file_name().and_then(|name| name.to_str()?.parse().ok()).context("expected a pod directory")?;
    let Some(pod) = Pod::open(&data_dir, id)? else { return Ok(()) };
    let _ = pods::remove(&data_dir, pod)?;
    Ok(())
}
