// SPDX-License-Identifier: Apache-2.0
//! Hands a program's output over to the log writer of a pod in the background ([`pod::logs`]).
//!
//! The caller's stdout is the log writer's socket then. The program gets the writing ends of two new pipes, which are open
//! to all, so that its user can open /dev/stdout. The log writer gets the reading ends, and the program never has the
//! socket.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context, Result};
use pod::name::AppName;
use rustix::fs::{Mode, fchmod};
use rustix::net::sockopt::socket_type;
use rustix::net::{SendFlags, SocketType};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use sys::passing;

/// The size of a pipe, in bytes, if the user may have one as large.
const PIPE_SIZE: usize = 256 << 10;

/// Makes this process's stdout and stderr pipes of the log writer's, if stdout is its socket.
///
/// Without a log writer, what the program writes is dropped.
pub(crate) fn hand_over(app: &AppName) -> Result<()> {
    let stdout = io::stdout();
    if socket_type(&stdout) != Ok(SocketType::SEQPACKET) {
        return Ok(());
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe for its output");
    let ((out, to_out), (error, to_error)) = (pipe()?, pipe()?);
    for end in [&to_out, &to_error] {
        let _ = fcntl_setpipe_size(end, PIPE_SIZE);
        fchmod(end, Mode::from_raw_mode(0o666)).context("cannot open its output to its user")?;
    }
    if send(stdout.as_fd(), app, [&out, &error]).is_err() {
        let null = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
        dup2_stdout(&null)?;
        return Ok(dup2_stderr(&null)?);
    }
    dup2_stdout(&to_out)?;
    Ok(dup2_stderr(&to_error)?)
}

fn send(socket: std::os::fd::BorrowedFd<'_>, app: &AppName, pipes: [&OwnedFd; 2]) -> Result<()> {
    Ok(passing::send(socket, app.as_str().as_bytes(), &pipes.map(OwnedFd::as_fd), SendFlags::NOSIGNAL)?)
}
