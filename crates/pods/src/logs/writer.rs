// SPDX-License-Identifier: Apache-2.0
//! The log writer: the processes that read what a detached pod's apps write, and write it to their logs.
//!
//! Its stdin is the socket ([`pod::logs`]), its stdout the note of what is lost, which is locked as long as it exists,
//! and its current directory the logs' one. It is this same program, called by another name. It ends when no process
//! has the socket's other end any more and every pipe has ended. There are two of it, so that one may be killed
//! ([`super::pair`]).
//!
//! Invariant: it reads as soon as there is something to read, and waits for nothing else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use pod::logs::{NOT_ENDED, OF_POD, file_of};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::RecvFlags;
use rustix::process::setsid;
use rustix::thread::set_name;
use sys::process::block_signals;

use super::confine;
use super::file::{Bounds, LogFile, Progress};
use super::hand::{CHUNK, Hand, Note};
use super::journal::{Journal, Lost};
use super::pair::{Ended, Link, Message, Role, receive};
use super::record::{self, Stream};
use super::start::{AT_WORK, Driver, LogOptions, NAME, NOTE_MAX};
use crate::calendar::stamp;

/// How often a process takes the place of another one at once. After that it waits first, so that a fault that recurs
/// takes little time.
const AT_ONCE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

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
    // A signal to all processes of the pod is meant for those that can end in order.
    block_signals()?;
    // If it were killed for want of memory, apps that write would end with it. A caller without the right to lower its
    // score runs that risk.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    let is_journal = options.driver == Driver::Journal;
    let journal = is_journal.then(|| Journal::connect(pod)).transpose()?;
    let hand = Hand::new()?;
    let kept = hand.descriptors().chain(journal.iter().map(|journal| journal.socket().as_fd()));
    confine::enter(&kept.map(|one| one.as_raw_fd()).collect::<Vec<_>>())?;
    let own = |stream: BorrowedFd<'_>| stream.try_clone_to_owned();
    let (socket, lost) = (own(io::stdin().as_fd())?, own(io::stdout().as_fd())?);
    let directory = File::from(openat(CWD, "/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
    // The process that has started this one waits for this word.
    rustix::io::write(io::stderr(), AT_WORK.as_bytes())?;
    let null = directory.try_clone()?;
    rustix::stdio::dup2_stderr(&null)?;
    Writer {
        socket,
        lost_file: lost.into(),
        directory,
        driver: options.driver,
        journal,
        bounds: Bounds { size: options.size, files: options.files },
        hand,
        slot: 0,
        logs: BTreeMap::new(),
        sources: Vec::new(),
        lost: BTreeMap::new(),
        has_ended: false,
        chunk: vec![0; CHUNK],
        records: Vec::with_capacity(2 * CHUNK),
    }
    .live()
}

/// A pipe that an app writes to.
#[derive(Debug)]
struct Source {
    pipe: File,
    /// The app's name, or that of the pod's own messages.
    name: String,
    stream: Stream,
}

impl Source {
    /// Tells whether no process can write to it any more, and all was read.
    fn has_ended(&self) -> bool {
        let mut all = [PollFd::new(&self.pipe, PollFlags::empty())];
        let is_open = poll(&mut all, Some(&Timespec::default())) == Ok(0);
        !is_open && ioctl_fionread(&self.pipe) == Ok(0)
    }
}

struct Writer {
    /// The socket that pipes arrive over, as long as a process has its other end.
    socket: OwnedFd,
    lost_file: File,
    directory: File,
    driver: Driver,
    journal: Option<Journal>,
    bounds: Bounds,
    hand: Hand,
    /// The file that keeps the lines which the journal has not taken yet.
    slot: usize,
    logs: BTreeMap<String, LogFile>,
    sources: Vec<Source>,
    /// Bytes that could not be written, by log, and why the last ones.
    lost: BTreeMap<String, (u64, String)>,
    /// Whether every pipe has ended.
    has_ended: bool,
    chunk: Vec<u8>,
    records: Vec<u8>,
}

impl Writer {
    /// Writes and keeps, as two processes, until every pipe has ended.
    fn live(mut self) -> io::Result<()> {
        for times in 0u32.. {
            if times > AT_ONCE {
                sleep(PAUSE);
            }
            let ended = match Link::fork() {
                Ok((Role::Writer, link)) => {
                    let ended = self.write(Some(&link))?;
                    if ended == Ended::Other {
                        link.close();
                    } else {
                        link.tell_end();
                    }
                    ended
                }
                Ok((Role::Keeper, link)) => self.keep(&link)?,
                // The system has no room for another process.
                Err(_) => self.write(None)?,
            };
            if ended == Ended::All {
                break;
            }
        }
        Ok(())
    }

    /// Keeps what the writer has, as long as it lives.
    fn keep(&mut self, link: &Link) -> io::Result<Ended> {
        let _ = set_name(c"gantry-keeper");
        self.logs.clear();
        loop {
            match link.hear()? {
                Ok((name, pipes)) => {
                    self.sources.retain(|source| !source.has_ended());
                    self.add(&name, pipes)?;
                }
                Err(ended) => return Ok(ended),
            }
        }
    }

    /// Writes until every pipe has ended, or the keeper has. Begins with what another process had in hand.
    fn write(&mut self, keeper: Option<&Link>) -> io::Result<Ended> {
        let _ = set_name(c"gantry-log");
        self.take_over()?;
        let mut is_open = true;
        while is_open || !self.sources.is_empty() {
            let all = self.sources.iter().map(|source| source.pipe.as_fd());
            let all = all.chain(is_open.then_some(self.socket.as_fd())).chain(keeper.map(Link::as_fd));
            let mut awaited: Vec<_> = all.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
            match poll(&mut awaited, None) {
                Err(Errno::INTR) => continue,
                ready => ready?,
            };
            let ready: Vec<_> = awaited.iter().map(|one| !one.revents().is_empty()).collect();
            drop(awaited);
            let (of_sources, others) = ready.split_at(self.sources.len());
            let mut ended = Vec::with_capacity(of_sources.len());
            for (index, is_ready) in of_sources.iter().enumerate() {
                ended.push(*is_ready && !self.take(index)?);
            }
            let mut ended = ended.into_iter();
            self.sources.retain(|_| ended.next() != Some(true));
            if is_open && others[0] {
                is_open = self.receive(keeper)?;
            }
            // It says nothing: this is its end.
            if keeper.is_some() && others.last() == Some(&true) {
                return Ok(Ended::Other);
            }
        }
        self.has_ended = true;
        self.tell();
        Ok(Ended::All)
    }

    /// Continues the work of another process.
    fn take_over(&mut self) -> io::Result<()> {
        self.logs.clear();
        self.lost = self.read_lost();
        let note = self.hand.last_note()?;
        self.slot = note.as_ref().map_or(0, |note| note.slot);
        if let Some(journal) = &mut self.journal {
            journal.go_on(&self.hand.kept(self.slot)?);
        }
        note.map_or(Ok(()), |note| self.write_in_hand(note))
    }

    /// Takes from a pipe what is there, and logs it. Returns false if it has ended.
    fn take(&mut self, index: usize) -> io::Result<bool> {
        let Source { pipe, name, stream } = &self.sources[index];
        let note = Note::new(name, *stream, stamp(SystemTime::now()), self.slot);
        match self.hand.take(pipe, &note)? {
            Err(Errno::AGAIN) => Ok(true),
            // It has ended, or is none.
            Ok(0) | Err(_) => {
                self.end(index);
                Ok(false)
            }
            Ok(_) => self.write_in_hand(note).map(|()| true),
        }
    }

    /// Writes what is in hand, which may have begun.
    fn write_in_hand(&mut self, mut note: Note) -> io::Result<()> {
        let Some(log) = file_of(&note.name) else { return Ok(()) };
        loop {
            let left = self.hand.left()?;
            if left == 0 {
                return Ok(());
            }
            if left != note.left {
                note = Note { left, done: 0, size: None, sent: Some(0), slot: self.slot, ..note };
            }
            let count = self.hand.read(&mut self.chunk)?;
            self.send(&log, &mut note, count)?;
            if self.driver == Driver::File || note.name == OF_POD {
                self.log(&log, &mut note, count)?;
            }
            self.hand.drop_first(count)?;
        }
    }

    /// Sends the first `count` bytes of the chunk to the journal, if there is one.
    fn send(&mut self, log: &str, note: &mut Note, count: usize) -> io::Result<()> {
        let (Some(journal), Some(sent)) = (&mut self.journal, note.sent) else { return Ok(()) };
        let (name, stream, hand) = (note.name.clone(), note.stream, &self.hand);
        let done = journal.write(&name, stream, &self.chunk[..count], sent, &mut |sent| {
            note.sent = Some(sent);
            // Without the note, a process that continues would send these lines again.
            let _ = hand.write_note(note);
        });
        let slot = 1 - self.slot;
        hand.keep(slot, &journal.begun())?;
        (note.sent, note.slot, self.slot) = (None, slot, slot);
        hand.write_note(note)?;
        self.count_lost(log, done);
        Ok(())
    }

    /// Writes to the journal what has no end in a stream that has ended.
    fn end(&mut self, index: usize) {
        let Source { name, stream, .. } = &self.sources[index];
        let Some(journal) = &mut self.journal else { return };
        let (done, log) = (journal.end(name, *stream), file_of(name).unwrap_or_default());
        self.count_lost(&log, done);
    }

    /// Notes what the journal has not taken.
    fn count_lost(&mut self, log: &str, done: Result<(), Lost>) {
        if let Err(Lost { bytes, why }) = done {
            let lost = self.lost.entry(log.to_owned()).or_default();
            *lost = (lost.0 + bytes, why.to_string());
            self.tell();
        }
    }

    /// Logs the first `count` bytes of the chunk.
    fn log(&mut self, name: &str, note: &mut Note, count: usize) -> io::Result<()> {
        let (time, stream, hand) = (note.time.clone(), note.stream, &self.hand);
        self.records.clear();
        if let Some((bytes, why)) = self.lost.get(name) {
            let note = format!("gantry: {bytes} bytes are not in this log: {why}\n");
            record::write(&mut self.records, &time, Stream::Err, note.as_bytes());
        }
        record::write(&mut self.records, &time, stream, &self.chunk[..count]);
        let bounds = self.bounds;
        let log = self.logs.entry(name.to_owned()).or_insert_with(|| LogFile::new(name.to_owned(), bounds));
        let progress = Progress { done: note.done, size: note.size };
        let mut is_noted = Ok(());
        let written = log.write(&self.directory, &self.records, progress, &mut |Progress { done, size }| {
            (note.done, note.size) = (done, size);
            is_noted = hand.write_note(note);
            is_noted.as_ref().map_or_else(|_| Err(Errno::NOMEM.into()), |()| Ok(()))
        });
        is_noted?;
        match written {
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
        Ok(())
    }

    /// Writes down what is lost, into space that was reserved.
    fn tell(&self) {
        let mut text: String =
            self.lost.iter().map(|(log, (bytes, why))| format!("{log} {bytes} {why}\n")).collect();
        text.truncate(NOTE_MAX - NOT_ENDED.len());
        text.push_str(if self.has_ended { "" } else { NOT_ENDED });
        let _ = self.lost_file.write_all_at(text.as_bytes(), 0);
        let _ = self.lost_file.set_len(text.len() as u64);
    }

    /// Reads what is lost.
    fn read_lost(&self) -> BTreeMap<String, (u64, String)> {
        let mut text = vec![0; NOTE_MAX];
        let count = self.lost_file.read_at(&mut text, 0).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..count]).into_owned();
        let one = |line: &str| {
            let mut words = line.splitn(3, ' ');
            Some((words.next()?.to_owned(), (words.next()?.parse().ok()?, words.next()?.to_owned())))
        };
        text.lines().filter_map(one).filter(|(log, _)| log.ends_with(".log")).collect()
    }

    /// Receives an app's pipes. Returns false if no process has the socket's other end any more.
    ///
    /// The message stays until the keeper has been given the pipes: a process that goes on gets it again.
    fn receive(&mut self, keeper: Option<&Link>) -> io::Result<bool> {
        let peeked = match receive(&self.socket, RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            peeked => peeked?,
        };
        let Message::Pipes(name, pipes) = peeked else { return Ok(false) };
        if let Some(keeper) = keeper {
            keeper.give(&name, &pipes);
        }
        self.add(&name, pipes)?;
        drop(receive(&self.socket, RecvFlags::DONTWAIT)?);
        Ok(true)
    }

    /// Adds the pipes of an app, or the one of the pod's own messages, unless they are there.
    fn add(&mut self, name: &str, pipes: Vec<OwnedFd>) -> io::Result<()> {
        if file_of(name).is_none() {
            return Ok(());
        }
        let identity = |pipe: BorrowedFd<'_>| fstat(pipe).map(|stat| (stat.st_dev, stat.st_ino));
        // A single pipe is for messages.
        let streams = if pipes.len() == 1 { [Stream::Err, Stream::Err] } else { [Stream::Out, Stream::Err] };
        for (pipe, stream) in pipes.into_iter().zip(streams) {
            let this = identity(pipe.as_fd())?;
            if !self.sources.iter().any(|source| identity(source.pipe.as_fd()) == Ok(this)) {
                rustix::io::ioctl_fionbio(&pipe, true)?;
                self.sources.push(Source { pipe: pipe.into(), name: name.to_owned(), stream });
            }
        }
        Ok(())
    }
}
