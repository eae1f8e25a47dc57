// SPDX-License-Identifier: Apache-2.0
//! The pod's process: what `/init` is from nspawn's start to the pod's end. It answers when the pod asks whether apps may start
//! ([`crate::exchange::ready`]), and has three tasks that last until the end.
//!
//! - It takes the requests to stop: SIGTERM, SIGINT, SIGQUIT and SIGHUP. nspawn can't do that. It handles only the
//!   first two, ends everything at once on a second one, and passes one on whether or not the pod's systemd listens by
//!   then. The kernel drops a signal that process 1 of a namespace has no handler for (pid_namespaces(7)).
//! - It stops and continues the pod as a job of the caller's shell ([`crate::run::job`]).
//! - It ends with the exit code that the pod has recorded ([`crate::exchange::outcome`]), as soon as the pod says that it has.
//!   If there is none, nspawn or systemd has failed. That is reported in one line, with nspawn's messages.
//!
//! Requests are held back from the first moment, so none is lost. The first one is sent to systemd itself as soon as
//! systemd listens, and nspawn is ended ([`crate::run::halt`]), since a supervisor that signals every process of the pod
//! signals nspawn, too. Until then this process goes on with its tasks: the pod asks before it has a systemd. A pipe shows
//! when systemd listens: right after systemd has set up its signals, it closes the descriptors that it was started with and has
//! no unit for (systemd's main.c, after `manager_startup`).
//!
//! This process is not in the pod's cgroup, because a cgroup with processes of its own can't enable controllers for
//! the cgroups below.
//!
//! Invariant: however often and however early it is asked, the pod is stopped once, in order, with one exit code.

use std::convert::Infallible;
use std::io::{self, PipeReader, PipeWriter, Read as _, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use sys::process::{ForkResult, exit_at_once};

use crate::enter::cgroup::Cgroup;
use crate::enter::private_root::Bare;
use crate::enter::relay::Relay;
use crate::enter::stdio::Stdio;
use crate::exchange::outcome::OURS;
use crate::exchange::ready::{Asked, Heard};
use crate::exchange::timing::Timing;
use crate::failure::{At, Failure, Step, warn};
use crate::load::network::Reservation;
use crate::run::ending::{conclude, none_began};
use crate::run::halt::{Nspawn, halt};
use crate::run::job::Job;
use crate::run::notify::{self, Notify};
use crate::run::nspawn::{self, Command};
use crate::run::requests::{REQUESTS, Requests};

/// Returns the signals that are held back as soon as there is a pod to stop ([`crate::run::job`]).
///
/// SIGPIPE is among them, because a write to a pipe could otherwise end this process.
fn job_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTSTP, Signal::SIGCONT, Signal::SIGTTIN, Signal::SIGPIPE])
}

/// The command that becomes nspawn, and what it is started with.
#[derive(Debug)]
pub(crate) struct Started<'a> {
    pub(crate) command: Command,
    /// The host's user that is root in the pod.
    pub(crate) root: u32,
    /// The least score that an app asks for, if that is less than this process has.
    pub(crate) oom_score_least: Option<i16>,
    /// The socket that carries stdio and the pod's sockets.
    pub(crate) offer: OwnedFd,
    /// The socket at which the metadata service listens, if that is on the host.
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) question: Question<'a>,
    /// The socket at which nspawn says that the apps are up, if the caller waits for that.
    pub(crate) up: Option<OwnedFd>,
    pub(crate) timing: &'a Timing,
}

/// The messages of the pod, and the work that is done before its question is answered.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) asked: Asked,
    pub(crate) cgroup: &'a Cgroup,
    /// The namespace to be left alone in the pod, and what was reserved for its network; `None` once the question is answered.
    pub(crate) prepared: Option<(Bare, Reservation)>,
}

impl Question<'_> {
    /// Hears what the pod says, and answers its question.
    fn hear(&mut self, timing: &Timing) -> Result<Heard> {
        let Self { asked, cgroup, prepared } = self;
        let mut is_prepared = false;
        let heard = asked.hear(|namespaces| {
            let (bare, network) = prepared.as_ref().context("the pod has asked before")?;
            bare.keep_alone()?;
            network.prepare(&namespaces)?;
            is_prepared = true;
            timing.mark("the pod's network is made, and the boot program is answered");
            Ok(())
        })?;
        if heard == Heard::Question
            && let Some((bare, network)) = prepared.take()
        {
            // systemd is about to be linked, and to move.
            cgroup.hasten_moves();
            // The kernel takes the namespace apart now, and not when the caller waits for this process's end.
            drop(bare);
            if !is_prepared {
                return Ok(heard);
            }
            match network.settle() {
                Ok(warnings) => warnings.iter().for_each(|warning| warn(warning)),
                Err(error) => warn(&format!("the pod's network: {error:#}")),
            }
        }
        Ok(heard)
    }
}

/// nspawn's notifications about the pod, and the manager that they are passed on to.
struct Told<'a> {
    /// The socket at which nspawn says that the apps are up; `None` once it has.
    up: Option<OwnedFd>,
    manager: &'a Notify,
}

impl Told<'_> {
    /// Returns what becomes readable when something is said.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.up.as_ref().map(AsFd::as_fd)
    }

    /// Passes on what was said.
    fn tend(&mut self) {
        if self.up.as_ref().is_some_and(notify::is_up) {
            self.up = None;
            self.manager.tell_ready();
        }
    }
}

/// The sources that are watched while nspawn runs: messages of the pod and of its systemd, what apps write to sockets,
/// and the caller's terminal.
struct Watched<'a> {
    relays: &'a mut [Relay],
    question: Question<'a>,
    told: Told<'a>,
    job: Job<'a>,
    timing: &'a Timing,
}

/// Runs nspawn to its end and returns the pod's exit code.
///
/// With `debug`, nspawn's messages go to stderr at once.
pub(crate) fn run(
    started: Started<'_>,
    stdio: Stdio,
    requests: &Requests,
    manager: &Notify,
    cgroup: &Cgroup,
    debug: bool,
) -> Result<u8, Failure> {
    // Messages of nspawn and of this process are not the pod's output. stdout ends when the apps have closed theirs.
    dup2_stdout(io::stderr()).at(Step::Exec)?;
    job_signals().thread_block().at(Step::Exec)?;
    // nspawn's children become this process's once nspawn has ended.
    set_child_subreaper(Some(getpid())).context("cannot become a subreaper").at(Step::Exec)?;
    let (listens, starting) = pipe().context("cannot make a pipe").at(Step::Exec)?;
    fcntl_setfl(&listens, OFlags::NONBLOCK).at(Step::Exec)?;
    let (said, says) = lossy_pipe().context("cannot make a pipe").at(Step::Exec)?;
    let (forked, is_in_cgroup) = cgroup.fork().at(Step::Exec)?;
    match forked {
        ForkResult::Child => {
            let listener = started.listener.into_iter();
            let passed = [started.offer, starting.into()].into_iter().chain(listener).collect();
            let never = (|| {
                if !is_in_cgroup {
                    cgroup.enter().at(Step::Namespace)?;
                }
                cgroup.enter_namespace().at(Step::Namespace)?;
                stdio.become_silent().at(Step::Exec)?;
                let allowed = started.oom_score_least.map(nspawn::allow_oom_score).transpose();
                allowed.context("cannot set oom_score_adj").at(Step::Exec)?;
                started.timing.shared().add("the pod's cgroup is entered, and systemd-nspawn is executed");
                become_nspawn(&started.command, passed, started.up.is_some(), (!debug).then_some(&says))
                    .at(Step::Exec)
            })();
            let Err(Failure { step, error }) = never;
            // The parent reports the failure.
            let _ = OURS.fail(step, &error);
            exit_at_once(u8::MAX)
        }
        ForkResult::Parent { child } => {
            drop((started.offer, started.listener, starting, says));
            // nspawn moves the pod's first process, but not before it has been linked and has mounted what it mounts.
            cgroup.hasten_moves();
            started.question.prepared.iter().for_each(|(_, network)| network.guard());
            let root = started.root;
            let (terminal, mut relays) = stdio.into_parts();
            let job = Job::new(cgroup, terminal).at(Step::Exec)?;
            let child = Pid::from_raw(child.as_raw()).context("no process has the id 0").at(Step::Exec)?;
            // With `debug`, nspawn copies the pod's console.
            let then = if debug { Nspawn::Stays } else { Nspawn::Ends };
            let halt = |nspawn| halt(nspawn, cgroup, then);
            let told = Told { up: started.up, manager };
            let watched = Watched {
                relays: &mut relays,
                question: started.question,
                told,
                job,
                timing: started.timing,
            };
            let ended = supervise(child, listens, watched, requests, halt, || none_began(root));
            // The apps have ended, so this is all that they have written.
            if relays.into_iter().map(Relay::finish).filter(|all| !all).count() > 0 {
                warn("what the apps have written has not all arrived: the caller's socket has no reader");
            }
            conclude(ended.at(Step::Exec)?, said)
        }
    }
}

/// Makes a pipe whose writers never wait: what does not fit into it is lost.
fn lossy_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        fcntl_setfl(end, OFlags::NONBLOCK)?;
    }
    Ok((reader, writer))
}

fn become_nspawn(
    command: &Command,
    passed: Vec<OwnedFd>,
    tells_up: bool,
    says: Option<&PipeWriter>,
) -> Result<Infallible> {
    // A new session is out of reach of the caller's terminal, whose signals the parent handles.
    setsid()?;
    if let Some(says) = says {
        dup2_stdout(says)?;
        dup2_stderr(says)?;
    }
    // nspawn itself handles SIGTERM and SIGINT, once it can; the others would end nspawn and nothing else.
    SigSet::from_iter(REQUESTS).thread_set_mask()?;
    nspawn::exec(command, passed, tells_up)
}

/// Waits for the pod's end, and returns how nspawn, or systemd in its place, ended; `None` if the pod has said that its end
/// is recorded.
///
/// `halt` asks for that end and returns the process to wait for from then on, or `None` if systemd does not run.
fn supervise(
    nspawn: Pid,
    listens: PipeReader,
    Watched { relays, mut question, mut told, mut job, timing }: Watched<'_>,
    requests: &Requests,
    halt: impl Fn(Pid) -> Result<Option<Pid>>,
    none_began: impl Fn() -> Result<()>,
) -> Result<Option<(&'static str, WaitStatus)>> {
    let mut pod = nspawn;
    let signals = SignalFd::with_flags(&requests.awaited(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut asked = false;
    let mut listens = Some(listens);
    let mut began = true;
    loop {
        let held = listens.as_ref().filter(|_| asked).map(AsFd::as_fd);
        let heard = question.asked.descriptors().chain(held).chain(told.descriptor());
        let heard = heard.map(|heard| PollFd::from_borrowed_fd(heard, PollFlags::IN));
        job.wait(&signals, heard.chain(relays.iter().filter_map(Relay::awaits)))?;
        told.tend();
        for relay in relays.iter_mut() {
            relay.tend();
        }
        while let Some((signal, sent)) = next(&signals)? {
            match signal {
                Signal::SIGCHLD => {}
                Signal::SIGCONT => job.continued()?,
                Signal::SIGTSTP => job.stop(signal, sent)?,
                _ if asked => {}
                _ => {
                    asked = true;
                    // If this fails, the pod's exit code is a failure, but the pod is stopped all the same.
                    let _ = OURS.ask();
                    told.manager.tell_stop();
                    job.end()?;
                }
            }
        }
        job.tend()?;
        if question.hear(timing)? == Heard::End {
            timing.mark("the pod has said that its end is recorded");
            return Ok(None);
        }
        if asked && let Some(pipe) = &mut listens {
            if !is_closed(pipe)? {
                continue;
            }
            listens = None;
            match halt(nspawn)? {
                Some(systemd) => pod = systemd,
                None => began = false,
            }
        }
        if let Some((_, ended)) = waitpid(Some(pod), WaitOptions::NOHANG)? {
            // nspawn's exit code doesn't matter: one of its processes may have been signalled, too, before systemd
            // ran.
            if !began {
                none_began()?;
            }
            let name = if pod == nspawn { "systemd-nspawn" } else { "the pod's systemd" };
            return Ok(Some((name, ended)));
        }
    }
}

/// Tells whether the other end of a non-blocking pipe is closed.
fn is_closed(pipe: &mut PipeReader) -> io::Result<bool> {
    match pipe.read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        read => read.map(|count| count == 0),
    }
}

/// Returns the next pending signal, if there is any, and whether a process has sent it: the kernel sends those of a terminal.
fn next(signals: &SignalFd) -> Result<Option<(Signal, bool)>> {
    let Some(signal) = signals.read_signal()? else { return Ok(None) };
    Ok(Some((Signal::try_from(signal.ssi_signo.cast_signed())?, signal.ssi_code <= 0)))
}
