// SPDX-License-Identifier: Apache-2.0
//! A terminal at which a test types, with a shell of its own (`job-shell`) that runs programs there.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::pty::openpty;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::{Parser, Screen};

use crate::program;

/// The size that a terminal has at first: rows and columns.
pub const SIZE: (u16, u16) = (25, 90);

/// A terminal and its shell.
pub struct Terminal {
    keyboard: File,
    shell: Child,
    told: ChildStdin,
    answers: BufReader<ChildStdout>,
    screen: Parser,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("shell", &self.shell).finish_non_exhaustive()
    }
}

/// Returns a number of rows or columns.
fn length(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal has rows and columns")
}

impl Terminal {
    /// Opens a terminal. Its shell works in `directory`.
    ///
    /// # Panics
    /// Panics if no terminal can be opened.
    pub fn new(directory: &Path) -> Self {
        let pty = openpty(None, None).expect("a terminal can be opened");
        // Whoever inherits it keeps the terminal open.
        fcntl_setfd(&pty.master, FdFlags::CLOEXEC).expect("a descriptor has flags");
        let mut shell = Command::new(program("job-shell"));
        shell.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(pty.slave);
        let mut shell = shell.spawn().expect("the shell can be executed");
        let told = shell.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let screen = Parser::new(length(SIZE.0), length(SIZE.1), 0);
        let mut terminal = Self { keyboard: pty.master.into(), shell, told, answers, screen };
        terminal.resize(SIZE);
        terminal
    }

    /// Sends a command to the shell and returns its answer.
    ///
    /// # Panics
    /// Panics if the shell doesn't answer.
    pub fn tell(&mut self, words: &[&str]) -> String {
        writeln!(self.told, "{}", words.join("\t")).expect("the shell can be told");
        let mut answer = String::new();
        let count = self.answers.read_line(&mut answer).expect("the shell answers");
        assert_ne!(count, 0, "the shell answers {words:?}");
        answer.trim_end().to_owned()
    }

    /// Types this text at the terminal.
    ///
    /// # Panics
    /// Panics if the terminal is gone.
    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("the terminal takes what is typed");
    }

    /// Gives the terminal another size: rows and columns.
    ///
    /// # Panics
    /// Panics if that fails.
    pub fn resize(&mut self, (rows, columns): (u16, u16)) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).expect("the terminal takes a size");
        self.screen.screen_mut().set_size(length(rows), length(columns));
    }

    /// Returns the terminal's modes.
    ///
    /// # Panics
    /// Panics if it has none.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.keyboard).expect("a terminal has modes")
    }

    /// Reads what is written to the terminal until its screen is as expected, as a person sees it. What [`Terminal::shows`]
    /// has read is not on it.
    ///
    /// # Panics
    /// Panics if the terminal ends before that.
    pub fn looks(&mut self, what: &str, is_so: impl Fn(&Screen) -> bool) -> &Screen {
        let mut bytes = [0; 4096];
        while !is_so(self.screen.screen()) {
            let read = self.keyboard.read(&mut bytes);
            let screen = self.screen.screen().contents();
            let Ok(count @ 1..) = read else { panic!("{what}: {read:?}, and the screen is {screen}") };
            self.screen.process(&bytes[..count]);
        }
        self.screen.screen()
    }

    /// Reads what the terminal shows, including what was typed, up to this text.
    ///
    /// # Panics
    /// Panics if the terminal ends before the text.
    pub fn shows(&mut self, text: &str) -> String {
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(text.as_bytes()) {
            let read = self.keyboard.read(&mut byte);
            let end = !matches!(read, Ok(1));
            assert!(!end, "no {text:?} in {:?}: {read:?}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The shell leads its session, so the session ends with it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
