// SPDX-License-Identifier: Apache-2.0
//! The installer's side: starts a worker, waits for it, and takes its word.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pod::layout;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};

use super::{Failure, Job, MESSAGE_MAX, Message, NAME, Order};
use crate::Kind;
use crate::extract::{Refused, Verified};
use crate::source::Source;
use sys::{Interrupt, proc_path};

/// This program, whatever has become of its file.
const PROGRAM: &str = "/proc/self/exe";
/// Milliseconds after which a signal or progress is noticed.
const TICK: u8 = 100;

/// What a worker gets to work with.
#[derive(Debug)]
pub struct Descriptors<'a> {
    /// The archive's file, from where it stands.
    pub archive: OwnedFd,
    /// Where the record goes.
    pub record: OwnedFd,
    /// Where the message goes.
    pub result: OwnedFd,
    /// The empty directory that becomes the tree.
    pub root: BorrowedFd<'a>,
}

/// Where a tree is to be.
#[derive(Debug)]
pub struct Place<'a> {
    /// The empty directory that becomes the tree.
    pub root: &'a OwnedFd,
    /// Where its record goes.
    pub record: File,
}

/// Whether a worker still writes into what is built in `directory`: he has its record locked.
///
/// # Errors
/// The system's.
pub fn is_at_work(directory: impl AsFd) -> rustix::io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let record = match openat(directory, layout::TREE_RECORD, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        opened => opened?,
    };
    match flock(&record, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        locked => locked.map(|()| false),
    }
}

/// Starts `program` as a worker, which has the record locked as long as it is there. It ends with the thread that
/// started it.
///
/// # Errors
/// Where it can't.
pub fn spawn(program: &Path, kind: Kind, job: &Job, descriptors: Descriptors<'_>) -> Result<Child> {
    let Descriptors { archive, record, result, root } = descriptors;
    // The lock is the open file's, so it goes with the worker's last descriptor of it.
    flock(&record, FlockOperation::NonBlockingLockExclusive).context("cannot lock the record")?;
    let parent = rustix::process::getpid().as_raw_pid();
    let order = serde_json::to_string(&Order { job: *job, kind, parent })?;
    Command::new(program)
        .arg0(NAME)
        .arg(order)
        .env_clear()
        .current_dir(proc_path(root))
        // A terminal's signals are for the installer, which ends its workers.
        .process_group(0)
        .stdin(Stdio::from(archive))
        .stdout(Stdio::from(record))
        .stderr(Stdio::from(result))
        .spawn()
        .context("cannot start the unpacking process")
}

/// Unpacks `source` in a worker. On an error, what was written is still there, and good for nothing.
///
/// # Errors
/// As [`crate::extract::Unpacker::unpack`]; where the worker can't be confined, or dies.
pub fn unpack(
    kind: Kind,
    job: &Job,
    source: &Source,
    place: Place<'_>,
    interrupt: &Interrupt,
) -> Result<Verified> {
    let (message, result) = io::pipe().context("cannot make a pipe")?;
    let archive = source.file().try_clone().context("cannot duplicate a descriptor")?.into();
    let Place { root, record } = place;
    let descriptors =
        Descriptors { archive, record: record.into(), result: result.into(), root: root.as_fd() };
    let child = spawn(Path::new(PROGRAM), kind, job, descriptors)?;
    let (text, status) = supervise(child, message, source, interrupt)?;
    match serde_json::from_slice(&text) {
        // A whole message comes from a worker that has done all it was to do.
        Ok(Message::Done(outcome)) if status.is_none_or(|status| status.success()) => {
            Verified::by_worker(outcome, job.expected)
        }
        Ok(Message::Failed(failure)) => Err(failure.into_error()),
        _ => Err(died(status)),
    }
}

/// Waits for a worker's message and end. Ends it once interrupted.
fn supervise(
    mut child: Child,
    mut message: io::PipeReader,
    source: &Source,
    interrupt: &Interrupt,
) -> Result<(Vec<u8>, Option<ExitStatus>)> {
    let listened = listen(&mut message, source, interrupt);
    if listened.is_err() {
        child.kill().context("cannot end the unpacking process")?;
    }
    let status = match child.wait() {
        // Who ignores SIGCHLD is not told how its children end (wait(2)), and a caller may have made us do so.
        Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => None,
        status => Some(status.context("cannot wait for the unpacking process")?),
    };
    Ok((listened?, status))
}

/// Reads up to the pipe's end, which comes with the worker's.
fn listen(message: &mut io::PipeReader, source: &Source, interrupt: &Interrupt) -> Result<Vec<u8>> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        interrupt.check()?;
        let ready =
            match poll(&mut [PollFd::new(message.as_fd(), PollFlags::POLLIN)], PollTimeout::from(TICK)) {
                Err(Errno::EINTR) => 0,
                ready => ready.context("cannot wait for the unpacking process")?,
            };
        source.update_progress();
        if ready > 0 {
            match message.read(&mut buffer).context("cannot read from the unpacking process")? {
                0 => return Ok(text),
                count => text.extend(&buffer[..count]),
            }
            ensure!(text.len() <= MESSAGE_MAX, "the unpacking process says too much: expected one message");
        }
    }
}

impl Failure {
    fn into_error(self) -> anyhow::Error {
        let Self { why, hint, is_refusal } = self;
        let error = if is_refusal { Refused::by_worker(why).into() } else { anyhow!(why) };
        match hint {
            Some(hint) => report::hinted(error, hint),
            None => error,
        }
    }
}

fn died(status: Option<ExitStatus>) -> anyhow::Error {
    let how = match (status.and_then(|status| status.signal()), status.and_then(|status| status.code())) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, code) => format!("ended with code {} and no word", code.unwrap_or_default()),
    };
    anyhow!("the unpacking process {how}: expected it to finish")
}
