// SPDX-License-Identifier: Apache-2.0
//! The log writer: the process that reads what a detached pod's apps write, and writes it to their logs.
//!
//! Its stdin is the socket ([`pod::logs`]), its stdout the note of what is lost, which is locked as long as it exists,
//! and its current directory the logs' one. It is this same program, called by another name. It ends when nobody has
//! the socket's other end any more and every pipe has ended.
//!
//! Invariant: it reads as soon as there is something to read, and waits for nothing else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::SystemTime;

use pod::logs::{MESSAGE_MAX, OF_POD, file_of};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, ftruncate, openat};
use rustix::io::{Errno, pwrite};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use rustix::process::setsid;

use super::confine;
use super::file::{Bounds, LogFile};
use super::journal::{Journal, Lost};
use super::record::{self, Stream};
use super::start::{Driver, LogOptions, NAME, NOTE_MAX};
use crate::calendar::stamp;

/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// Acts as a log writer, if this program was called as one.
pub fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    (arguments.next()? == OsStr::new(NAME)).then_some(())?;
    let order = arguments.next().unwrap_or_default();
    let pod = arguments.next().unwrap_or_default();
    Some(match work(&order.to_string_lossy(), &pod.to_string_lossy()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The command that started it reads that.
            let _ = rustix::io::write(io::stderr(), error.to_string().as_bytes());
            ExitCode::FAILURE
        }
    })
}

fn work(order: &str, pod: &str) -> io::Result<()> {
    let options = LogOptions::of_order(order).ok_or_else(|| io::Error::other("expected an order"))?;
    setsid()?;
    // Its end would be that of apps that write. A caller without the right to ask for that has the usual risk.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    rustix::thread::set_name(c"gantry-log")?;
    let is_journal = options.driver == Driver::Journal;
    let journal = is_journal.then(|| Journal::connect(pod)).transpose()?;
    confine::enter(journal.as_ref().map(|journal| journal.socket().as_raw_fd()))?;
    let own = |stream: std::os::fd::BorrowedFd<'_>| stream.try_clone_to_owned();
    let (socket, note) = (own(io::stdin().as_fd())?, own(io::stdout().as_fd())?);
    let directory = File::from(openat(CWD, "/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
    // It is at work. Whoever waits for that sees the end of stderr.
    let null = directory.try_clone()?;
    rustix::stdio::dup2_stderr(&null)?;
    Writer::new(directory, note, &options, journal).run(&socket)
}

/// A pipe that an app writes to.
struct Source {
    pipe: File,
    /// The app's name, or that of the pod's own messages.
    name: String,
    log: String,
    stream: Stream,
}

struct Writer {
    directory: File,
    driver: Driver,
    journal: Option<Journal>,
    bounds: Bounds,
    logs: BTreeMap<String, LogFile>,
    sources: Vec<Source>,
    /// Bytes that could not be written, by log, and why the last ones.
    lost: BTreeMap<String, (u64, String)>,
    note: OwnedFd,
    chunk: Vec<u8>,
    records: Vec<u8>,
}

impl Writer {
    fn new(directory: File, note: OwnedFd, options: &LogOptions, journal: Option<Journal>) -> Self {
        Self {
            note,
            directory,
            driver: options.driver,
            journal,
            bounds: Bounds { size: options.size, files: options.files },
            logs: BTreeMap::new(),
            sources: Vec::new(),
            lost: BTreeMap::new(),
            chunk: vec![0; CHUNK],
            records: Vec::with_capacity(2 * CHUNK),
        }
    }

    fn run(&mut self, socket: &OwnedFd) -> io::Result<()> {
        let mut is_open = true;
        while is_open || !self.sources.is_empty() {
            let mut awaited: Vec<_> =
                self.sources.iter().map(|source| PollFd::new(&source.pipe, PollFlags::IN)).collect();
            if is_open {
                awaited.push(PollFd::new(socket, PollFlags::IN));
            }
            match poll(&mut awaited, None) {
                Err(Errno::INTR) => continue,
                ready => ready?,
            };
            let ready: Vec<_> = awaited.iter().map(|one| !one.revents().is_empty()).collect();
            drop(awaited);
            let before = self.sources.len();
            let mut ended = vec![false; before];
            for index in (0..before).filter(|index| ready[*index]) {
                ended[index] = !self.take(index);
            }
            let mut index = 0;
            self.sources.retain(|_| (!ended[index], index += 1).0);
            if is_open && ready.last() == Some(&true) {
                is_open = self.receive(socket)?;
            }
        }
        Ok(())
    }

    /// Reads from a pipe what is there, and logs it. Returns false if it has ended.
    fn take(&mut self, index: usize) -> bool {
        let source = &mut self.sources[index];
        let count = match source.pipe.read(&mut self.chunk) {
            Ok(0) => {
                self.end(index);
                return false;
            }
            Ok(count) => count,
            Err(error) => {
                return matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock);
            }
        };
        let (name, log, stream) = (source.name.clone(), source.log.clone(), source.stream);
        if let Some(journal) = &mut self.journal {
            let done = journal.write(&name, stream, &self.chunk[..count]);
            self.note(&log, done);
        }
        if self.driver == Driver::File || name == OF_POD {
            self.log(&log, stream, count);
        }
        true
    }

    /// Writes to the journal what has no end in a stream that has ended.
    fn end(&mut self, index: usize) {
        let Source { name, log, stream, .. } = &self.sources[index];
        let Some(journal) = &mut self.journal else { return };
        let (done, log) = (journal.end(name, *stream), log.clone());
        self.note(&log, done);
    }

    /// Notes what the journal has not taken.
    fn note(&mut self, log: &str, done: Result<(), Lost>) {
        if let Err(Lost { bytes, why }) = done {
            let lost = self.lost.entry(log.to_owned()).or_default();
            *lost = (lost.0 + bytes, why.to_string());
            self.tell();
        }
    }

    /// Logs the first `count` bytes of the chunk.
    fn log(&mut self, name: &str, stream: Stream, count: usize) {
        let time = stamp(SystemTime::now());
        self.records.clear();
        if let Some((bytes, why)) = self.lost.get(name) {
            let note = format!("gantry: {bytes} bytes are not in this log: {why}\n");
            record::write(&mut self.records, &time, Stream::Err, note.as_bytes());
        }
        record::write(&mut self.records, &time, stream, &self.chunk[..count]);
        let bounds = self.bounds;
        let log = self.logs.entry(name.to_owned()).or_insert_with(|| LogFile::new(name.to_owned(), bounds));
        match log.write(&self.directory, &self.records) {
            Ok(()) => {
                if self.lost.remove(name).is_some() {
                    self.tell();
                }
            }
            Err(error) => {
                let lost = self.lost.entry(name.to_owned()).or_default();
                *lost = (lost.0 + count as u64, error.to_string());
                self.tell();
            }
        }
    }

    /// Writes down what is lost, into space that was reserved.
    fn tell(&self) {
        let mut text: String =
            self.lost.iter().map(|(log, (bytes, why))| format!("{log} {bytes} {why}\n")).collect();
        text.truncate(NOTE_MAX);
        let _ = pwrite(&self.note, text.as_bytes(), 0);
        let _ = ftruncate(&self.note, text.len() as u64);
    }

    /// Receives an app's pipes. Returns false if nobody has the socket's other end any more.
    fn receive(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; MESSAGE_MAX];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut name)], &mut ancillary, flags) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            received => received?,
        };
        let mut pipes = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                pipes.extend(descriptors);
            }
        }
        if received.bytes == 0 && pipes.is_empty() {
            return Ok(false);
        }
        let name = std::str::from_utf8(&name[..received.bytes]).unwrap_or_default();
        let log = file_of(name).filter(|_| !received.flags.contains(ReturnFlags::TRUNC));
        let Some(log) = log else { return Ok(true) };
        // A single pipe is for messages.
        let streams = if pipes.len() == 1 { [Stream::Err, Stream::Err] } else { [Stream::Out, Stream::Err] };
        for (pipe, stream) in pipes.into_iter().zip(streams) {
            rustix::io::ioctl_fionbio(&pipe, true)?;
            self.sources.push(Source { pipe: pipe.into(), name: name.to_owned(), log: log.clone(), stream });
        }
        Ok(true)
    }
}
