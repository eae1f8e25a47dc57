// SPDX-License-Identifier: Apache-2.0
//! Input files: opened once, before anything is written, and read through that descriptor from then on.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use pod::digest::Sha256;
use pod::text::escape;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{About as _, Error, Result};
use crate::extract::{FileDigest, FileHasher, check_file};
use crate::fault::Fault;
use crate::listener::{Listener, Progress};
use sys::Interrupt;

const BUFFER: usize = 256 << 10;

/// Why an input file can't be opened. Paths are escaped.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error("cannot open {path}")]
    Missing {
        /// Its path.
        path: String,
        /// The kernel's reason.
        #[source]
        error: Errno,
    },
    /// It is something other than a regular file.
    #[error("cannot open {path}: expected a regular file")]
    NotAFile {
        /// Its path.
        path: String,
    },
    /// The system refuses.
    #[error("cannot open {path}")]
    System {
        /// Its path.
        path: String,
        /// The kernel's reason.
        #[source]
        error: io::Error,
    },
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let about = error.to_string();
        Self::Fault(match error {
            OpenError::Missing { error, .. } => Fault::from(error).at(about),
            OpenError::System { error, .. } => Fault::from(error).at(about),
            OpenError::NotAFile { .. } => Fault::System(io::Error::other(about)),
        })
    }
}

/// An open regular file.
#[derive(Debug)]
pub struct InputFile {
    path: PathBuf,
    /// Whether the path leads to the file.
    has_path: bool,
    file: File,
    length: u64,
    progress: Option<Box<dyn Progress>>,
}

impl InputFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// If there is none, or it can't be opened.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let system = |error| OpenError::System { path: escape(&path.to_string_lossy()), error };
        // O_NONBLOCK: opening a FIFO must not wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| openat(CWD, path, flags, Mode::empty())) {
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                return Err(OpenError::Missing { path: escape(&path.to_string_lossy()), error });
            }
            opened => File::from(opened.map_err(|errno| system(errno.into()))?),
        };
        let metadata = file.metadata().map_err(system)?;
        if !metadata.is_file() {
            return Err(OpenError::NotAFile { path: escape(&path.to_string_lossy()) });
        }
        Ok(Self { path: path.to_owned(), has_path: true, file, length: metadata.len(), progress: None })
    }

    /// Makes a file in memory; `name` is for messages.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory(name: &str, bytes: &[u8]) -> io::Result<Self> {
        let file = sys::content::in_memory(name, bytes)?;
        let length = bytes.len() as u64;
        Ok(Self { path: name.into(), has_path: false, file, length, progress: None })
    }

    /// Takes a file that has no path, from its start; `name` is for messages.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub fn unnamed(name: &str, file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { path: name.into(), has_path: false, file, length, progress: None })
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

    /// Returns its absolute path, if it has one that is UTF-8.
    pub fn absolute(&self) -> Option<String> {
        if !self.has_path {
            return None;
        }
        std::path::absolute(&self.path).ok()?.into_os_string().into_string().ok()
    }

    /// Computes its digest, and rewinds it afterwards.
    pub fn digest(&mut self, mut hasher: FileHasher, interrupt: &Interrupt) -> Result<FileDigest> {
        self.for_each(|chunk| {
            interrupt.check()?;
            hasher.update(chunk);
            Ok(())
        })?;
        self.file.rewind().about(|| "cannot rewind")?;
        Ok(hasher.finish())
    }

    /// Reads the whole file, checks that it has this sha256, and rewinds it.
    pub fn check(&mut self, expected: Sha256, interrupt: &Interrupt) -> Result<()> {
        Ok(check_file(self.digest(FileHasher::sha256(), interrupt)?, expected)?)
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
        (&self.file).take(max + 1).read_to_end(&mut content).about(|| "cannot read")?;
        if content.len() as u64 > max {
            return Err(Fault::Content(format!("{}: expected at most {max} bytes", self.shown())).into());
        }
        Ok(content)
    }

    /// Passes the rest of the file to `sink` in pieces.
    pub fn for_each(&mut self, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.read(&mut buffer).about(|| "cannot read")? {
                0 => return Ok(()),
                count => sink(&buffer[..count])?,
            }
        }
    }
}

impl Read for InputFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        if let Some(progress) = &self.progress {
            progress.advance(count as u64);
        }
        Ok(count)
    }
}
