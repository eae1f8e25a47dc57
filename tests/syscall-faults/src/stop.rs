// SPDX-License-Identifier: Apache-2.0
//! Runs `/init`, and lets a test do something while one of its processes, or one of the pod's, is about to make a system call.
//!
//! The call is made afterwards, unless the test has killed its process. Calls are counted from the beginning of the process's
//! program, or of the process itself; what comes after another program is executed doesn't count. Nothing is slowed down but what is
//! counted, so the rest of the pod does what it always does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::trace::{PATIENCE, Registers, follow, start};

/// Whose calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of `/init`.
    Init,
    /// Those of the process that becomes nspawn, until it does. It is the one that is made in a cgroup (clone3(2)).
    Nspawn,
    /// Those of the boot program, until it becomes systemd.
    Boot,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Whether there was such a call.
    pub reached: bool,
    /// `/init`'s exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<Signal>,
    /// The names of the programs that were executed, in order; of [`Whose::Init`], that alone.
    pub programs: Vec<String>,
    /// What the pod wrote to stdout.
    pub stdout: String,
    /// What it and `/init` wrote to stderr.
    pub stderr: String,
}

/// Runs a command, which is `/init`, to its end. Calls `act` with the number of its process when the call of this number, from 1, is about
/// to be made. What the pod writes has to fit into a pipe.
///
/// # Errors
/// Fails if the program can't be traced, or hangs.
pub fn at(command: &Command, whose: Whose, number: usize, act: impl FnOnce(Pid)) -> Result<Ended> {
    let mut child = start(command).context("cannot start the program")?;
    let root = Pid::from_raw(child.id().try_into()?);
    let mut options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL;
    if whose != Whose::Init {
        options |= Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    }
    ptrace::seize(root, options).context("cannot trace the program")?;
    child.stdin.take().context("stdin is piped")?.write_all(b"\n")?;

    let (done, watched) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || match watched.recv_timeout(PATIENCE) {
        // What is left of the pod ends with its process.
        Err(RecvTimeoutError::Timeout) => kill(root, Signal::SIGKILL).is_ok(),
        _ => false,
    });
    let (act, programs) = (Some(act), Vec::new());
    let mut follower = Follower { root, whose, number, act, counted: None, programs, end: None };
    let followed = follow(|status| follower.handle(status));
    let mut ended = Ended {
        reached: follower.act.is_none(),
        code: None,
        signal: None,
        programs: std::mem::take(&mut follower.programs),
        stdout: String::new(),
        stderr: String::new(),
    };
    if followed.is_ok() {
        child.stdout.take().context("stdout is piped")?.read_to_string(&mut ended.stdout)?;
        child.stderr.take().context("stderr is piped")?.read_to_string(&mut ended.stderr)?;
    }
    drop(done);
    if watchdog.join().unwrap_or(true) {
        bail!("the program hangs at call {number} of {whose:?}: {ended:?}");
    }
    followed?;
    match follower.end.context("its end was not seen")? {
        WaitStatus::Exited(_, code) => ended.code = Some(code),
        WaitStatus::Signaled(_, signal, _) => ended.signal = Some(signal),
        other => bail!("{other:?} is no end"),
    }
    Ok(ended)
}

/// The process whose calls are counted.
struct Counted {
    process: Pid,
    /// How many it has begun.
    calls: usize,
    /// Whether it is in one. Its stops at calls alternate between entry and exit (ptrace(2), "Syscall-stops").
    is_in_call: bool,
}

struct Follower<A> {
    root: Pid,
    whose: Whose,
    number: usize,
    /// What is to be done, until it is done.
    act: Option<A>,
    counted: Option<Counted>,
    programs: Vec<String>,
    end: Option<WaitStatus>,
}

impl<A: FnOnce(Pid)> Follower<A> {
    fn handle(&mut self, status: WaitStatus) -> nix::Result<()> {
        let (process, signal) = match status {
            WaitStatus::Exited(process, _) | WaitStatus::Signaled(process, ..) => {
                if process == self.root {
                    self.end = Some(status);
                }
                return Ok(());
            }
            WaitStatus::PtraceSyscall(process) => {
                self.at_call(process);
                (process, None)
            }
            WaitStatus::PtraceEvent(process, _, event) => {
                self.at_event(process, event)?;
                (process, None)
            }
            WaitStatus::Stopped(process, signal) => (process, Some(signal)),
            _ => return Ok(()),
        };
        if self.counted.as_ref().is_some_and(|counted| counted.process == process) {
            ptrace::syscall(process, signal)
        } else {
            ptrace::cont(process, signal)
        }
    }

    fn at_event(&mut self, process: Pid, event: i32) -> nix::Result<()> {
        if event == Event::PTRACE_EVENT_EXEC as i32 {
            let is_first = self.counted.is_none() && self.act.is_some();
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            let begins = match self.whose {
                // Not the shell, whose own beginning may be seen, too.
                Whose::Init => process == self.root && name == "init\n",
                Whose::Nspawn => false,
                Whose::Boot => name == "boot\n",
            };
            if name != "sh\n" || process != self.root {
                self.programs.push(name.trim_end().to_owned());
            }
            let was_counted = self.counted.take_if(|counted| counted.process == process).is_some();
            if begins && is_first && !was_counted {
                // The exit from the call follows.
                self.counted = Some(Counted { process, calls: 0, is_in_call: true });
            }
        } else if event != EVENT_STOP && process == self.root && self.whose == Whose::Nspawn {
            let call =
                syscalls::Sysno::new(usize::try_from(Registers::read(process)?.number()).unwrap_or_default());
            if call == Some(syscalls::Sysno::clone3) {
                let process = i32::try_from(ptrace::getevent(process)?).map_err(|_| Errno::ERANGE)?;
                self.counted = Some(Counted { process: Pid::from_raw(process), calls: 0, is_in_call: false });
            }
        }
        Ok(())
    }

    fn at_call(&mut self, process: Pid) {
        let Some(counted) = self.counted.as_mut().filter(|counted| counted.process == process) else {
            return;
        };
        counted.is_in_call = !counted.is_in_call;
        if counted.is_in_call {
            counted.calls += 1;
            if counted.calls == self.number {
                self.counted = None;
                self.act.take().into_iter().for_each(|act| act(self.root));
            }
        }
    }
}

/// The event that wait(2) reports for a new process, and for one that is stopped.
const EVENT_STOP: i32 = Event::PTRACE_EVENT_STOP as i32;
