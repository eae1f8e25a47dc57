// SPDX-License-Identifier: Apache-2.0
//! The connections: one request and one answer on each, many at a time, in one thread.
//!
//! Nothing that a client does makes another one wait. A connection is read and written only when that can't block, is
//! closed after [`PATIENCE`], and when there are [`CONNECTIONS`] of them, the oldest gives way to a new one: a client
//! that sends its request at once has its answer long before it is the oldest.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};

use super::answer::{Answer, Service, refusal};
use super::http::{Parsed, parse};

/// The most connections at a time, less than the descriptors that the unit allows.
const CONNECTIONS: usize = 256;
/// How many connections are accepted before others are looked at.
const AT_ONCE: usize = 64;
/// How long a connection may last.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much is read at once.
const PART: usize = 16 << 10;
/// How much is sent before others are looked at.
const SENT: usize = 256 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Makes the socket one that doesn't block.
pub(super) fn make_ready(listener: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_setfl(listener, OFlags::NONBLOCK)?)
}

/// Closes all connections that wait.
pub(super) fn refuse_all(listener: &OwnedFd) {
    if make_ready(listener).is_ok() {
        while accept(listener).is_ok() {}
    }
}

/// Answers, until the pod ends.
pub(super) fn serve(listener: &OwnedFd, service: &Service) -> ExitCode {
    let mut connections: Vec<Connection<'_>> = Vec::with_capacity(CONNECTIONS);
    loop {
        let mut waited = Vec::with_capacity(CONNECTIONS + 1);
        waited.push(PollFd::new(listener, PollFlags::IN));
        waited.extend(connections.iter().map(Connection::waits));
        let first = connections.first().map(|oldest| oldest.until.saturating_duration_since(Instant::now()));
        let timeout = first.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut waited, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
        let ready: Vec<bool> = waited.iter().map(|one| !one.revents().is_empty()).collect();
        drop(waited);
        let mut each = ready[1..].iter();
        let now = Instant::now();
        connections.retain_mut(|one| {
            let is_ready = each.next().copied().unwrap_or_default();
            now < one.until && (!is_ready || one.go_on(service).is_ok())
        });
        if ready[0] {
            accept_some(listener, service, &mut connections);
        }
    }
}

/// Accepts connections, and answers those whose requests are there.
fn accept_some<'s>(listener: &OwnedFd, service: &'s Service, connections: &mut Vec<Connection<'s>>) {
    for _ in 0..AT_ONCE {
        let Ok(socket) = accept(listener) else { return };
        let until = Instant::now() + PATIENCE;
        let mut one = Connection { socket, until, state: State::Reading(Vec::new()) };
        if one.go_on(service).is_err() {
            continue;
        }
        if connections.len() == CONNECTIONS {
            connections.remove(0);
        }
        connections.push(one);
    }
}

fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Err(Errno::CONNABORTED | Errno::INTR) => {}
            accepted => return accepted,
        }
    }
}

/// A connection.
struct Connection<'s> {
    socket: OwnedFd,
    /// When it is closed in any case.
    until: Instant,
    state: State<'s>,
}

enum State<'s> {
    /// The request, as far as it is there.
    Reading(Vec<u8>),
    /// An answer, and the number of its bytes that are sent.
    Writing(Answer<'s>, usize),
    /// All is sent. What the client still sends is read, because closing would take the answer back (tcp(7): a reset).
    Closing,
}

/// The reason why nothing more is done with a connection.
struct Over;

impl<'s> Connection<'s> {
    fn waits(&self) -> PollFd<'_> {
        let what = if matches!(self.state, State::Writing(..)) { PollFlags::OUT } else { PollFlags::IN };
        PollFd::from_borrowed_fd(self.socket.as_fd(), what)
    }

    /// Does a small part of what can be done without waiting.
    fn go_on(&mut self, service: &'s Service) -> Result<(), Over> {
        loop {
            let then = match &mut self.state {
                State::Reading(bytes) => {
                    let mut part = [0; PART];
                    let Some(count) = later(recv(&self.socket, &mut part, RecvFlags::empty()))? else {
                        return Ok(());
                    };
                    if count.0 == 0 {
                        return Err(Over);
                    }
                    bytes.extend_from_slice(&part[..count.0]);
                    match parse(bytes) {
                        Ok(Parsed::Part { continues: false }) => continue,
                        Ok(Parsed::Part { continues: true }) => {
                            later(send(&self.socket, CONTINUE, SendFlags::NOSIGNAL))?;
                            continue;
                        }
                        Ok(Parsed::Whole(request)) => State::Writing(service.answer(&request), 0),
                        Err(status) => State::Writing(refusal(status), 0),
                    }
                }
                State::Writing(Answer { bytes, more }, sent) => {
                    let rest = bytes.get(*sent..).filter(|rest| !rest.is_empty());
                    let rest = rest.unwrap_or_else(|| &more[*sent - bytes.len()..]);
                    let rest = &rest[..rest.len().min(SENT)];
                    if let Some(count) = later(send(&self.socket, rest, SendFlags::NOSIGNAL))? {
                        *sent += count;
                    }
                    if *sent < bytes.len() + more.len() {
                        return Ok(());
                    }
                    shutdown(&self.socket, Shutdown::Write).map_err(|_| Over)?;
                    State::Closing
                }
                State::Closing => {
                    return match later(recv(&self.socket, &mut [0; PART], RecvFlags::empty()))? {
                        Some((0, _)) => Err(Over),
                        _ => Ok(()),
                    };
                }
            };
            self.state = then;
        }
    }
}

/// Returns the result of a call, or `None` if it would have to wait.
fn later<T>(called: Result<T, Errno>) -> Result<Option<T>, Over> {
    match called {
        Ok(done) => Ok(Some(done)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(_) => Err(Over),
    }
}
