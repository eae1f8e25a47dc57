// SPDX-License-Identifier: Apache-2.0
//! The code that runs in the installer: starts a worker, waits for it, and accepts its report.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use pod::layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::job::{Failure, Job, MESSAGE_MAX, Message, NAME, Order};
use crate::error::{About as _, Error, Result};
use crate::extract::{Refused, Verified};
use crate::info::TreeKind;
use crate::input::InputFile;
use sys::locks::try_lock_alone;
use sys::process::PROGRAM;
use sys::{CalledOn as _, Interrupt, proc_path};

/// The interval at which signals and progress are checked.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The descriptors that a worker gets.
#[derive(Debug)]
pub struct Descriptors<'a> {
    /// The archive's file, read from its current position.
    pub archive: OwnedFd,
    /// The file for the record.
    pub record: OwnedFd,
    /// The pipe for the message.
    pub result: OwnedFd,
    /// The empty directory that becomes the tree.
    pub root: BorrowedFd<'a>,
}

/// The place of a tree that is to be made.
#[derive(Debug)]
pub struct Destination<'a> {
    /// The empty directory that becomes the tree.
    pub root: &'a OwnedFd,
    /// The file for its record.
    pub record: File,
}

/// Tells whether a worker still writes into the staging directory `directory`. A running worker has its record locked.
///
/// # Errors
/// If the record can't be opened or locked for another reason.
pub fn is_at_work(directory: impl AsFd) -> Result<bool, sys::Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let record = match openat(directory, layout::TREE_RECORD, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        opened => opened.called_on("openat", layout::TREE_RECORD)?,
    };
    Ok(!try_lock_alone(&record)?)
}

/// Starts `program` as a worker, which keeps the record locked as long as it exists. The worker ends when the thread
/// that started it ends.
///
/// # Errors
/// If the record can't be locked, or the process can't be started.
pub fn spawn(program: &Path, kind: TreeKind, job: &Job, descriptors: Descriptors<'_>) -> Result<Child> {
    start(program, NAME, kind, job, descriptors)
}

/// Starts `program` under the name of a worker.
pub(super) fn start(
    program: &Path,
    name: &str,
    kind: TreeKind,
    job: &Job,
    descriptors: Descriptors<'_>,
) -> Result<Child> {
    let Descriptors { archive, record, result, root } = descriptors;
    // The lock belongs to the open file description, so it lasts until the worker's last descriptor for it is closed.
    if !try_lock_alone(&record).about(|| "cannot lock the record")? {
        return Err(Error::Contended("another worker has the record".to_owned()));
    }
    let parent = rustix::process::getpid().as_raw_pid();
    let order = serde_json::to_string(&Order { job: *job, kind, parent }).map_err(io::Error::from)?;
    Command::new(program)
        .arg0(name)
        .arg(order)
        .env_clear()
        .current_dir(proc_path(root))
        // Signals from a terminal are for the installer alone, which ends its workers.
        .process_group(0)
        .stdin(Stdio::from(archive))
        .stdout(Stdio::from(record))
        .stderr(Stdio::from(result))
        .spawn()
        .about(|| "cannot start the unpacking process")
}

/// Unpacks `source` in a worker.
///
/// On an error, what was written so far remains. It is incomplete and must not be used.
///
/// # Errors
/// As [`crate::extract::Unpacker::unpack`]; if the worker can't be confined, or dies.
pub fn unpack(
    kind: TreeKind,
    job: &Job,
    source: &InputFile,
    place: Destination<'_>,
    interrupt: &Interrupt,
) -> Result<Verified> {
    let (message, result) = io::pipe().about(|| "cannot make a pipe")?;
    let archive = source.file().try_clone().about(|| "cannot duplicate a descriptor")?.into();
    let Destination { root, record } = place;
    let descriptors =
        Descriptors { archive, record: record.into(), result: result.into(), root: root.as_fd() };
    let child = spawn(Path::new(PROGRAM), kind, job, descriptors)?;
    let extracted = supervise(child, message, &|| source.update_progress(), interrupt)?;
    Ok(Verified::by_worker(extracted, job.expected)?)
}

/// Waits for a worker's end, and returns what it reports.
pub(super) fn supervise<T: DeserializeOwned>(
    child: Child,
    message: io::PipeReader,
    progress: &dyn Fn(),
    interrupt: &Interrupt,
) -> Result<T> {
    let (text, status) = wait(child, message, progress, interrupt)?;
    match serde_json::from_slice(&text) {
        // A whole message comes from a worker that has finished its job.
        Ok(Message::Done(extracted)) if status.is_none_or(|status| status.success()) => Ok(extracted),
        Ok(Message::Failed(failure)) => Err(failure.into_error()),
        _ => Err(died(status)),
    }
}

/// Waits for a worker's message and its end. Kills it once interrupted.
fn wait(
    mut child: Child,
    mut message: io::PipeReader,
    progress: &dyn Fn(),
    interrupt: &Interrupt,
) -> Result<(Vec<u8>, Option<ExitStatus>)> {
    let listened = listen(&mut message, progress, interrupt);
    if listened.is_err() {
        child.kill().about(|| "cannot end the unpacking process")?;
    }
    let status = match child.wait() {
        // If SIGCHLD is ignored, the kernel doesn't report how children end (wait(2)). The installer may have inherited
        // that from its caller.
        Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => None,
        status => Some(status.about(|| "cannot wait for the unpacking process")?),
    };
    Ok((listened?, status))
}

/// Reads the message up to the end of the pipe, which is closed when the worker ends.
fn listen(message: &mut io::PipeReader, progress: &dyn Fn(), interrupt: &Interrupt) -> Result<Vec<u8>> {
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        interrupt.check()?;
        let ready = match poll(&mut [PollFd::new(message, PollFlags::IN)], Some(&TICK)) {
            Err(Errno::INTR) => 0,
            ready => ready.about(|| "cannot wait for the unpacking process")?,
        };
        progress();
        if ready > 0 {
            match message.read(&mut buffer).about(|| "cannot read from the unpacking process")? {
                0 => return Ok(text),
                count => text.extend(&buffer[..count]),
            }
            if text.len() > MESSAGE_MAX {
                let why = "the unpacking process says too much: expected one message";
                return Err(Error::Worker(why.to_owned(), None));
            }
        }
    }
}

impl Failure {
    fn into_error(self) -> Error {
        let Self { why, hint, is_refusal } = self;
        match is_refusal {
            true => Error::Refused(Refused::by_worker(why)),
            false => Error::Worker(why, hint),
        }
    }
}

fn died(status: Option<ExitStatus>) -> Error {
    let how = match (status.and_then(|status| status.signal()), status.and_then(|status| status.code())) {
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, code) => format!("ended with code {} and no word", code.unwrap_or_default()),
    };
    Error::Worker(format!("the unpacking process {how}: expected it to finish"), None)
}
