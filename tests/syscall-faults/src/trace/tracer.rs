// SPDX-License-Identifier: Apache-2.0
//! Follows a program's threads from one stop to the next.
//!
//! Invariant: a thread's stops at calls alternate between entry and exit, beginning with an entry (ptrace(2),
//! "Syscall-stops").

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::Rule;
use super::counts::Counts;
use super::event::{At, Done, End, Event};
use super::fault::Fault;
use super::registers::Registers;

/// A program that runs longer counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The event that wait(2) reports for a thread that has executed another program.
const EXEC: i32 = ptrace::Event::PTRACE_EVENT_EXEC as i32;
/// The events that are reported for a thread that makes another.
const MAKES: [i32; 3] = [
    ptrace::Event::PTRACE_EVENT_FORK as i32,
    ptrace::Event::PTRACE_EVENT_VFORK as i32,
    ptrace::Event::PTRACE_EVENT_CLONE as i32,
];

/// A call that a thread has entered and not left yet.
struct Entered {
    /// The index of the call's event and its rule, if it has an event.
    event: Option<(usize, Rule)>,
    registers: Registers,
    /// The error that replaces the call's result.
    error: Option<Errno>,
}

/// All threads, each with the call it is in, if any.
type Threads = HashMap<Pid, Option<Entered>>;

/// The state of tracing one program.
pub(super) struct Tracer<F> {
    root: Pid,
    decide: F,
    threads: Arc<Mutex<Threads>>,
    clock: usize,
    points: usize,
    pub(super) calls: usize,
    pub(super) counts: Counts,
    pub(super) events: Vec<Event>,
    pub(super) fault: Option<usize>,
    killed: bool,
    pub(super) code: Option<i32>,
}

impl<F: FnMut(&Event) -> Option<Fault>> Tracer<F> {
    pub(super) fn new(root: Pid, decide: F) -> Self {
        let threads = Arc::new(Mutex::new(Threads::from([(root, None)])));
        let events = Vec::new();
        Self {
            root,
            decide,
            threads,
            clock: 0,
            points: 0,
            calls: 0,
            counts: Counts::default(),
            events,
            fault: None,
            killed: false,
            code: None,
        }
    }

    /// Traces until no thread is left. Kills a program that hangs.
    pub(super) fn trace(&mut self) -> Result<()> {
        let (done, watched) = mpsc::channel::<()>();
        let threads = Arc::clone(&self.threads);
        let watchdog = thread::spawn(move || match watched.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => {
                kill_all(&threads);
                true
            }
            _ => false,
        });
        let traced = follow(|status| self.handle(status));
        drop(done);
        match watchdog.join() {
            Ok(false) => traced,
            _ => bail!("the program hangs; the last it did: {:?}", self.events.iter().rev().take(5)),
        }
    }

    fn handle(&mut self, status: WaitStatus) -> nix::Result<()> {
        self.clock += 1;
        match status {
            WaitStatus::Exited(thread, code) => {
                self.forget(thread, Some(code));
                Ok(())
            }
            WaitStatus::Signaled(thread, ..) => {
                self.forget(thread, None);
                Ok(())
            }
            WaitStatus::PtraceSyscall(thread) => self.at_call(thread),
            WaitStatus::PtraceEvent(thread, _, EXEC) => {
                // The exit from the call follows. If another thread than the first executed the program, it has taken
                // the first one's number.
                let registers = Registers::read(thread)?;
                self.set(thread, Some(Entered { event: None, registers, error: None }));
                ptrace::syscall(thread, None)
            }
            WaitStatus::PtraceEvent(thread, _, event) => {
                if MAKES.contains(&event) {
                    let new = ptrace::getevent(thread)?;
                    self.counts.made(Pid::from_raw(i32::try_from(new).map_err(|_| Errno::ERANGE)?));
                }
                self.threads().entry(thread).or_default();
                if self.killed {
                    return kill(thread, Signal::SIGKILL);
                }
                ptrace::syscall(thread, None)
            }
            WaitStatus::Stopped(thread, signal) => ptrace::syscall(thread, Some(signal)),
            _ => Ok(()),
        }
    }

    fn at_call(&mut self, thread: Pid) -> nix::Result<()> {
        let entered = self.threads().remove(&thread).flatten();
        let registers = Registers::read(thread)?;
        let entered = match entered {
            None => Some(self.enter(thread, registers)?),
            Some(entered) => {
                self.leave(thread, registers, &entered)?;
                None
            }
        };
        self.set(thread, entered);
        if self.killed { Ok(()) } else { ptrace::syscall(thread, None) }
    }

    fn enter(&mut self, thread: Pid, registers: Registers) -> nix::Result<Entered> {
        self.calls += 1;
        let at = At { thread, registers: &registers };
        let Some((call, rule, objects)) = at.entry() else {
            return Ok(Entered { event: None, registers, error: None });
        };
        let counts = !at.says(&rule);
        self.points += usize::from(counts);
        let number = if counts { self.points } else { 0 };
        let event = Event { call, objects, number, began: self.clock, end: None };
        let fault = if counts && !self.killed { (self.decide)(&event) } else { None };
        let index = self.events.len();
        self.events.push(event);
        if fault.is_some() {
            self.fault.get_or_insert(index);
        }
        let error = match fault {
            None => None,
            Some(Fault::Error(error)) => {
                registers.without_effect().write(thread)?;
                Some(error)
            }
            Some(Fault::KillOne) => {
                let _ = kill(thread, Signal::SIGKILL);
                None
            }
            Some(Fault::Kill) => {
                self.killed = true;
                self.set(thread, None);
                kill_all(&self.threads);
                None
            }
        };
        Ok(Entered { event: Some((index, rule)), registers, error })
    }

    fn leave(&mut self, thread: Pid, mut registers: Registers, entered: &Entered) -> nix::Result<()> {
        if let Some(error) = entered.error {
            registers = entered.registers;
            registers.set_result(-i64::from(error as i32));
            registers.write(thread)?;
        }
        let result = registers.result();
        if result >= 0 {
            self.counts.called(thread, &entered.registers);
        }
        let Some((index, rule)) = &entered.event else { return Ok(()) };
        let at = At { thread, registers: &registers };
        let done = if result < 0 { Done::Other } else { at.done(rule, &entered.registers) };
        self.events[*index].end = Some(End { at: self.clock, result, done });
        Ok(())
    }

    fn set(&self, thread: Pid, entered: Option<Entered>) {
        self.threads().insert(thread, entered);
    }

    fn forget(&mut self, thread: Pid, code: Option<i32>) {
        self.threads().remove(&thread);
        if thread == self.root {
            self.code = code;
        }
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().expect("nobody panics while he holds it")
    }
}

/// Hands each stop and end of this thread's tracees to `handle`, until none is left.
pub(crate) fn follow(mut handle: impl FnMut(WaitStatus) -> nix::Result<()>) -> Result<()> {
    // Tests trace in parallel threads: each thread waits only for its own children.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        let status = match waitpid(None, Some(flags)) {
            Err(Errno::ECHILD) => return Ok(()),
            Err(Errno::EINTR) => continue,
            status => status.context("cannot wait for the program")?,
        };
        match handle(status) {
            // The tracee was killed meanwhile; the next wait reports that.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).context("cannot trace"),
        }
    }
}

fn kill_all(threads: &Mutex<Threads>) {
    for thread in threads.lock().expect("nobody panics while he holds it").keys() {
        // This kills the thread's whole process. If the thread is gone, there is nothing left to kill.
        let _ = kill(*thread, Signal::SIGKILL);
    }
}
