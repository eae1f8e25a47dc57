// SPDX-License-Identifier: Apache-2.0
//! The process that enters a pod. It has one thread, so that it can change its namespaces; it forks, because a process
//! namespace is for children alone. The parent passes signals on, and ends as the child does.
//!
//! Invariant: the child executes nothing but the pod's own `/init`, by a descriptor that was checked, and that gives up
//! everything that the app does not have before it looks anything up in the app's root.

use std::ffi::{CString, OsString};
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use nix::fcntl::AtFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::execveat;
use pods::{Entrance, Pod};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Gid, Pid, Uid, WaitOptions, WaitStatus, setsid, waitpid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use store::DataDir;
use sys::process::{ForkResult, exit_at_once, fork, send};
use sys::{Interrupt, activation};

use crate::exit::Exit;
use crate::pod_process;
use crate::ui::Ui;

/// The name (`argv[0]`) under which this program enters a pod.
pub(crate) const NAME: &str = "gantry-enter";
/// The name by which the pod's `/init` is called then (`stage1-init/src/names.rs`).
const HELPER: &str = "enter";
/// Above every number of a descriptor that is passed on.
const OUT_OF_THE_WAY: i32 = 512;
/// The signals that are passed on.
const PASSED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
];

/// Enters the pod that `words` name, and returns the program's exit code.
pub(crate) fn run(words: &[OsString]) -> Result<u8> {
    let [pod, app, program @ ..] = words else { return Err(anyhow!("expected a pod, an app and a program")) };
    let app = app.to_str().filter(|app| !app.is_empty());
    let program: Vec<_> = program.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let pod = PathBuf::from(pod);
    let entrance = entrance(&pod, app, &program)?;
    let init = pod_process::program(&pod)?;
    let signals = SigSet::from_iter(PASSED);
    signals.thread_block().context("cannot hold signals back")?;
    let pipes = Pipes::for_terminals()?;
    entrance.enter_processes()?;
    match fork().context("cannot fork")? {
        ForkResult::Child => {
            let Err(error) = become_helper(&entrance, &init, &pipes);
            Ui.error(&error);
            exit_at_once(Exit::NoPod.code())
        }
        ForkResult::Parent { child } => {
            let child = Pid::from_raw(child.as_raw()).context("no process has the id 0")?;
            let pumps = pipes.pump()?;
            let ended = supervise(child, &signals)?;
            pumps.into_iter().for_each(|pump| drop(pump.join()));
            Ok(ended)
        }
    }
}

fn entrance(pod: &Path, app: Option<&str>, program: &[String]) -> Result<Entrance> {
    let name = pod.to_str().context("its path is no text: expected UTF-8")?;
    let (dir, id) = pods::Selector::parse(name).data_directory()?.context("expected a pod directory")?;
    let missing = || anyhow!("no pod {id}");
    let data_dir = DataDir::find(&dir, &Interrupt::default(), &Ui)?.with_context(missing)?;
    let pod = Pod::open(&data_dir, id)?.with_context(missing)?;
    Entrance::open(&pod, app, program)
}

/// Enters the pod, as its root, and becomes its helper.
fn become_helper(entrance: &Entrance, init: &OwnedFd, pipes: &Pipes) -> Result<std::convert::Infallible> {
    setsid().context("cannot leave the caller's session")?;
    entrance.enter()?;
    // In a user namespace of the pod's, this process is nobody until it says who it is.
    set_thread_groups(&[]).context("cannot give up groups")?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).context("cannot become the pod's root")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).context("cannot become the pod's root")?;
    if entrance.no_new_privileges {
        set_no_new_privs(true).context("cannot give up new privileges")?;
    }
    pipes.take()?;
    entrance.limit()?;
    SigSet::empty().thread_set_mask().context("cannot take signals")?;
    // Out of the way of what is passed on, whose number is fixed.
    let init = fcntl_dupfd_cloexec(init, OUT_OF_THE_WAY)?;
    let launch = entrance.launch.try_clone()?;
    activation::pass(vec![launch], 0..1, OUT_OF_THE_WAY).context("cannot pass on what to start")?;
    let words = [CString::new(HELPER)?];
    let environment: [CString; 0] = [];
    execveat(&init, c"", &words, &environment, AtFlags::AT_EMPTY_PATH).context("cannot execute /init")
}

/// Waits for the end of the child and passes signals on to it. Returns its exit code.
fn supervise(child: Pid, signals: &SigSet) -> Result<u8> {
    loop {
        if let Some((_, ended)) = waitpid(Some(child), WaitOptions::NOHANG).context("cannot wait")? {
            return Ok(code(ended));
        }
        match signals.wait().context("cannot wait for signals")? {
            Signal::SIGCHLD => {}
            // It may have ended.
            signal => drop(send(child, signal as i32)),
        }
    }
}

/// Returns the exit code, as a shell has it.
fn code(ended: WaitStatus) -> u8 {
    let signalled = || ended.terminating_signal().map(|signal| 128 + signal);
    ended.exit_status().or_else(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Pipes in place of terminals. A process of the app's could open a terminal that another one has, and read what is
/// typed; it can't do that with a pipe's other end.
struct Pipes {
    input: Option<(io::PipeReader, io::PipeWriter)>,
    outputs: [Option<(io::PipeReader, io::PipeWriter)>; 2],
}

impl Pipes {
    fn for_terminals() -> Result<Self> {
        let pipe = |is_terminal: bool| is_terminal.then(io::pipe).transpose().context("cannot make a pipe");
        Ok(Self {
            input: pipe(io::stdin().is_terminal())?,
            outputs: [pipe(io::stdout().is_terminal())?, pipe(io::stderr().is_terminal())?],
        })
    }

    /// Makes the ends for the program this process's stdio.
    fn take(&self) -> Result<()> {
        if let Some((reader, _)) = &self.input {
            rustix::stdio::dup2_stdin(reader)?;
        }
        if let Some((_, writer)) = &self.outputs[0] {
            rustix::stdio::dup2_stdout(writer)?;
        }
        if let Some((_, writer)) = &self.outputs[1] {
            rustix::stdio::dup2_stderr(writer)?;
        }
        Ok(())
    }

    /// Copies between the terminals and the pipes. Returns the threads that end when the program's output has.
    fn pump(self) -> Result<Vec<JoinHandle<()>>> {
        let mut pumps = Vec::new();
        if let Some((_, writer)) = self.input {
            let terminal: std::fs::File = io::stdin().as_fd().try_clone_to_owned()?.into();
            copy(terminal, writer)?;
        }
        let [out, error] = self.outputs;
        if let Some((reader, _)) = out {
            let terminal: std::fs::File = io::stdout().as_fd().try_clone_to_owned()?.into();
            pumps.push(copy(reader, terminal)?);
        }
        if let Some((reader, _)) = error {
            let terminal: std::fs::File = io::stderr().as_fd().try_clone_to_owned()?.into();
            pumps.push(copy(reader, terminal)?);
        }
        Ok(pumps)
    }
}

fn copy(mut from: impl Read + Send + 'static, mut to: impl Write + Send + 'static) -> Result<JoinHandle<()>> {
    let pump = thread::Builder::new().name("pump".into()).spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if to.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
    });
    pump.context("cannot start a thread")
}
