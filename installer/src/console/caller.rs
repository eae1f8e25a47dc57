// SPDX-License-Identifier: Apache-2.0
//! The terminal where this command was called. It is raw as long as this process shows another one in it, and is as it was
//! before whenever this process stops or ends.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::process::getpgrp;
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// The size of a terminal that is shown in none.
const USUAL: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// The caller's terminal, if stdin is one.
#[derive(Debug)]
pub(crate) struct Caller {
    input: OwnedFd,
    /// Its modes before this process changed them; `None` if stdin is no terminal.
    before: Option<Termios>,
    is_raw: bool,
}

impl Caller {
    /// Looks at stdin.
    ///
    /// # Errors
    /// If there is no stdin.
    pub(crate) fn new() -> Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned().context("cannot use stdin")?;
        let before = if isatty(&input) { Some(tcgetattr(&input)?) } else { None };
        Ok(Self { input, before, is_raw: false })
    }

    /// Tells whether stdin is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.before.is_some()
    }

    /// Tells whether keys may be read: the terminal is raw, and this process is in the foreground.
    pub(crate) fn is_raw(&self) -> bool {
        self.is_raw
    }

    /// Returns stdin.
    pub(crate) fn input(&self) -> &OwnedFd {
        &self.input
    }

    /// Makes the terminal raw, if this process is in the foreground. Returns false if it isn't.
    pub(crate) fn take(&mut self) -> bool {
        let Some(before) = &self.before else { return true };
        if !self.is_foreground() {
            return false;
        }
        let mut raw = before.clone();
        raw.make_raw();
        // A terminal that is gone has no modes, and is read as one that has ended.
        self.is_raw = tcsetattr(&self.input, OptionalActions::Drain, &raw).is_ok();
        true
    }

    /// Forgets that the terminal is raw: this process was stopped, and its modes are others' by now.
    pub(crate) fn lost(&mut self) {
        self.is_raw = false;
    }

    /// Gives the terminal back as it was.
    pub(crate) fn give_back(&mut self) {
        if let Some(before) = &self.before
            && std::mem::take(&mut self.is_raw)
            && self.is_foreground()
        {
            let _ = tcsetattr(&self.input, OptionalActions::Drain, before);
        }
    }

    /// Makes another terminal like this one, with its modes and its size.
    pub(crate) fn is_model_for(&self, other: &OwnedFd) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(other, OptionalActions::Now, before);
        }
        self.resize(other);
    }

    /// Gives another terminal this one's size. Programs there get SIGWINCH if it is new.
    pub(crate) fn resize(&self, other: &OwnedFd) {
        let known = tcgetwinsize(&self.input).or_else(|_| tcgetwinsize(io::stdout())).ok();
        let size = known.filter(|size| size.ws_row > 0 && size.ws_col > 0).unwrap_or(USUAL);
        let _ = tcsetwinsize(other, size);
    }

    /// Tells whether this process is in the terminal's foreground. Where it isn't its session's, that doesn't matter.
    fn is_foreground(&self) -> bool {
        tcgetpgrp(&self.input).map_or(true, |group| group == getpgrp())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.give_back();
    }
}
