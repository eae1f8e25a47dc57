// SPDX-License-Identifier: Apache-2.0
//! Writes data to stdout: all of it, or the result is an error.
//!
//! Invariant: data that can't reach a reader never counts as delivered. A program that is started with stdout closed
//! finds it open: before `main`, Rust's runtime opens /dev/null in its place, so that no other file gets the
//! descriptor's number. That /dev/null can't be told from one that the caller passed, so stdout is checked before the
//! runtime starts ([`sys::stdout`]). The runtime also treats a stdout that is open for reading only, and so can't be written to, as
//! one that was closed on purpose, and silently drops what is written to it. So this module doesn't write through the
//! runtime's buffer.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, write};
use sys::stdout::was_open;

/// Checks whether stdout can be written to, as far as that is known in advance. Saves work whose result could not be
/// delivered.
///
/// # Errors
/// Fails if stdout is closed, can't be written to, or has no reader any more.
pub fn check() -> Result<()> {
    let look = || -> Result<()> {
        ensure!(was_open(), "it is closed");
        let stdout = io::stdout();
        let access = fcntl_getfl(&stdout)? & OFlags::RWMODE;
        ensure!(access != OFlags::RDONLY, "it is open for reading only");
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        poll(&mut polled, Some(&Timespec::default()))?;
        let is_gone = polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP);
        ensure!(!is_gone, "its reader is gone");
        Ok(())
    };
    look().context(FAILED)
}

const FAILED: &str = "cannot write to stdout";

/// Writes all of the data.
///
/// # Errors
/// Fails as [`check`] does, and with the system's error if not all could be written.
pub fn print(data: &[u8]) -> Result<()> {
    check()?;
    write_all(data).context(FAILED)
}

/// Writes without the runtime, which treats some errors as a stdout that was closed on purpose.
fn write_all(mut data: &[u8]) -> rustix::io::Result<()> {
    while !data.is_empty() {
        match write(rustix::stdio::stdout(), data) {
            Err(Errno::INTR) => {}
            written => data = &data[written?..],
        }
    }
    Ok(())
}

/// Lines of output about what was found and done. If a line can't be written, the work goes on, and [`Lines::end`]
/// fails.
#[derive(Debug, Default)]
pub struct Lines(Option<anyhow::Error>);

impl Lines {
    /// Writes a line, unless an earlier one could not be written.
    pub fn add(&mut self, line: &str) {
        if self.0.is_none() {
            self.0 = print(format!("{line}\n").as_bytes()).err();
        }
    }

    /// Finishes the output.
    ///
    /// # Errors
    /// Fails if a line could not be written.
    pub fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The result of printing an answer for a command line that asks for nothing else: help, a version, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It asked for the help or the version, which was printed.
    Help,
    /// It asked for the help or the version, and that can't be written, which was reported.
    Nothing,
    /// It is wrong, which was reported.
    WrongUsage,
}

/// Prints the parser's answer to a command line: the help on stdout, a usage error on stderr.
pub fn usage(error: &clap::Error) -> Shown {
    if error.use_stderr() {
        let text = error.render().to_string();
        let lines: Vec<_> = text.trim_end().split('\n').map(pod::text::one_line).collect();
        crate::tell(&lines.join("\n"));
        return Shown::WrongUsage;
    }
    let print = || error.print().and_then(|()| io::stdout().flush()).context(FAILED);
    match check().and_then(|()| print()) {
        Ok(()) => Shown::Help,
        Err(error) => {
            crate::error(&error);
            Shown::Nothing
        }
    }
}
