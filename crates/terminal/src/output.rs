// SPDX-License-Identifier: Apache-2.0
//! Data on its way to whoever asked for it, on stdout: all of it, or an error.
//!
//! Invariant: what nobody can get is not taken for delivered. A program that is started with stdout closed finds it open:
//! before `main`, Rust's runtime opens /dev/null in its place, so that no other file gets the number, and nothing tells
//! that from a /dev/null that was given. So it is looked at before the runtime starts. The runtime also takes a stdout
//! that can't be written to, one that is open for reading alone, for one that is closed on purpose, and drops what is
//! written there; so it is not written to through the runtime's buffer.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, fcntl_getfd, write};

/// Whether stdout was open when the program was started.
static WAS_OPEN: AtomicBool = AtomicBool::new(true);

ctor::declarative::ctor! {
    /// The loader calls it, so it keeps to one system call and one store.
    #[ctor(unsafe)]
    fn look() {
        WAS_OPEN.store(fcntl_getfd(rustix::stdio::stdout()).is_ok(), Ordering::Relaxed);
    }
}

/// Whether something can be written, as far as that can be told before: for work that would be in vain.
///
/// # Errors
/// Where stdout is closed, or nobody reads it any more.
pub fn check() -> Result<()> {
    let look = || -> Result<()> {
        ensure!(WAS_OPEN.load(Ordering::Relaxed), "it is closed");
        let stdout = io::stdout();
        let access = fcntl_getfl(&stdout)? & OFlags::RWMODE;
        ensure!(access != OFlags::RDONLY, "it is open for reading alone");
        let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO)?;
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        let is_read = !polled[0].revents().is_some_and(|found| found.intersects(gone));
        ensure!(is_read, "nobody reads it");
        Ok(())
    };
    look().context(FAILED)
}

const FAILED: &str = "cannot write to stdout";

/// Writes data, all of it or an error.
///
/// # Errors
/// As [`check`]; the system's.
pub fn print(data: &[u8]) -> Result<()> {
    check()?;
    write_all(data).context(FAILED)
}

/// Not by the runtime, which takes an error for a stdout that is closed on purpose.
fn write_all(mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        match write(rustix::stdio::stdout(), data) {
            Err(Errno::INTR) => {}
            written => data = &data[written?..],
        }
    }
    Ok(())
}

/// What is found and done, line by line. Where a line can't be written the work goes on, and has failed in the end.
#[derive(Debug, Default)]
pub struct Lines(Option<anyhow::Error>);

impl Lines {
    /// Writes a line, if all before it could be written.
    pub fn add(&mut self, line: &str) {
        if self.0.is_none() {
            self.0 = print(format!("{line}\n").as_bytes()).err();
        }
    }

    /// # Errors
    /// Where a line could not be written.
    pub fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Prints help, or what was not understood; the program's code.
pub fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let text = error.render().to_string();
        let lines: Vec<_> = text.trim_end().split('\n').map(pod::text::one_line).collect();
        crate::tell(&lines.join("\n"));
        return ExitCode::from(2);
    }
    let print = || error.print().and_then(|()| io::stdout().flush()).context(FAILED);
    match check().and_then(|()| print()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::error(&error);
            ExitCode::FAILURE
        }
    }
}
