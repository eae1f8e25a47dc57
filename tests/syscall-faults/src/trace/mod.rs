// SPDX-License-Identifier: Apache-2.0
//! Runs programs one system call at a time. Changes to file systems are counted. At any call that makes one, the
//! program can be killed, or the call can be made to fail.
//!
//! All threads and children are followed (ptrace(2)). Invariants: a call that is made to fail, or at whose entry the
//! program is killed, is not executed; when [`run`] returns, none of the program's processes is left.

mod calls;
mod counts;
mod event;
mod fault;
mod point;
mod registers;
mod tracer;

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

pub use counts::Counts;
pub use event::{Done, End, Event, Id};
pub use fault::Fault;
pub use point::{Point, Points};

use tracer::Tracer;

pub(crate) use registers::Registers;
pub(crate) use tracer::{PATIENCE, follow};

/// How a program ended, and what it did until then.
#[derive(Debug)]
pub struct Run {
    /// The exit code; `None` if it was killed.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How many system calls it made, of any kind.
    pub calls: usize,
    /// What it did that takes time.
    pub counts: Counts,
    /// What it did, in order.
    pub events: Vec<Event>,
    /// The index in `events` of the first event that a fault replaced.
    pub fault: Option<usize>,
}

impl Run {
    /// Returns the event that a fault replaced.
    pub fn fault(&self) -> Option<&Event> {
        self.fault.map(|index| &self.events[index])
    }

    /// Returns the number of calls that changed something.
    pub fn points(&self) -> usize {
        self.events.iter().filter(|event| event.number > 0).count()
    }
}

/// Runs a program to its end, without stdin and with only the environment that `command` sets.
///
/// `decide` is called at the entry of each call that changes something. The program's output has to fit into a pipe.
///
/// # Errors
/// Fails if the program can't be traced, or hangs.
pub fn run(command: &Command, decide: impl FnMut(&Event) -> Option<Fault>) -> Result<Run> {
    let mut child = start(command).context("cannot start the program")?;
    let root = Pid::from_raw(child.id().try_into()?);
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(root, options).context("cannot trace the program")?;
    child.stdin.take().context("stdin is piped")?.write_all(b"\n")?;
    let mut tracer = Tracer::new(root, decide);
    tracer.trace()?;
    let (stdout, stderr) = (read(child.stdout.take())?, read(child.stderr.take())?);
    let Tracer { code, calls, counts, events, fault, .. } = tracer;
    Ok(Run { code, stdout, stderr, calls, counts, events, fault })
}

/// Starts a shell that waits for a line and then becomes the program. The line is sent once the shell is traced.
pub(crate) fn start(command: &Command) -> io::Result<Child> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "read -r go && exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn read(pipe: Option<impl Read>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
