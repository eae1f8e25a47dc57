// SPDX-License-Identifier: Apache-2.0
//! Starts a log writer, and makes the socket and the pipe that a pod gets as stdout and stderr.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use pod::layout;
use pod::logs::{LOST, NOT_ENDED, OF_POD};
use pod::text::one_line;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fchmod, ftruncate, mkdirat, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sys::process::PROGRAM;
use sys::{Interrupt, locks, proc_path};

use super::pair::send;
use crate::directory::Pod;
use crate::state::{State, look};

/// How often the lock of a log writer that is about to end is tried.
const STEP: Duration = Duration::from_millis(5);
/// The name (`argv[0]`) under which this program acts as a log writer.
pub(super) const NAME: &str = "gantry-log";
/// The answer of a log writer that works. Any other answer says what is wrong.
pub(super) const AT_WORK: &str = ".";
/// The space that is reserved for the note of what was lost, in bytes.
pub(super) const NOTE_MAX: usize = 4096;

/// The destination of what apps write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// It is written to files.
    File,
    /// It is written to the host's journal.
    Journal,
    /// It is dropped.
    None,
}

impl Driver {
    /// All drivers, with their words in the log writer's argument.
    const WORDS: [(Self, &str); 3] =
        [(Self::File, "file"), (Self::Journal, "journald"), (Self::None, "none")];
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The destination of what apps write.
    pub driver: Driver,
    /// The longest file; `None` means any length.
    pub size: Option<u64>,
    /// How many files an app has at most.
    pub files: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { driver: Driver::File, size: Some(10 << 20), files: 5 }
    }
}

impl LogOptions {
    /// Returns the log writer's one argument.
    fn order(&self) -> String {
        let driver =
            Driver::WORDS.iter().find(|(driver, _)| *driver == self.driver).map_or("none", |(_, word)| word);
        format!("{driver} {} {}", self.size.unwrap_or_default(), self.files)
    }

    /// Reads the log writer's one argument.
    pub(super) fn of_order(order: &str) -> Option<Self> {
        let mut words = order.split(' ');
        let driver = words.next()?;
        let (driver, _) = Driver::WORDS.into_iter().find(|(_, word)| *word == driver)?;
        let size = words.next()?.parse().ok()?;
        Some(Self { driver, size: (size > 0).then_some(size), files: words.next()?.parse().ok()? })
    }
}

/// The log of a pod: it takes the place of a caller's stdout and stderr.
#[derive(Debug)]
pub struct Logging {
    /// The socket to the log writer.
    pub stdout: OwnedFd,
    /// The pipe of the pod's own messages.
    pub stderr: OwnedFd,
}

/// Starts a log writer for the next run of a pod. Waits until that of the last run has ended, or returns the state of a
/// pod that another command has started meanwhile.
///
/// # Errors
/// If the logs can't be made, or the log writer can't be started or confined.
pub fn start(pod: &Pod, options: &LogOptions, interrupt: &Interrupt) -> Result<Result<Logging, State>> {
    let about = || format!("cannot log what pod {} writes", pod.id());
    let directory = logs(pod).with_context(about)?;
    let note = match note(pod, &directory, interrupt).with_context(about)? {
        Ok(note) => note,
        Err(state) => return Ok(Err(state)),
    };
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("cannot make a socket")?;
    let (messages, stderr) = io::pipe().context("cannot make a pipe")?;
    send(&ours, OF_POD, &[messages.into()]).context("cannot hand over a pipe")?;
    let (mut said, says) = io::pipe().context("cannot make a pipe")?;
    let mut command = Command::new(PROGRAM);
    command
        .arg0(NAME)
        .arg(options.order())
        .arg(pod.id().to_string())
        .env_clear()
        .current_dir(proc_path(&directory));
    command.stdin(Stdio::from(theirs)).stdout(Stdio::from(note)).stderr(Stdio::from(OwnedFd::from(says)));
    command.spawn().context("cannot start the log writer")?;
    // It holds the pipe's other end as well.
    drop(command);
    let mut text = String::new();
    said.read_to_string(&mut text).context("cannot hear from the log writer")?;
    if text != AT_WORK {
        let why = if text.is_empty() { "the log writer was killed".into() } else { one_line(&text) };
        bail!("cannot log what pod {} writes: {why}", pod.id());
    }
    Ok(Ok(Logging { stdout: ours, stderr: stderr.into() }))
}

/// Opens the logs' directory, and makes it if it is missing. Its mode doesn't depend on the umask, since the log writer
/// has no capability to open a directory of another mode.
fn logs(pod: &Pod) -> Result<OwnedFd> {
    match mkdirat(&pod.directory, layout::LOGS, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).context("cannot create logs"),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let logs = openat(&pod.directory, layout::LOGS, flags, Mode::empty()).context("cannot open logs")?;
    fchmod(&logs, Mode::RWXU).context("cannot set the mode of logs")?;
    Ok(logs)
}

/// Opens the note of what is lost, locks it, and reserves its space. Returns the pod's state if the pod was started
/// meanwhile, since the lock is that run's then.
fn note(pod: &Pod, directory: &OwnedFd, interrupt: &Interrupt) -> Result<Result<OwnedFd, State>> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let note = openat(directory, LOST, flags, mode).context("cannot open the note")?;
    fchmod(&note, mode).context("cannot set the mode of the note")?;
    while !locks::try_lock_alone(&note).context("cannot lock the note")? {
        interrupt.check()?;
        let state = look(pod)?.state;
        if state == State::Running {
            return Ok(Err(state));
        }
        sleep(STEP);
    }
    ftruncate(&note, 0).context("cannot empty the note")?;
    // Some file systems can't reserve space: a full one then says nothing.
    let _ = fallocate(&note, FallocateFlags::KEEP_SIZE, 0, NOTE_MAX as u64);
    let _ = rustix::io::pwrite(&note, NOT_ENDED.as_bytes(), 0);
    Ok(Ok(note))
}

/// Opens a file in the logs' directory of a pod, if there is one.
pub(super) fn open(pod: &Pod, name: &str) -> Result<Option<File>> {
    Ok(pod.open_file(&format!("{}/{name}", layout::LOGS), OFlags::RDONLY)?.map(File::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_understood() {
        for (driver, _) in Driver::WORDS {
            for options in
                [LogOptions { driver, ..LogOptions::default() }, LogOptions { driver, size: None, files: 1 }]
            {
                assert_eq!(LogOptions::of_order(&options.order()), Some(options));
            }
        }
        for bad in ["", "other 1 1", "file", "file x 1", "file 1"] {
            assert_eq!(LogOptions::of_order(bad), None, "{bad}");
        }
    }
}
