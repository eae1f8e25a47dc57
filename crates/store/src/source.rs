// SPDX-License-Identifier: Apache-2.0
//! Input files: opened once, before anything is written, and read through that descriptor from then on.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pod::digest::Sha256;
use pod::text::escape;
use rustix::fs::OFlags;

use crate::extract::{FileDigest, FileHasher, check_file};
use crate::listener::{Listener, Progress};
use sys::Interrupt;

const BUFFER: usize = 256 << 10;

/// An open regular file.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
    length: u64,
    progress: Option<Box<dyn Progress>>,
}

impl Source {
    /// Opens a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let about = || format!("cannot open {}", escape(&path.to_string_lossy()));
        // O_NONBLOCK: opening a FIFO must not wait for its writer.
        let nonblock = i32::try_from(OFlags::NONBLOCK.bits())?;
        let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path).with_context(about)?;
        let metadata = file.metadata().with_context(about)?;
        ensure!(metadata.is_file(), "{}: expected a regular file", about());
        Ok(Self { path: path.to_owned(), file, length: metadata.len(), progress: None })
    }

    /// Returns its name for messages.
    pub fn shown(&self) -> String {
        escape(&self.path.to_string_lossy())
    }

    /// Returns the file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns its absolute path, if that is UTF-8.
    pub fn absolute(&self) -> Option<String> {
        std::path::absolute(&self.path).ok()?.into_os_string().into_string().ok()
    }

    /// Computes its digest, and rewinds it afterwards.
    pub fn digest(&mut self, mut hasher: FileHasher, interrupt: &Interrupt) -> Result<FileDigest> {
        self.for_each(|chunk| {
            interrupt.check()?;
            hasher.update(chunk);
            Ok(())
        })?;
        self.file.rewind().context("cannot rewind")?;
        Ok(hasher.finish())
    }

    /// Reads the whole file, checks that it has this sha256, and rewinds it.
    pub fn check(&mut self, expected: Sha256, interrupt: &Interrupt) -> Result<()> {
        check_file(self.digest(FileHasher::sha256(), interrupt)?, expected)
    }

    /// Shows the user how far the reading has come, from now on.
    pub fn show_progress(&mut self, listener: &dyn Listener, what: &str) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.progress = Some(listener.begin(&format!("{what} {}", escape(&name)), self.length));
    }

    /// Shows how far the file was read by another process, which shares this open file.
    pub fn update_progress(&self) {
        if let Some(progress) = self.progress.as_ref().filter(|progress| progress.is_seen())
            && let Ok(position) = (&self.file).stream_position()
        {
            progress.reach(position);
        }
    }

    /// Reads the rest of the file, which may have at most `max` bytes.
    pub fn read_all(&mut self, max: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        (&self.file).take(max + 1).read_to_end(&mut content).context("cannot read")?;
        ensure!(content.len() as u64 <= max, "{}: expected at most {max} bytes", self.shown());
        Ok(content)
    }

    /// Passes the rest of the file to `sink` in pieces.
    pub fn for_each(&mut self, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.read(&mut buffer).context("cannot read")? {
                0 => return Ok(()),
                count => sink(&buffer[..count])?,
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        if let Some(progress) = &self.progress {
            progress.advance(count as u64);
        }
        Ok(count)
    }
}
