// SPDX-License-Identifier: Apache-2.0
//! The caller's stdin, stdout and stderr, and the pod's sockets. The apps get the descriptors themselves, so no relay
//! and no terminal is in between that could lose or change anything. Terminals are the exception: they are opened
//! anew, for what they are to be used for ([`crate::enter::terminal`]).
//!
//! `/init` binds a datagram socket and queues one message on it that carries the descriptors (unix(7), `SCM_RIGHTS`).
//! The socket goes to nspawn, to systemd, and as `gantry-stdio.socket` to every service by socket activation. The
//! launcher peeks at the message and takes the descriptors that are for its app. `MSG_PEEK` duplicates the descriptors
//! and leaves the message, so any number of services can do that. The socket's path is in `/init`'s private /run, so
//! nothing else can reach it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind,
    recvmsg, sendmsg, socket,
};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::enter::terminal::{self, Input};
use crate::enter::volumes::is_directory;

/// The socket's path. It is also `ListenDatagram=` in `gantry-stdio.socket`, by which systemd recognises the socket.
const SOCKET: &str = "/run/gantry-stdio";

/// The maximum number of descriptors in a message (linux/net.h, SCM_MAX_FD).
const DESCRIPTORS_MAX: usize = 253;

/// Refuses a stdio that is more than a stream.
///
/// A directory, or a descriptor that only names something (`O_PATH`), is a way out of an app's root.
pub(crate) fn check() -> Result<()> {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    for (name, fd) in [("stdin", input.as_fd()), ("stdout", output.as_fd()), ("stderr", error.as_fd())] {
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
        ensure!(
            !flags.contains(OFlag::O_PATH) && !is_directory(fd)?,
            "{name} is a directory or can't be used: expected a file, a pipe, a socket or a terminal"
        );
    }
    Ok(())
}

/// The descriptors that the apps get as stdin, stdout and stderr.
#[derive(Debug)]
pub(crate) struct Stdio {
    descriptors: [OwnedFd; 3],
    /// How the apps have the terminal that is their stdin.
    terminal: Input,
}

/// Takes this process's stdio for the apps. Without `stdin`, their stdin is /dev/null.
///
/// This process must still be in the caller's mount namespace.
pub(crate) fn take(stdin: bool) -> Result<Stdio> {
    let caller = io::stdin();
    let (input, terminal) = match stdin {
        false => (File::open("/dev/null").context("cannot open /dev/null")?.into(), Input::None),
        true if terminal::is_terminal(&caller) => {
            terminal::input(caller.as_fd()).context(unusable("stdin"))?
        }
        true => (caller.as_fd().try_clone_to_owned()?, Input::None),
    };
    let output = |fd: BorrowedFd<'_>, name| match terminal::is_terminal(fd) {
        true => terminal::output(fd, &terminal).context(unusable(name)),
        false => Ok(fd.try_clone_to_owned()?),
    };
    let (out, error) = (output(io::stdout().as_fd(), "stdout")?, output(io::stderr().as_fd(), "stderr")?);
    Ok(Stdio { descriptors: [input, out, error], terminal })
}

fn unusable(name: &str) -> String {
    format!("{name} is a terminal that apps can't be given: expected another, or a file or a pipe")
}

impl Stdio {
    /// Makes the socket that carries these descriptors and the pod's `sockets`.
    pub(crate) fn offer(&self, sockets: &[OwnedFd]) -> Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::Datagram, flags, None).context("socket")?;
        let address = UnixAddr::new(SOCKET)?;
        bind(listener.as_raw_fd(), &address).with_context(|| format!("cannot bind {SOCKET}"))?;
        let descriptors: Vec<_> = self.descriptors.iter().chain(sockets).map(AsRawFd::as_raw_fd).collect();
        let sender = socket(AddressFamily::Unix, SockType::Datagram, flags, None).context("socket")?;
        let rights = [ControlMessage::ScmRights(&descriptors)];
        sendmsg(sender.as_raw_fd(), &[IoSlice::new(b"0")], &rights, MsgFlags::empty(), Some(&address))
            .context("cannot queue the caller's stdio")?;
        Ok(listener)
    }

    /// Returns how the apps have their terminal, and closes this process's copies of the descriptors.
    pub(crate) fn into_terminal(self) -> Input {
        self.terminal
    }

    /// Makes the apps' stderr this process's stdout and stderr, and /dev/null its stdin.
    pub(crate) fn become_silent(&self) -> Result<()> {
        dup2_stdin(File::open("/dev/null").context("cannot open /dev/null")?)?;
        dup2_stdout(&self.descriptors[2])?;
        Ok(dup2_stderr(&self.descriptors[2])?)
    }
}

/// Takes the caller's stdio as this process's own, and returns the pod's sockets.
pub(crate) fn receive(socket: &OwnedFd) -> Result<Vec<OwnedFd>> {
    let mut space = nix::cmsg_space!([i32; DESCRIPTORS_MAX]);
    let mut byte = [0];
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut buffer, Some(&mut space), flags)?;
    let Some(ControlMessageOwned::ScmRights(descriptors)) = message.cmsgs()?.next() else {
        bail!("no descriptors on the stdio socket");
    };
    let mut all = crate::sys::own(&descriptors);
    if all.len() < 3 {
        bail!("{} descriptors on the stdio socket: expected three or more", all.len());
    }
    let sockets = all.split_off(3);
    dup2_stdin(&all[0])?;
    dup2_stdout(&all[1])?;
    dup2_stderr(&all[2])?;
    Ok(sockets)
}
