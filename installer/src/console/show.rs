// SPDX-License-Identifier: Apache-2.0
//! Copies between the caller's terminal and that of an app, passes signals on, and waits for the end.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, ioctl_fionbio, write};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, waitid, waitpid};
use sys::passing;
use sys::process::send;

use super::caller::Caller;
use super::flow::{Flow, Found};

/// The signals that are passed on.
const PASSED: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
/// The signals that are passed on to a program as well. A pod has no use for them.
const OF_PROGRAM: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];
/// The signals for this process.
const OWN: [Signal; 4] = [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGTSTP, Signal::SIGWINCH];
/// The character that ends a terminal's input, if it is typed at the beginning of a line (termios(3), VEOF).
const END: u8 = 4;

/// Whose terminal is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The terminal of an app, shown by the pod's process. The pod stops and continues as this process does.
    Pod,
    /// The terminal of a program beside an app.
    Program,
}

/// The signals that this process takes, held back from being acted on.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Holds the signals back from now on.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn hold(of: Of) -> Result<Self> {
        let mut held = SigSet::from_iter(PASSED.into_iter().chain(OWN));
        if of == Of::Program {
            held.extend(OF_PROGRAM);
        }
        held.thread_block().context("cannot hold signals back")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&held, flags).context("cannot wait for signals")?))
    }

    fn next(&self) -> Result<Option<Signal>> {
        let signal = self.0.read_signal()?;
        Ok(signal.map(|signal| Signal::try_from(signal.ssi_signo.cast_signed())).transpose()?)
    }
}

/// Makes the socket by which the other side of an app's terminal comes: the end that stays, and the one to pass on.
///
/// # Errors
/// Returns the system's error.
pub(crate) fn ends() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("cannot make a socket")
}

/// The descriptors that are shown beside an app's terminal, and the input that is typed at it.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The pipes of what is written to stdout and to stderr by others than the app.
    pub(crate) others: [OwnedFd; 2],
    /// Whether stdin is typed at the terminal, if it isn't a terminal itself.
    pub(crate) is_typed: bool,
}

/// An app's terminal that is shown.
#[derive(Debug)]
pub(crate) struct Show {
    caller: Caller,
    of: Of,
    /// The socket that the terminal's other side arrives over; `None` once no other can arrive.
    socket: Option<OwnedFd>,
    /// The terminal's other side.
    shown: Option<OwnedFd>,
    typed: Flow,
    outputs: [Flow; 3],
}

impl Show {
    /// Shows the terminal whose other side comes by this socket.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn new(caller: Caller, of: Of, socket: OwnedFd, watched: Watched) -> Result<Self> {
        let own =
            |stream: std::os::fd::BorrowedFd<'_>| stream.try_clone_to_owned().context("cannot use stdio");
        let input =
            (caller.is_terminal() || watched.is_typed).then(|| own(caller.input().as_fd())).transpose()?;
        let [out, error] = watched.others;
        for pipe in [&out, &error] {
            ioctl_fionbio(pipe, true)?;
        }
        let outputs = [
            Flow::new(None, Some(own(io::stdout().as_fd())?)),
            Flow::new(Some(out), Some(own(io::stdout().as_fd())?)),
            Flow::new(Some(error), Some(own(io::stderr().as_fd())?)),
        ];
        Ok(Self { caller, of, socket: Some(socket), shown: None, typed: Flow::new(input, None), outputs })
    }

    /// Takes the caller's terminal, and stops as long as this process is in the background. Returns a signal that came
    /// in between.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn begin(&mut self, signals: &Signals) -> Result<Option<Signal>> {
        while !self.caller.take() {
            // As the kernel does where a background process changes its terminal. It stops here.
            raise(Signal::SIGTTOU)?;
            match signals.next()? {
                Some(Signal::SIGCONT) => {}
                // There is no shell to stop for.
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// Shows the terminal until the child has ended, and all that was written until then. Returns how it ended.
    ///
    /// # Errors
    /// Returns the system's error.
    pub(crate) fn until_end(mut self, child: Pid, signals: &Signals) -> Result<WaitStatus> {
        loop {
            let ready = self.wait(signals)?;
            while let Some(signal) = signals.next()? {
                self.act(signal, child, signals)?;
            }
            self.receive()?;
            self.go_on(ready);
            if let Some((_, ended)) = waitpid(Some(child), WaitOptions::NOHANG).context("cannot wait")? {
                let _ = self.receive();
                let is_raw = self.caller.is_raw();
                let [app, others @ ..] = &mut self.outputs;
                app.finish(false);
                others.iter_mut().for_each(|flow| flow.finish(is_raw));
                return Ok(ended);
            }
        }
    }

    /// Waits until something happens. Returns which flows can go on: that of what is typed, and those of what is shown.
    fn wait(&self, signals: &Signals) -> Result<[bool; 4]> {
        let may_read = self.shown.is_some() && (self.caller.is_raw() || !self.caller.is_terminal());
        let flows = [
            self.typed.awaits().filter(|_| may_read),
            self.outputs[0].awaits(),
            self.outputs[1].awaits(),
            self.outputs[2].awaits(),
        ];
        let mut ready = [false; 4];
        let indices: Vec<_> = (0..4).filter(|index| flows[*index].is_some()).collect();
        let first = PollFd::from_borrowed_fd(signals.0.as_fd(), PollFlags::IN);
        let socket = self.socket.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN));
        let flows = flows.into_iter().flatten();
        let mut awaited: Vec<_> = flows.chain([first]).chain(socket).collect();
        match poll(&mut awaited, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait"),
        }
        for (index, flow) in indices.into_iter().zip(&awaited) {
            ready[index] = !flow.revents().is_empty();
        }
        Ok(ready)
    }

    fn go_on(&mut self, ready: [bool; 4]) {
        let [types, shows @ ..] = ready;
        if types && self.typed.go_on(false) == Found::End && !self.caller.is_terminal() {
            // The typed text may end in the middle of a line. Then the first of these ends that line.
            self.typed.add(&[END, END]);
        }
        let is_raw = self.caller.is_raw();
        for (index, flow) in self.outputs.iter_mut().enumerate().filter(|(index, _)| shows[*index]) {
            flow.go_on(is_raw && index > 0);
        }
    }

    fn act(&mut self, signal: Signal, child: Pid, signals: &Signals) -> Result<()> {
        match signal {
            Signal::SIGCHLD => {}
            Signal::SIGWINCH => self.shown.iter().for_each(|shown| self.caller.resize(shown)),
            Signal::SIGTSTP => {
                self.caller.give_back();
                self.pass_to_pod(signal, child);
                if self.of == Of::Pod {
                    // It is not continued before it has stopped: a signal that stops it would undo that.
                    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                    waitid(WaitId::Pid(child), stopped).context("cannot wait for the pod")?;
                }
                // It stops here.
                raise(signal)?;
                SigSet::from(signal).thread_unblock()?;
                SigSet::from(signal).thread_block()?;
            }
            Signal::SIGCONT => {
                self.caller.lost();
                let other = self.begin(signals)?;
                self.shown.iter().for_each(|shown| self.caller.resize(shown));
                self.pass_to_pod(signal, child);
                if let Some(other) = other {
                    self.act(other, child, signals)?;
                }
            }
            // It may have ended.
            _ => drop(send(child, signal as i32)),
        }
        // The caller's terminal is gone, so the app's is, too, and its programs get SIGHUP.
        if signal == Signal::SIGHUP {
            self.shown = None;
            (self.typed.to, self.outputs[0].from) = (None, None);
        }
        Ok(())
    }

    /// The pod is a job of the caller's shell. A program in it has a job control of its own.
    fn pass_to_pod(&self, signal: Signal, child: Pid) {
        if self.of == Of::Pod {
            let _ = send(child, signal as i32);
        }
    }

    /// Receives the other side of a terminal: that of the app's latest run.
    fn receive(&mut self) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let passed = match passing::receive(socket, &mut [0], 1, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return Ok(()),
            Ok(received) if received.bytes > 0 => received.descriptors,
            Ok(_) | Err(_) => {
                self.socket = None;
                return Ok(());
            }
        };
        for shown in passed {
            fcntl_setfl(&shown, OFlags::RDWR | OFlags::NONBLOCK)?;
            self.caller.is_model_for(&shown);
            // What the app has written to its last terminal comes first.
            self.outputs[0].finish(false);
            self.outputs[0].from = Some(shown.try_clone()?);
            self.typed.to = Some(shown.try_clone()?);
            self.shown = Some(shown);
            let _ = write(socket, b"t");
        }
        Ok(())
    }
}

/// Returns the exit code of a process, as a shell has it.
pub(crate) fn code(ended: WaitStatus) -> u8 {
    let signalled = || ended.terminating_signal().map(|signal| 128 + signal);
    ended.exit_status().or_else(signalled).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
