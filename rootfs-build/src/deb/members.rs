// SPDX-License-Identifier: Apache-2.0
//! Reads the members of a package's outer archive.
//!
//! This reader supports only the part of ar that deb(5) allows: short names, and no symbol or name tables. That is 60
//! bytes a header. Reading them here avoids the panics and allocations that damaged files cause in general ar readers.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek as _, Take};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// A member's name and contents.
pub(super) type Member<'a> = (String, Take<&'a mut BufReader<File>>);

/// A package's members, in order.
pub(super) struct Members {
    file: BufReader<File>,
    /// The offset of the next header.
    next: u64,
}

impl Members {
    /// Opens a package's file.
    ///
    /// # Errors
    /// Fails if the file can't be read or doesn't begin as a package does.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut members = Self { file: BufReader::new(File::open(path)?), next: MAGIC.len() as u64 };
        let mut magic = [0; MAGIC.len()];
        let read = members.file.read_exact(&mut magic);
        ensure!(read.is_ok() && &magic == MAGIC, "not a Debian package");
        match members.advance()? {
            Some((name, _)) if name == "debian-binary" => Ok(members),
            _ => bail!("not a Debian package: it doesn't begin with debian-binary"),
        }
    }

    /// Returns the next member's name and contents; `None` at the end.
    ///
    /// # Errors
    /// Fails if the file can't be read or is damaged.
    pub(super) fn advance(&mut self) -> Result<Option<Member<'_>>> {
        self.file.seek(std::io::SeekFrom::Start(self.next))?;
        let mut header = [0; HEADER];
        match self.file.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let text = str::from_utf8(&header).ok().filter(|text| text.is_ascii() && text.ends_with("`\n"));
        let text = text.context("damaged member header")?;
        let name = text[..16].trim_end().trim_end_matches('/').to_owned();
        let size: u64 = text[48..58].trim_end().parse().context("damaged member size")?;
        // Members begin at even offsets. Ten digits can't overflow.
        self.next += HEADER as u64 + size + size % 2;
        Ok(Some((name, self.file.by_ref().take(size))))
    }
}
