// SPDX-License-Identifier: Apache-2.0
//! The two processes of a log writer: the writer, and the keeper, which has the same descriptors and only waits.
//!
//! If one of them is killed, the other one becomes the writer and forks off a new keeper. So the pipes that apps write
//! to have a reader all the time: no app gets SIGPIPE, and what it writes meanwhile stays in its pipe. Both are forks
//! of one process, which was confined before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pod::logs::MESSAGE_MAX;
use rustix::io::retry_on_intr;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use sys::passing;
use sys::process::{ForkResult, fork};

/// The writer's last message to the keeper.
const END: &[u8] = b".";

/// The part of this process in the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Keeper,
}

/// The end of a process's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every pipe has ended.
    All,
    /// The other process was killed.
    Other,
}

/// The content of a message.
#[derive(Debug)]
pub(super) enum Message {
    /// An app's pipes.
    Pipes(String, Vec<OwnedFd>),
    /// No process has the other end any more.
    Closed,
}

/// The connection to the other process.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    child: Option<Pid>,
}

impl Link {
    /// Forks off a keeper. Returns in both processes, with the role of each.
    pub(super) fn fork() -> io::Result<(Role, Self)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        match fork()? {
            ForkResult::Parent { child } => {
                Ok((Role::Writer, Self { socket: ours, child: Pid::from_raw(child.as_raw()) }))
            }
            ForkResult::Child => Ok((Role::Keeper, Self { socket: theirs, child: None })),
        }
    }

    /// Gives the keeper an app's pipes. If the keeper has ended, the socket reports that later.
    pub(super) fn give(&self, app: &str, pipes: &[OwnedFd]) {
        let _ = send(&self.socket, app, pipes);
    }

    /// Tells the keeper that every pipe has ended.
    pub(super) fn tell_end(&self) {
        let _ = send(&self.socket, ".", &[]);
    }

    /// Waits for a message of the writer: pipes, or that all have ended. If the writer was killed, the socket reports
    /// that.
    pub(super) fn hear(&self) -> io::Result<Result<(String, Vec<OwnedFd>), Ended>> {
        Ok(match receive(&self.socket, RecvFlags::empty())? {
            Message::Pipes(word, pipes) if pipes.is_empty() && word.as_bytes() == END => Err(Ended::All),
            Message::Pipes(app, pipes) => Ok((app, pipes)),
            Message::Closed => Err(Ended::Other),
        })
    }

    /// Takes note that the other process has ended.
    pub(super) fn close(self) {
        if let Some(child) = self.child {
            let _ = retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends pipes' reading ends in a message that consists of an app's name.
pub(super) fn send(socket: &OwnedFd, app: &str, pipes: &[OwnedFd]) -> io::Result<()> {
    let pipes: Vec<_> = pipes.iter().map(OwnedFd::as_fd).collect();
    Ok(passing::send(socket, app.as_bytes(), &pipes, SendFlags::NOSIGNAL)?)
}

/// Receives such a message. One that is too long has no name.
pub(super) fn receive(socket: &OwnedFd, flags: RecvFlags) -> io::Result<Message> {
    let mut name = [0; MESSAGE_MAX];
    let received = passing::receive(socket, &mut name, 2, flags)?;
    if received.bytes == 0 && received.descriptors.is_empty() {
        return Ok(Message::Closed);
    }
    let name = std::str::from_utf8(&name[..received.bytes]).ok().filter(|_| received.is_whole);
    Ok(Message::Pipes(name.unwrap_or_default().to_owned(), received.descriptors))
}
