// SPDX-License-Identifier: Apache-2.0
//! Holds the bytes that the log writer has *in hand*: taken from an app's pipe, and not yet written. They are in pipes
//! and files in memory that the keeper has, too, so they outlive a log writer that is killed.
//!
//! splice(2) moves bytes from the app's pipe to the hand's, and tee(2) copies them from there to be written. They are
//! dropped from the hand once they are written. Notes in between say how far the writing has come. A process that
//! continues it first cuts off what was written after the last note.
//!
//! Invariant: whenever the log writer is killed, each byte is in an app's pipe, in the hand, or written, and nowhere else.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};
use rustix::io::{Errno, ioctl_fionread, retry_on_intr};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, tee};

use super::record::Stream;

/// The most that is in hand, if pipes may be so large.
pub(super) const CHUNK: usize = 256 << 10;
/// More than the longest note.
const NOTE_MAX: usize = 2048;
const NOW: SpliceFlags = SpliceFlags::NONBLOCK;

/// Records whose bytes are in hand, and how many of them are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The app's name, or that of the pod's own messages.
    pub(super) name: String,
    pub(super) stream: Stream,
    /// When it was taken.
    pub(super) time: String,
    /// How many bytes were in hand when this was noted.
    pub(super) left: u64,
    /// How many bytes of its records are in the log.
    pub(super) done: u64,
    /// How long the log's file was before the next ones were written to it, if that has begun.
    pub(super) size: Option<u64>,
    /// How many bytes the journal has, with those of a line that was begun before; `None` if it has all that it can get.
    pub(super) sent: Option<u64>,
    /// The number of the file, of two, that has the lines that were begun.
    pub(super) slot: usize,
}

impl Note {
    /// Begins with what an app has written by this time.
    pub(super) fn new(name: &str, stream: Stream, time: String, slot: usize) -> Self {
        Self { name: name.to_owned(), stream, time, left: 0, done: 0, size: None, sent: Some(0), slot }
    }

    fn text(&self) -> String {
        let Self { name, stream, time, left, done, size, sent, slot } = self;
        let or_none = |number: &Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let (size, sent) = (or_none(size), or_none(sent));
        format!("{left} {done} {size} {sent} {slot} {stream} {time} {name}\n")
    }

    fn of(text: &str) -> Option<Self> {
        let (line, _) = text.split_once('\n')?;
        let mut words = line.splitn(8, ' ');
        let mut word = || words.next();
        let or_none = |word: &str| match word {
            "-" => Some(None),
            number => number.parse().ok().map(Some),
        };
        Some(Self {
            left: word()?.parse().ok()?,
            done: word()?.parse().ok()?,
            size: or_none(word()?)?,
            sent: or_none(word()?)?,
            slot: word()?.parse().ok().filter(|slot| *slot < 2)?,
            stream: if word()? == "stdout" { Stream::Out } else { Stream::Err },
            time: word()?.to_owned(),
            name: word()?.to_owned(),
        })
    }
}

/// A pipe's ends.
#[derive(Debug)]
struct Pipe {
    out: File,
    into: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = fcntl_setpipe_size(&into, CHUNK);
        Ok(Self { out: out.into(), into })
    }
}

/// The bytes in hand.
#[derive(Debug)]
pub(super) struct Hand {
    held: Pipe,
    /// The pipe that it is copied to when it is read. It is empty in between.
    copy: Pipe,
    null: OwnedFd,
    note: File,
    begun: [File; 2],
}

impl Hand {
    /// Makes an empty hand, while this process can open /dev/null.
    pub(super) fn new() -> io::Result<Self> {
        let memory = || memfd_create("log", MemfdFlags::CLOEXEC).map(File::from);
        let null = openat(CWD, "/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let begun = [memory()?, memory()?];
        Ok(Self { held: Pipe::new()?, copy: Pipe::new()?, null, note: memory()?, begun })
    }

    /// Returns its descriptors.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let Self { held, copy, null, note, begun } = self;
        let pipes = [held, copy].into_iter().flat_map(|pipe| [pipe.out.as_fd(), pipe.into.as_fd()]);
        pipes.chain([null.as_fd(), note.as_fd()]).chain(begun.iter().map(AsFd::as_fd))
    }

    /// Takes what is in a pipe, as far as there is room, and returns how much that is: nothing if the pipe has ended, and the
    /// pipe's error if there is none to take from.
    pub(super) fn take(&self, from: &File, note: &Note) -> io::Result<Result<usize, Errno>> {
        self.write_note(note)?;
        Ok(retry_on_intr(|| splice(from, None, &self.held.into, None, CHUNK, NOW)))
    }

    /// Returns how many bytes are in hand.
    pub(super) fn left(&self) -> io::Result<u64> {
        Ok(ioctl_fionread(&self.held.out)?)
    }

    /// Copies what is in hand to the beginning of `chunk`, as far as there is room, and returns how much that is.
    pub(super) fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let count = retry_on_intr(|| tee(&self.held.out, &self.copy.into, chunk.len(), NOW))?;
        self.copy.out.read_exact(&mut chunk[..count])?;
        Ok(count)
    }

    /// Drops the first bytes that are in hand.
    pub(super) fn drop_first(&self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            count -= retry_on_intr(|| splice(&self.held.out, None, &self.null, None, count, NOW))?;
        }
        Ok(())
    }

    /// Writes a note of what is in hand. A signal doesn't interrupt that: it is less than a page.
    pub(super) fn write_note(&self, note: &Note) -> io::Result<()> {
        self.note.write_all_at(note.text().as_bytes(), 0)
    }

    /// Returns the last note, and empties what a killed process has left of a copy.
    pub(super) fn last_note(&mut self) -> io::Result<Option<Note>> {
        let mut rest = [0; 4096];
        while self.copy.out.read(&mut rest).is_ok_and(|count| count > 0) {}
        let mut text = vec![0; NOTE_MAX];
        let count = self.note.read_at(&mut text, 0)?;
        Ok(Note::of(&String::from_utf8_lossy(&text[..count])))
    }

    /// Keeps the lines that were begun, in this slot.
    pub(super) fn keep(&self, slot: usize, begun: &[u8]) -> io::Result<()> {
        self.begun[slot].set_len(0)?;
        self.begun[slot].write_all_at(begun, 0)
    }

    /// Returns the lines that were begun, from this slot.
    pub(super) fn kept(&self, slot: usize) -> io::Result<Vec<u8>> {
        let length = self.begun[slot].metadata()?.len();
        let mut begun = vec![0; usize::try_from(length).unwrap_or_default()];
        self.begun[slot].read_exact_at(&mut begun, 0)?;
        Ok(begun)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let mut note = Note::new("web", Stream::Out, "2026-11-29T06:01:17.000000023Z".into(), 1);
        assert_eq!(Note::of(&note.text()), Some(note.clone()));
        note = Note { stream: Stream::Err, left: 7, done: 8, size: Some(9), sent: None, slot: 0, ..note };
        assert_eq!(Note::of(&(note.text() + "rest of a longer one\n")), Some(note));
        for bad in ["", "1 2 - - 0 stdout T web", "1 2 - - 2 stdout T web\n", "1 2 - - 0 stdout\n"] {
            assert_eq!(Note::of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_in_hand_stays_until_it_is_dropped() {
        let mut hand = Hand::new().unwrap();
        let app = Pipe::new().unwrap();
        let mut into = File::from(app.into);
        into.write_all(b"one two").unwrap();
        let note = Note::new("web", Stream::Out, "T".into(), 0);
        assert_eq!(hand.take(&app.out, &note).unwrap(), Ok(7));
        assert_eq!(hand.take(&app.out, &note).unwrap(), Err(Errno::AGAIN), "nothing is there");
        let mut chunk = [0; 100];
        for _ in 0..2 {
            let count = hand.read(&mut chunk).unwrap();
            assert_eq!((&chunk[..count], hand.left().unwrap()), (&b"one two"[..], 7));
        }
        let count = hand.read(&mut chunk[..3]).unwrap();
        assert_eq!(&chunk[..count], b"one", "as much as there is room for");
        hand.drop_first(4).unwrap();
        // A process that was killed may have left some of a copy.
        tee(&hand.held.out, &hand.copy.into, 3, NOW).unwrap();
        assert_eq!(hand.last_note().unwrap(), Some(note.clone()));
        let count = hand.read(&mut chunk).unwrap();
        assert_eq!(&chunk[..count], b"two");
        hand.drop_first(3).unwrap();
        drop(into);
        assert_eq!((hand.left().unwrap(), hand.take(&app.out, &note).unwrap()), (0, Ok(0)), "it has ended");
        hand.keep(1, b"begun").unwrap();
        hand.keep(1, b"be").unwrap();
        assert_eq!((hand.kept(0).unwrap(), hand.kept(1).unwrap()), (vec![], b"be".to_vec()));
    }
}
