// SPDX-License-Identifier: Apache-2.0
//! The caller's stdin, stdout and stderr. The apps get the descriptors themselves, so no relay and no terminal is in
//! between that could lose or change anything ([`crate::exchange::stdio_message`]). There are two exceptions: terminals
//! are opened anew, for reading or for writing ([`crate::enter::terminal`]), and in place of a socket as stdout or
//! stderr the apps get a pipe, since a socket can't be opened anew ([`crate::enter::relay`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FileType, FsWord, Mode, OFlags, fchmod, fcntl_getfl, fstat, fstatfs};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use sys::locks::identity;

use crate::enter::relay::Relay;
use crate::enter::terminal::{self, Input};
use crate::enter::volumes::is_directory;
use crate::exchange::stdio_message;

/// The file system of pipes without a name (linux/magic.h, `PIPEFS_MAGIC`).
const PIPEFS: FsWord = 0x5049_5045;

/// Refuses a stdio that is more than a stream.
///
/// A directory, or a descriptor that only names something (`O_PATH`), is a way out of an app's root.
pub(crate) fn check() -> Result<()> {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    for (name, fd) in [("stdin", input.as_fd()), ("stdout", output.as_fd()), ("stderr", error.as_fd())] {
        let flags = fcntl_getfl(fd)?;
        ensure!(
            !flags.contains(OFlags::PATH) && !is_directory(fd)?,
            "{name} is a directory or can't be used: expected a file, a pipe, a socket or a terminal"
        );
    }
    Ok(())
}

/// Takes the socket that the other side of an app's terminal goes to, which is this process's stdin.
pub(crate) fn of_terminal() -> Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let is_one = socket_type(&socket) == Ok(SocketType::SEQPACKET);
    ensure!(is_one, "stdin is no socket for a terminal: expected one of SOCK_SEQPACKET");
    Ok(socket)
}

/// The descriptors that the apps get as stdin, stdout and stderr.
#[derive(Debug)]
pub(crate) struct Stdio {
    descriptors: [OwnedFd; 3],
    /// How the apps have the terminal that is their stdin.
    terminal: Input,
    /// The pipes that apps have in place of sockets.
    relays: Vec<Relay>,
}

/// Takes this process's stdio for the apps. Without `stdin`, their stdin is /dev/null.
///
/// This process must still be in the caller's mount namespace. If the apps' users are not the host's, a pipe is opened to
/// all: an app may open it again, by the name /dev/stdout, and no other process of the host can. A terminal that the only
/// app holds belongs to the host's user `terminal_user` meanwhile.
pub(crate) fn take(stdin: bool, own_users: bool, terminal_user: Option<u32>) -> Result<Stdio> {
    let caller = io::stdin();
    let (input, terminal) = match stdin {
        false => (File::open("/dev/null").context("cannot open /dev/null")?.into(), Input::None),
        true if terminal::is_terminal(&caller) => {
            terminal::input(caller.as_fd(), terminal_user).context(unusable("stdin"))?
        }
        true => (caller.as_fd().try_clone_to_owned()?, Input::None),
    };
    let mut relays = Vec::new();
    let mut output = |fd: BorrowedFd<'_>, name| {
        if terminal::is_terminal(fd) {
            return terminal::output(fd, &terminal).context(unusable(name));
        }
        if !Relay::is_needed(fd)? {
            return Ok(fd.try_clone_to_owned()?);
        }
        let (pipe, relay) = Relay::new(fd)?;
        relays.push(relay);
        Ok(pipe)
    };
    let (out, error) = (io::stdout(), io::stderr());
    let to_out = output(out.as_fd(), "stdout")?;
    // Output to one socket stays in order.
    let is_one = relays_one(&out, &error)?;
    let to_error = if is_one { to_out.try_clone()? } else { output(error.as_fd(), "stderr")? };
    let descriptors = [input, to_out, to_error];
    for descriptor in descriptors.iter().filter(|_| own_users) {
        if FileType::from_raw_mode(fstat(descriptor)?.st_mode) == FileType::Fifo {
            open_to_all(descriptor).context("cannot give the apps a pipe of the caller's")?;
        }
    }
    Ok(Stdio { descriptors, terminal, relays })
}

/// Tells whether stdout and stderr are the same socket.
fn relays_one(out: impl AsFd, error: impl AsFd) -> Result<bool> {
    Ok(Relay::is_needed(out.as_fd())? && identity(out.as_fd())? == identity(error.as_fd())?)
}

/// Lets any user read and write a pipe that has no name. A named one is left as it is.
fn open_to_all(pipe: &OwnedFd) -> Result<()> {
    let is_named = fstatfs(pipe)?.f_type != PIPEFS;
    if !is_named {
        fchmod(pipe, Mode::from_raw_mode(0o666))?;
    }
    Ok(())
}

fn unusable(name: &str) -> String {
    format!("{name} is a terminal that apps can't be given: expected another, or a file or a pipe")
}

impl Stdio {
    /// Makes the socket that carries these descriptors and the pod's `sockets`.
    pub(crate) fn offer(&self, sockets: &[OwnedFd]) -> Result<OwnedFd> {
        stdio_message::offer(&self.descriptors, sockets)
    }

    /// Returns how the apps have their terminal, and their pipes, and closes this process's copies of the descriptors.
    pub(crate) fn into_parts(self) -> (Input, Vec<Relay>) {
        (self.terminal, self.relays)
    }

    /// Makes the apps' stderr this process's stdout and stderr, and /dev/null its stdin.
    pub(crate) fn become_silent(&self) -> Result<()> {
        dup2_stdin(File::open("/dev/null").context("cannot open /dev/null")?)?;
        dup2_stdout(&self.descriptors[2])?;
        Ok(dup2_stderr(&self.descriptors[2])?)
    }
}
