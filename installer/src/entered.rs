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
use pods::{Entrance, Pod, Terminal};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Gid, Pid, Uid, WaitOptions, setsid, waitpid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use store::DataDir;
use store::listener::Listener as _;
use sys::process::{ForkResult, exit_at_once, fork, send};
use sys::{Interrupt, activation};

use crate::console::{self, Caller, Of, Show, Signals, Watched, code};
use crate::exit::Exit;
use crate::pod_process;
use crate::ui::Ui;

/// The name (`argv[0]`) under which this program enters a pod.
pub(crate) const NAME: &str = "gantry-enter";
/// The name by which the pod's `/init` is called then (`stage1-init/src/names.rs`).
const HELPER: &str = "enter";
/// The third word of a program that has the caller's stdio.
const PLAIN: &str = "plain";
/// The role of a program with a terminal, which shows the caller's.
const TERMINAL: &str = "terminal";
/// The role of a program with a terminal at which the caller's stdin, no terminal itself, is typed.
const TYPED: &str = "typed";
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

/// Returns the word for a program with a terminal or without, at which stdin is typed if it is no terminal.
pub(crate) fn how(has_terminal: bool, is_typed: bool) -> &'static str {
    match (has_terminal, is_typed) {
        (false, _) => PLAIN,
        (true, false) => TERMINAL,
        (true, true) => TYPED,
    }
}

/// Enters the pod that `words` name, and returns the program's exit code.
pub(crate) fn run(words: &[OsString]) -> Result<u8> {
    let [pod, app, how, program @ ..] = words else {
        return Err(anyhow!("expected a pod, an app, its stdin and a program"));
    };
    let app = app.to_str().filter(|app| !app.is_empty());
    let program: Vec<_> = program.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let pod = PathBuf::from(pod);
    let terminal = match how.to_str() {
        Some(PLAIN) => Terminal::None,
        _ => Terminal::Of(std::env::var("TERM").ok()),
    };
    let entrance = entrance(&pod, app, &program, terminal)?;
    let init = pod_process::program(&pod)?;
    if how != PLAIN {
        return at_terminal(&entrance, &init, how == TYPED);
    }
    let signals = SigSet::from_iter(PASSED);
    signals.thread_block().context("cannot hold signals back")?;
    let pipes = Pipes::for_terminals()?;
    entrance.enter_processes()?;
    match fork().context("cannot fork")? {
        ForkResult::Child => {
            let Err(error) = become_helper(&entrance, &init, || pipes.take(), None);
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

/// Enters a pod with a terminal for the program, and shows it in the caller's one until the program has ended.
fn at_terminal(entrance: &Entrance, init: &OwnedFd, is_typed: bool) -> Result<u8> {
    let signals = Signals::hold(Of::Program)?;
    if is_typed && !io::stdin().is_terminal() {
        Ui.warn("stdin is no terminal: what it has is typed at the program's terminal");
    }
    let (socket, theirs) = console::ends()?;
    let pipe = || io::pipe().context("cannot make a pipe");
    let ((out, to_out), (error, to_error)) = (pipe()?, pipe()?);
    let watched = Watched { others: [out.into(), error.into()], is_typed };
    let mut show = Show::new(Caller::new()?, Of::Program, socket, watched)?;
    if let Some(signal) = show.begin(&signals)? {
        return Ok(Exit::Interrupted(u8::try_from(signal as i32)?).code());
    }
    entrance.enter_processes()?;
    match fork().context("cannot fork")? {
        ForkResult::Child => {
            // The parent's copy gives the caller's terminal back.
            std::mem::forget(show);
            let stdio = || {
                rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
                rustix::stdio::dup2_stdout(&to_out)?;
                Ok(rustix::stdio::dup2_stderr(&to_error)?)
            };
            let Err(error) = become_helper(entrance, init, stdio, Some(theirs));
            Ui.error(&error);
            exit_at_once(Exit::NoPod.code())
        }
        ForkResult::Parent { child } => {
            drop((theirs, to_out, to_error));
            let child = Pid::from_raw(child.as_raw()).context("no process has the id 0")?;
            Ok(code(show.until_end(child, &signals)?))
        }
    }
}

fn entrance(pod: &Path, app: Option<&str>, program: &[String], terminal: Terminal) -> Result<Entrance> {
    let name = pod.to_str().context("its path is no text: expected UTF-8")?;
    let (dir, id) = pods::Selector::parse(name).data_directory()?.context("expected a pod directory")?;
    let missing = || anyhow!("no pod {id}");
    let data_dir = DataDir::find(&dir, &Interrupt::default(), &Ui)?.with_context(missing)?;
    let pod = Pod::open(&data_dir, id)?.with_context(missing)?;
    Entrance::open(&pod, app, program, terminal)
}

/// Enters the pod, as its root, and becomes its helper. `stdio` takes its stdio, and `socket` is for its terminal.
fn become_helper(
    entrance: &Entrance,
    init: &OwnedFd,
    stdio: impl FnOnce() -> Result<()>,
    socket: Option<OwnedFd>,
) -> Result<std::convert::Infallible> {
    setsid().context("cannot leave the caller's session")?;
    entrance.enter()?;
    // In a user namespace of the pod's, this process has no user until it takes one.
    set_thread_groups(&[]).context("cannot give up groups")?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).context("cannot become the pod's root")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).context("cannot become the pod's root")?;
    if entrance.no_new_privileges {
        set_no_new_privs(true).context("cannot give up new privileges")?;
    }
    stdio()?;
    entrance.limit()?;
    SigSet::empty().thread_set_mask().context("cannot take signals")?;
    // Out of the way of what is passed on, whose number is fixed.
    let init = fcntl_dupfd_cloexec(init, OUT_OF_THE_WAY)?;
    let passed: Vec<_> = [entrance.launch.try_clone()?].into_iter().chain(socket).collect();
    let count = passed.len();
    activation::pass(passed, 0..count, OUT_OF_THE_WAY).context("cannot pass on what to start")?;
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
