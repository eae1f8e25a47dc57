// SPDX-License-Identifier: Apache-2.0
//! The code that runs in the installer: starts the fetcher, asks it, and accepts what has the digest that was asked for.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use pod::blob::{BlobDigest, BlobHasher};
use registry::{
    Blob, Error, Listener, Manifest, Meaning, Progress, Reference, Repository, Sink, Version, Wanted,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sys::Interrupt;
use sys::process::PROGRAM;

use super::child::NAME;
use super::wire::{Ask, Tell, read, write};

/// How many bytes of a blob are written at once.
const AT_ONCE: usize = 256 << 10;
/// How often the interrupt is looked at.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The fetcher of an image. On drop, it is ended.
#[derive(Debug)]
pub(crate) struct Fetcher<'s> {
    reference: Reference,
    child: Child,
    socket: RefCell<Answers>,
    told: &'s dyn Listener,
}

/// The installer's end of the socket. A read ends once a signal asks for it.
#[derive(Debug)]
struct Answers {
    socket: UnixStream,
    interrupt: Interrupt,
}

impl Read for Answers {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.interrupt.check()?;
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&TICK)) {
                Ok(0) | Err(Errno::INTR) => {}
                ready => {
                    ready?;
                    return self.socket.read(into);
                }
            }
        }
    }
}

fn failed(message: impl Into<String>) -> Error {
    Error::Told { message: message.into(), meaning: Meaning::Failed }
}

fn broken(error: &io::Error) -> Error {
    failed(format!("the process that speaks to registries: {error}"))
}

impl<'s> Fetcher<'s> {
    /// Starts the fetcher of an image, which ends when the thread that started it ends.
    ///
    /// # Errors
    /// If it can't be started or confined, or the host's files can't be understood.
    pub(crate) fn start(
        reference: &Reference,
        told: &'s dyn Listener,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| broken(&error))?;
        let child = Command::new(PROGRAM)
            .arg0(NAME)
            .arg(std::process::id().to_string())
            .arg(reference.to_string())
            // Signals from a terminal are for the installer alone, which ends the fetcher.
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| broken(&error))?;
        let socket = RefCell::new(Answers { socket: ours, interrupt: interrupt.clone() });
        let fetcher = Self { reference: reference.clone(), child, socket, told };
        match fetcher.next()? {
            (Tell::Ready, _) => Ok(fetcher),
            _ => Err(unexpected()),
        }
    }

    /// Fetches the document that the image's name means.
    ///
    /// # Errors
    /// If no endpoint has it, or it is not what was asked for.
    pub(crate) fn manifest(&self) -> Result<Manifest, Error> {
        self.document(None, &self.reference.version())
    }

    fn document(&self, named: Option<String>, version: &Version) -> Result<Manifest, Error> {
        self.ask(&Ask::Document(named))?;
        match self.next()? {
            (Tell::Document { media_type, digest }, bytes) => {
                let accepted = Manifest::received(version, digest, &media_type, bytes);
                accepted.map_err(|failure| failed(format!("the manifest {version}: {failure}")))
            }
            _ => Err(unexpected()),
        }
    }

    /// Fetches blobs into empty sinks. `keep` gets each blob as soon as it is whole, in a thread of its own.
    ///
    /// # Errors
    /// If one can't be had or written. Those that are whole are kept.
    pub(crate) fn blobs<S: Sink + Send>(
        &self,
        wanted: Vec<Wanted<S>>,
        keep: &(dyn Fn(Blob, S) -> io::Result<()> + Sync),
    ) -> Result<(), Error> {
        let blobs = wanted.iter().map(|Wanted { blob, .. }| (blob.digest, blob.size)).collect();
        self.ask(&Ask::Blobs(blobs))?;
        let mut arriving: Vec<_> = wanted.into_iter().map(|wanted| Some(Arriving::of(wanted))).collect();
        let failure = Mutex::new(None);
        let (keep, failure) = (&keep, &failure);
        thread::scope(|scope| {
            loop {
                let (told, bytes) = self.next()?;
                let mut one = |number: usize| {
                    arriving
                        .get_mut(number)
                        .and_then(Option::take)
                        .ok_or_else(unexpected)
                        .map(|one| (number, one))
                };
                match told {
                    Tell::Bytes(number) => {
                        let (number, mut blob) = one(number)?;
                        blob.add(&bytes, self.told)?;
                        arriving[number] = Some(blob);
                    }
                    Tell::Again(number) => {
                        let (number, mut blob) = one(number)?;
                        blob.begin_again()?;
                        arriving[number] = Some(blob);
                    }
                    Tell::Whole(number) => {
                        let (blob, sink) = one(number)?.1.whole()?;
                        let keep = move || {
                            if let Err(source) = keep(blob, sink) {
                                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                                first.get_or_insert(Error::Write { blob: blob.digest, source });
                            }
                        };
                        let started = thread::Builder::new().spawn_scoped(scope, keep);
                        started.map_err(|source| Error::Write { blob: blob.digest, source })?;
                    }
                    Tell::Done if arriving.iter().all(Option::is_none) => return Ok(()),
                    _ => return Err(unexpected()),
                }
                if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                    return Ok(());
                }
            }
        })?;
        failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn ask(&self, ask: &Ask) -> Result<(), Error> {
        write(&mut self.socket.borrow_mut().socket, ask, b"").map_err(|error| broken(&error))
    }

    /// Returns the next message that is no note.
    fn next(&self) -> Result<(Tell, Vec<u8>), Error> {
        loop {
            match read(&mut *self.socket.borrow_mut()).map_err(|error| broken(&error))? {
                Some((Tell::Note(note), _)) => self.told.note(&pod::text::one_line(&note)),
                Some((Tell::Failed { message, meaning }, _)) => return Err(Error::Told { message, meaning }),
                Some(told) => return Ok(told),
                None => {
                    return Err(failed(
                        "the process that speaks to registries has ended: expected an answer",
                    ));
                }
            }
        }
    }
}

fn unexpected() -> Error {
    failed("the process that speaks to registries says something else than was asked for")
}

impl Drop for Fetcher<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Repository for Fetcher<'_> {
    fn reference(&self) -> &Reference {
        &self.reference
    }

    fn manifest_at(&self, version: &Version) -> Result<Manifest, Error> {
        self.document(Some(version.to_string()), version)
    }

    fn small_blob(&self, digest: BlobDigest, size: u64) -> Result<Vec<u8>, Error> {
        let bytes = Mutex::new(Vec::new());
        let keep = |_: Blob, whole: Vec<u8>| {
            *bytes.lock().unwrap_or_else(PoisonError::into_inner) = whole;
            Ok(())
        };
        self.blobs(vec![Wanted { blob: Blob { digest, size }, sink: Vec::new() }], &keep)?;
        Ok(bytes.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A blob that arrives.
struct Arriving<S> {
    blob: Blob,
    sink: S,
    hasher: BlobHasher,
    at: u64,
    /// The bytes that have arrived and are not in the sink yet.
    pending: Vec<u8>,
    progress: Option<Box<dyn Progress>>,
}

impl<S: Sink> Arriving<S> {
    fn of(Wanted { blob, sink }: Wanted<S>) -> Self {
        Self { blob, sink, hasher: blob.digest.hasher(), at: 0, pending: Vec::new(), progress: None }
    }

    fn add(&mut self, bytes: &[u8], told: &dyn Listener) -> Result<(), Error> {
        let Blob { digest, size } = self.blob;
        self.at += bytes.len() as u64;
        if self.at > size {
            return Err(unexpected());
        }
        self.hasher.update(bytes);
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= AT_ONCE {
            self.flush()?;
        }
        self.progress.get_or_insert_with(|| told.begin(&digest, size)).reach(self.at);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            let written = self.sink.append(&self.pending);
            written.map_err(|source| Error::Write { blob: self.blob.digest, source })?;
            self.pending.clear();
        }
        Ok(())
    }

    fn begin_again(&mut self) -> Result<(), Error> {
        self.sink.clear().map_err(|source| Error::Write { blob: self.blob.digest, source })?;
        self.pending.clear();
        (self.at, self.hasher) = (0, self.blob.digest.hasher());
        self.progress.iter().for_each(|progress| progress.reach(0));
        Ok(())
    }

    /// Returns the sink, which has all of the blob.
    fn whole(mut self) -> Result<(Blob, S), Error> {
        self.flush()?;
        let is_whole = self.at == self.blob.size && self.hasher.finish() == self.blob.digest;
        if is_whole { Ok((self.blob, self.sink)) } else { Err(unexpected()) }
    }
}
