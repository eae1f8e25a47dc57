// SPDX-License-Identifier: Apache-2.0
//! A terminal at which a test types, with a shell of its own (`job-shell`) that runs programs there.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::pty::openpty;

use crate::program;

/// A terminal and its shell.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    shell: Child,
    told: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Terminal {
    /// Opens a terminal. Its shell works in `directory`.
    ///
    /// # Panics
    /// Panics if no terminal can be opened.
    pub fn new(directory: &Path) -> Self {
        let pty = openpty(None, None).expect("a terminal can be opened");
        let mut shell = Command::new(program("job-shell"));
        shell.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(pty.slave);
        let mut shell = shell.spawn().expect("the shell can be executed");
        let told = shell.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        Self { keyboard: pty.master.into(), shell, told, answers }
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
