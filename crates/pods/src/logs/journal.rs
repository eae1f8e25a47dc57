// SPDX-License-Identifier: Apache-2.0
//! The host's journal, to which a log writer can write natively: a datagram of fields for each line
//! (systemd's docs/JOURNAL_NATIVE_PROTOCOL.md).
//!
//! The socket is connected before the log writer is confined. It is the journal's for as long as the host runs, whether or
//! not the journal starts again meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use pod::logs::OF_POD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use sys::content::in_memory;
use sys::passing;

use super::record::Stream;

/// The journal's socket.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The longest line that is one message. A longer one is several, as other writers of containers' logs have it.
const LINE_MAX: usize = 256 << 10;
/// How long a journal without room is waited for, for each read of an app's output. The rest of that output is lost.
const PATIENCE: Duration = Duration::from_secs(1);
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// The journal, and the lines that have not ended yet, by app and stream.
#[derive(Debug)]
pub(super) struct Journal {
    socket: OwnedFd,
    pod: String,
    begun: BTreeMap<(String, &'static str), Vec<u8>>,
}

impl Journal {
    /// Connects to the host's journal, for what the pod with this id writes.
    pub(super) fn connect(pod: &str) -> io::Result<Self> {
        let connected = || {
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
            connect(&socket, &SocketAddrUnix::new(SOCKET)?)?;
            Ok(socket)
        };
        let socket = connected().map_err(|error: Errno| {
            io::Error::other(format!(
                "cannot reach the journal at {SOCKET}: {error}: expected systemd-journald to run"
            ))
        })?;
        Ok(Self { socket, pod: pod.to_owned(), begun: BTreeMap::new() })
    }

    /// Returns the socket.
    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Writes the lines that end in `data`, which an app has written, and keeps the rest. What can't be written is lost.
    ///
    /// Begins after the first `sent` bytes of these and of the line that was begun before, and tells `note` how many there
    /// are after each line.
    pub(super) fn write(
        &mut self,
        app: &str,
        stream: Stream,
        data: &[u8],
        sent: u64,
        note: &mut impl FnMut(u64),
    ) -> Result<(), Lost> {
        let key = (app.to_owned(), name(stream));
        let mut text = self.begun.remove(&key).unwrap_or_default();
        let begun = text.len();
        text.extend_from_slice(data);
        let mut begin = usize::try_from(sent).map_or(text.len(), |sent| sent.min(text.len()));
        // What was there before has no newline: it isn't searched again.
        let mut searched = begun.saturating_sub(begin);
        let mut lost = Ok(());
        let until = Instant::now() + PATIENCE;
        loop {
            let most = &text[begin..text.len().min(begin + LINE_MAX)];
            let (length, is_whole) = match memchr::memchr(b'\n', &most[searched.min(most.len())..]) {
                Some(end) => (searched + end, true),
                None if most.len() == LINE_MAX => (LINE_MAX, false),
                None => break,
            };
            let next = length + usize::from(is_whole);
            if let Err(why) = self.send(&entry(&self.pod, app, stream, &most[..length], is_whole), until) {
                let before = lost.err().map_or(0, |Lost { bytes, .. }| bytes);
                lost = Err(Lost { bytes: before + next as u64, why });
            }
            (begin, searched) = (begin + next, 0);
            note(begin as u64);
        }
        text.drain(..begin);
        if !text.is_empty() {
            self.begun.insert(key, text);
        }
        lost
    }

    /// Returns the lines that were begun, as [`Journal::go_on`] takes them.
    pub(super) fn begun(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for ((app, stream), text) in &self.begun {
            all.extend_from_slice(format!("{app} {stream} {}\n", text.len()).as_bytes());
            all.extend_from_slice(text);
        }
        all
    }

    /// Goes on with lines that another process has begun.
    pub(super) fn go_on(&mut self, mut all: &[u8]) {
        self.begun.clear();
        while let Some(end) = all.iter().position(|byte| *byte == b'\n') {
            let head = String::from_utf8_lossy(&all[..end]).into_owned();
            let mut words = head.split(' ');
            let (Some(app), Some(stream), Some(length)) = (words.next(), words.next(), words.next()) else {
                return;
            };
            let stream = if stream == "stdout" { Stream::Out } else { Stream::Err };
            let Some((text, rest)) =
                length.parse().ok().and_then(|length| all[end + 1..].split_at_checked(length))
            else {
                return;
            };
            self.begun.insert((app.to_owned(), name(stream)), text.to_vec());
            all = rest;
        }
    }

    /// Writes what a stream that has ended has written after its last newline.
    pub(super) fn end(&mut self, app: &str, stream: Stream) -> Result<(), Lost> {
        let Some(line) = self.begun.remove(&(app.to_owned(), name(stream))) else { return Ok(()) };
        let sent = self.send(&entry(&self.pod, app, stream, &line, true), Instant::now() + PATIENCE);
        sent.map_err(|why| Lost { bytes: line.len() as u64, why })
    }

    /// Sends an entry: as a datagram, or in a file in memory if it is too long for one. Waits until then for room.
    fn send(&self, entry: &[u8], until: Instant) -> io::Result<()> {
        match self.patiently(until, || send(&self.socket, entry, FLAGS).map(drop)) {
            Err(Errno::MSGSIZE | Errno::NOBUFS) => self.send_file(entry, until),
            sent => Ok(sent?),
        }
    }

    fn send_file(&self, entry: &[u8], until: Instant) -> io::Result<()> {
        let file = in_memory("entry", entry)?;
        let passed = [file.as_fd()];
        Ok(self.patiently(until, || passing::send(&self.socket, &[], &passed, FLAGS))?)
    }

    /// Tries until the journal has room, or the time is over.
    fn patiently(&self, until: Instant, send: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
        loop {
            match send() {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let left = until.checked_duration_since(Instant::now()).ok_or(Errno::AGAIN)?;
                    let left = Timespec::try_from(left).map_err(|_| Errno::AGAIN)?;
                    poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], Some(&left))?;
                }
                done => return done,
            }
        }
    }
}

/// Counts what could not be written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) bytes: u64,
    pub(super) why: io::Error,
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Out => "stdout",
        Stream::Err => "stderr",
    }
}

/// Returns the fields of a line. A message may have any bytes, so it has its length before it.
fn entry(pod: &str, app: &str, stream: Stream, line: &[u8], is_whole: bool) -> Vec<u8> {
    // As systemd has it for services: informational, unless the app says that it is an error (syslog(3)).
    let priority = if stream == Stream::Out { 6 } else { 3 };
    let identifier = if app == OF_POD { "gantry" } else { app };
    let stream = name(stream);
    let mut entry = format!(
        "PRIORITY={priority}\nSYSLOG_IDENTIFIER={identifier}\nGANTRY_POD={pod}\nGANTRY_APP={app}\nGANTRY_STREAM={stream}\n"
    )
    .into_bytes();
    if !is_whole {
        entry.extend_from_slice(b"CONTAINER_PARTIAL_MESSAGE=true\n");
    }
    entry.extend_from_slice(b"MESSAGE\n");
    entry.extend_from_slice(&(line.len() as u64).to_le_bytes());
    entry.extend_from_slice(line);
    entry.push(b'\n');
    entry
}

#[cfg(test)]
mod tests {
    use rustix::net::{RecvFlags, recv, socketpair};

    use super::*;

    #[test]
    fn a_line_is_an_entry_and_the_rest_waits_for_its_end() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
        let mut journal = Journal { socket: theirs, pod: "ID".into(), begun: BTreeMap::new() };
        let received = || {
            let mut bytes = [0; 1000];
            let (count, _) = recv(&ours, &mut bytes[..], RecvFlags::DONTWAIT).ok()?;
            Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
        };
        let write =
            |journal: &mut Journal, stream, data: &[u8]| journal.write("web", stream, data, 0, &mut |_| ());
        write(&mut journal, Stream::Out, b"one\ntw").unwrap();
        let head = |priority, stream| {
            format!(
                "PRIORITY={priority}\nSYSLOG_IDENTIFIER=web\nGANTRY_POD=ID\nGANTRY_APP=web\nGANTRY_STREAM={stream}\n"
            )
        };
        let message = |text: &str| {
            format!("MESSAGE\n{}\0\0\0\0\0\0\0{text}\n", char::from(u8::try_from(text.len()).unwrap()))
        };
        assert_eq!(received(), Some(head(6, "stdout") + &message("one")));
        assert_eq!(received(), None);
        write(&mut journal, Stream::Err, b"e\n").unwrap();
        assert_eq!(received(), Some(head(3, "stderr") + &message("e")));
        // Another process continues, and finds that the first line is sent.
        let (begun, mut sent) = (journal.begun(), Vec::new());
        journal.write("web", Stream::Out, b"o\nthree\n", 0, &mut |count| sent.push(count)).unwrap();
        assert_eq!(sent, [4, 10]);
        assert_eq!(received(), Some(head(6, "stdout") + &message("two")));
        assert_eq!(received(), Some(head(6, "stdout") + &message("three")));
        journal.go_on(&begun);
        journal.write("web", Stream::Out, b"o\nthree\n", 4, &mut |_| ()).unwrap();
        assert_eq!(received(), Some(head(6, "stdout") + &message("three")));
        journal.go_on(&begun);
        write(&mut journal, Stream::Out, b"o\n").unwrap();
        assert_eq!(received(), Some(head(6, "stdout") + &message("two")));
        write(&mut journal, Stream::Out, b"end").unwrap();
        journal.end("web", Stream::Out).unwrap();
        assert_eq!(received(), Some(head(6, "stdout") + &message("end")));
        journal.end("web", Stream::Out).unwrap();
        assert_eq!(received(), None);
        drop(ours);
        let lost = write(&mut journal, Stream::Out, b"12345\n123\n").unwrap_err();
        assert_eq!(lost.bytes, 10);
    }
}
