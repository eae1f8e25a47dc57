// SPDX-License-Identifier: Apache-2.0
//! The attached pod: a process of this program that becomes a pod whose app has a terminal. The process that shows the
//! terminal is its parent ([`crate::console`]). When that one ends, the pod is asked to stop.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, Signal as KernelSignal, set_parent_process_death_signal, setpgid};
use sys::process::PROGRAM;

use crate::console::{self, Caller, Of, Show, Signals, Watched};
use crate::exit::Exit;
use crate::network_attendant;
use crate::pod_process::{self, InitOptions};
use crate::starter;

/// The name (`argv[0]`) under which this program becomes a pod of a parent that shows a terminal.
pub(crate) const NAME: &str = "gantry-attached";
/// The fourth word of a pod that shows what nspawn and systemd say.
const DEBUG: &str = "debug";

/// Runs a pod that gives this app a terminal, and shows it in the caller's one until the pod has ended.
///
/// `is_typed` says whether a stdin that is no terminal is typed there.
///
/// # Errors
/// If the process can't be started. Whether the pod starts is another matter.
pub(crate) fn run_pod(pod: &Path, app: &str, debug: bool, is_typed: bool) -> Result<Exit> {
    let signals = Signals::hold(Of::Pod)?;
    let caller = Caller::new()?;
    let (socket, theirs) = console::ends()?;
    let ((out, to_out), (error, to_error)) = (pipe()?, pipe()?);
    let mut show = Show::new(caller, Of::Pod, socket, Watched { others: [out, error], is_typed })?;
    if let Some(signal) = show.begin(&signals)? {
        return Ok(Exit::Interrupted(u8::try_from(signal as i32)?));
    }
    let mut command = Command::new(PROGRAM);
    command.arg0(NAME).arg(pod).arg(std::process::id().to_string()).arg(app).args(debug.then_some(DEBUG));
    command.env_clear().envs(std::env::var_os("TERM").map(|term| ("TERM", term)));
    command.envs(network_attendant::said()).current_dir("/");
    command.stdin(theirs).stdout(to_out).stderr(to_error);
    let child = command.spawn().context("cannot start a process for the pod")?;
    // It holds the pipes' other ends as well.
    drop(command);
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process has the id 0")?;
    Ok(Exit::Ended(console::code(show.until_end(child, &signals)?)))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (from, to) = io::pipe().context("cannot make a pipe")?;
    Ok((from.into(), to.into()))
}

/// Becomes the pod that `words` name.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let [pod, parent, app, rest @ ..] = words else {
        bail!("expected a pod directory, a process and an app")
    };
    let parent = parent.to_str().and_then(|parent| parent.parse().ok()).context("expected a process")?;
    // A signal from here on stays pending until `/init` takes it as a request to stop.
    let requests = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
    SigSet::from_iter(requests).thread_block().context("cannot hold signals back")?;
    set_parent_process_death_signal(Some(KernelSignal::TERM)).context("cannot end with the parent")?;
    if starter::parent(parent)?.is_none() {
        bail!("the process that shows the terminal has ended");
    }
    // The parent gets the signals to its own group, and passes on those that are for the pod.
    setpgid(None, None).context("cannot have a process group")?;
    let terminal = app.to_str().map(str::to_owned);
    let debug = rest.first().is_some_and(|word| word == DEBUG);
    match pod_process::exec(Path::new(pod), &InitOptions { debug, terminal })? {}
}
