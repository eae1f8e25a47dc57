// SPDX-License-Identifier: Apache-2.0
//! Reads the members of a package's outer archive.
//!
//! This reader supports only the part of ar that deb(5) allows: short names, and no symbol or name tables. That is 60
//! bytes a header. Reading them here avoids the panics and allocations that damaged files cause in general ar readers.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _, Take};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use pod::text::escape;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;

/// How dpkg compresses the two tars; `.lzma` can't be decoded here.
const COMPRESSIONS: [&str; 5] = ["", ".gz", ".xz", ".zst", ".bz2"];

/// Tells whether a member is the tar `name`.
pub(super) fn is_tar(member: &str, name: &str) -> bool {
    member.strip_prefix(name).is_some_and(|rest| COMPRESSIONS.contains(&rest))
}

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

    /// Checks that a package's members are those that dpkg takes: `debian-binary`, one `control.tar`, one `data.tar`, in
    /// this order, and nothing else but names that begin with `_` (deb(5)).
    ///
    /// # Errors
    /// Fails if they are not, or if the file can't be read or ends in the middle of one.
    pub(super) fn check(path: &Path) -> Result<()> {
        let mut members = Self::open(path)?;
        let mut expected = ["control.tar", "data.tar"].into_iter();
        let mut next = expected.next();
        while let Some((found, _)) = members.advance()? {
            // Signatures and the like, which dpkg skips.
            if found.starts_with('_') {
                continue;
            }
            match next {
                Some(name) if is_tar(&found, name) => next = expected.next(),
                Some(name) => bail!("not a Debian package: it has no {name} before {}", escape(&found)),
                None => bail!("not a Debian package: it has {} after data.tar", escape(&found)),
            }
        }
        ensure!(next.is_none(), "not a Debian package: it has no {}", next.unwrap_or_default());
        let length = members.file.get_ref().metadata()?.len();
        // The last member's padding may be missing.
        ensure!(
            length == members.next || length + 1 == members.next,
            "not a Debian package: {length} bytes, expected {} by its members",
            members.next
        );
        Ok(())
    }

    /// Returns the next member's name and contents; `None` at the end.
    ///
    /// # Errors
    /// Fails if the file can't be read or is damaged.
    pub(super) fn advance(&mut self) -> Result<Option<Member<'_>>> {
        self.file.seek(std::io::SeekFrom::Start(self.next))?;
        let mut header = [0; HEADER];
        if self.file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.file.read_exact(&mut header).context("damaged member header")?;
        let text = str::from_utf8(&header).ok().filter(|text| text.is_ascii() && text.ends_with("`\n"));
        let text = text.context("damaged member header")?;
        let name = text[..16].trim_end().trim_end_matches('/').to_owned();
        let size = text[48..58].trim_end();
        ensure!(size.bytes().all(|byte| byte.is_ascii_digit()), "damaged member size");
        let size: u64 = size.parse().context("damaged member size")?;
        // Members begin at even offsets. Ten digits can't overflow.
        self.next += HEADER as u64 + size + size % 2;
        Ok(Some((name, self.file.by_ref().take(size))))
    }
}
