// SPDX-License-Identifier: Apache-2.0
//! Reads a tar stream into entries, in one pass and bounded memory.
//!
//! The tar crate's own iterator accepts an archive that is cut between entries, buffers extended headers of any size,
//! and stops at the first zero block. So the stream is walked here, with the crate's headers.

use std::io::BufRead;

use pod::path::RelativePath;
use pod::text::escape_bytes;
use tar::{EntryType, Header};

use super::header;
use super::pax::Extended;
use crate::entry::{self, DeviceKind, Entry, EntryKind, Metadata, Timestamp};
use crate::error::{Error, Result, Within as _, ensure, refuse};
use crate::limits::{Exceeded, Limits};

const BLOCK: usize = 512;

/// A tar stream. It differs from [`BufRead`] by its error, which says whose fault it is.
pub trait Input {
    /// Returns the bytes that come next; none at the stream's end.
    ///
    /// # Errors
    /// Fails if the stream can't be decoded or read.
    fn fill(&mut self) -> Result<&[u8]>;

    /// Takes `count` of these bytes.
    fn take_bytes(&mut self, count: usize);
}

impl<R: BufRead> Input for R {
    fn fill(&mut self) -> Result<&[u8]> {
        Ok(self.fill_buf()?)
    }

    fn take_bytes(&mut self, count: usize) {
        self.consume(count);
    }
}

/// Reads the entries of a tar stream.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    /// Bytes read from the stream.
    offset: u64,
    /// Headers read.
    headers: u64,
    /// Bytes of the current entry that are still to come.
    content: u64,
    /// Bytes after the content, up to the next block.
    padding: u64,
}

impl<R: Input> Reader<R> {
    /// Reads the tar stream that is all of `input`.
    pub fn new(input: R, limits: Limits) -> Self {
        Self { input, limits, offset: 0, headers: 0, content: 0, padding: 0 }
    }

    /// Returns the next entry; `None` after the end marker if only zeros follow, up to the stream's end.
    ///
    /// Skips what was not read of the previous entry.
    ///
    /// # Errors
    /// Fails if the archive is cut, malformed or ambiguous, if it exceeds a limit, or on an error of the input.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip_content()?;
        let mut extended = Extended::default();
        let mut budget = self.limits.extended;
        loop {
            let Some(block) = self.header_block()? else {
                ensure!(extended.is_empty(), "the archive ends after an extended header: expected its entry");
                self.end()?;
                return Ok(None);
            };
            let header = Header::from_byte_slice(&block);
            self.count(header)?;
            let kind = header.entry_type();
            if !is_extended(kind) {
                return self.entry(header, extended).map(Some);
            }
            let taken = self.extension(header, &mut budget).and_then(|bytes| extended.add(kind, bytes));
            // The entry itself comes later; most writers name the extended header after it.
            taken.within(|| format!("extended header {}", escape_bytes(&header.path_bytes())))?;
        }
    }

    /// Passes the rest of the current entry's content to `sink`, in pieces.
    ///
    /// # Errors
    /// Fails on an error of the sink or the input, or if the archive is cut.
    pub fn content<E: From<Error>>(&mut self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.content > 0 {
            let chunk = self.input.fill()?;
            ensure!(
                !chunk.is_empty(),
                "the archive is cut: expected {} more bytes of the entry",
                self.content
            );
            let count = chunk.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
            sink(&chunk[..count])?;
            self.input.take_bytes(count);
            self.offset += count as u64;
            self.content -= count as u64;
        }
        Ok(())
    }

    /// Returns how many bytes of the stream were read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns how many headers were read so far, extended ones included.
    pub fn headers(&self) -> u64 {
        self.headers
    }

    /// Skips the rest of the current entry by `seek`, which gets the input and the number of bytes to skip.
    pub(crate) fn skip_by(&mut self, seek: impl FnOnce(&mut R, u64) -> std::io::Result<()>) -> Result<()> {
        let left = self.content + self.padding;
        seek(&mut self.input, left)?;
        self.offset += left;
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn skip_content(&mut self) -> Result<()> {
        self.content(|_| Ok::<_, Error>(()))?;
        self.content = std::mem::take(&mut self.padding);
        self.content(|_| Ok::<_, Error>(()))
    }

    /// Reads the next block; `None` if it and the one after it are zero, which is the end marker.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let block = self.block()?;
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        let second = self.block()?;
        ensure!(second == [0; BLOCK], "a zero block at {}: expected two at the archive's end", self.offset);
        Ok(None)
    }

    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let chunk = self.input.fill()?;
            ensure!(
                !chunk.is_empty(),
                "the archive is cut after {} bytes: expected an entry, or two zero blocks as its end",
                self.offset
            );
            let count = chunk.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&chunk[..count]);
            self.input.take_bytes(count);
            filled += count;
            self.offset += count as u64;
        }
        Ok(block)
    }

    /// Reads up to the stream's end.
    fn end(&mut self) -> Result<()> {
        loop {
            self.check_bytes(0)?;
            let chunk = self.input.fill()?;
            if chunk.is_empty() {
                return Ok(());
            }
            ensure!(
                chunk.iter().all(|byte| *byte == 0),
                "data after the archive's end: expected zeros alone"
            );
            let count = chunk.len();
            self.input.take_bytes(count);
            self.offset += count as u64;
        }
    }

    fn count(&mut self, header: &Header) -> Result<()> {
        header::check_sum(header)
            .within(|| format!("header at {}", self.offset.saturating_sub(BLOCK as u64)))?;
        self.headers += 1;
        let most = self.limits.entries;
        let too_many = || format!("too many entries: expected at most {most}");
        ensure!(self.headers <= most, Exceeded::raised_by("--max-entries", too_many()));
        Ok(())
    }

    fn check_bytes(&self, more: u64) -> Result<()> {
        let most = self.limits.bytes;
        let within = self.offset.checked_add(more).is_some_and(|sum| sum <= most);
        let too_large = || format!("the archive is too large unpacked: expected at most {most} bytes");
        ensure!(within, Exceeded::raised_by("--max-bytes", too_large()));
        Ok(())
    }

    /// Marks the next `size` bytes as the current entry's.
    fn begin_content(&mut self, size: u64) -> Result<()> {
        self.check_bytes(size)?;
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    /// Reads the content of an extended header; its size counts against `budget`.
    fn extension(&mut self, header: &Header, budget: &mut u64) -> Result<Vec<u8>> {
        let size = header::size(header)?;
        let most = self.limits.extended;
        let too_long = || format!("an extended header of {size} bytes: expected at most {most} for an entry");
        *budget = budget.checked_sub(size).ok_or_else(|| Exceeded::fixed(too_long()))?;
        self.begin_content(size)?;
        let mut bytes = Vec::new();
        self.content(|chunk| {
            bytes.extend_from_slice(chunk);
            Ok::<_, Error>(())
        })?;
        self.skip_content()?;
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, extended: Extended) -> Result<Entry> {
        let name = extended.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        let parsed = self.typed(header, extended, &name);
        let (entry, size) = parsed.within(|| format!("entry {}", escape_bytes(&name)))?;
        self.begin_content(size).within(|| format!("entry {}", escape_bytes(&name)))?;
        Ok(entry)
    }

    fn typed(&self, header: &Header, mut extended: Extended, name: &[u8]) -> Result<(Entry, u64)> {
        ensure!(!name.is_empty(), "no name: expected one");
        let path = RelativePath::from_bytes(name)?;
        let (depth, most) = (path.components().count(), self.limits.depth);
        let too_deep = || format!("{depth} components: expected at most {most}");
        ensure!(depth <= most, Exceeded::raised_by("--max-depth", too_deep()));
        let size = extended.size.map_or_else(|| header::size(header), Ok)?;
        let kind = kind(header, size, extended.link.take())?;
        match kind {
            EntryKind::File { .. } => {
                ensure!(!name.ends_with(b"/"), "a file whose name ends in a slash: expected none")
            }
            _ => ensure!(size == 0, "{size} bytes of content: expected none, it is no regular file"),
        }
        let has_xattrs = matches!(kind, EntryKind::File { .. } | EntryKind::Directory);
        ensure!(
            has_xattrs || extended.xattrs.is_empty(),
            "extended attributes: expected some on files and directories alone"
        );
        Ok((Entry { path, kind, metadata: metadata(header, extended)? }, size))
    }
}

fn is_extended(kind: EntryType) -> bool {
    use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
    matches!(kind, XHeader | XGlobalHeader | GNULongName | GNULongLink)
}

fn kind(header: &Header, size: u64, link: Option<Vec<u8>>) -> Result<EntryKind> {
    let target =
        || link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
    let device = |kind| -> Result<EntryKind> {
        let (major, minor) = header::device(header, kind)?;
        Ok(EntryKind::Device { kind, major, minor })
    };
    Ok(match header.entry_type() {
        EntryType::Regular => EntryKind::File { size },
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink { target: entry::link_target(target())? },
        EntryType::Link => {
            EntryKind::HardLink { target: RelativePath::from_bytes(&entry::link_target(target())?)? }
        }
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Char => device(DeviceKind::Character)?,
        EntryType::Block => device(DeviceKind::Block)?,
        EntryType::GNUSparse => refuse!("a sparse file: expected it written whole"),
        other => refuse!(
            "type {}: expected a file, directory, link, FIFO or device",
            escape_bytes(&[other.as_byte()])
        ),
    })
}

fn metadata(header: &Header, extended: Extended) -> Result<Metadata> {
    let old = header.as_old();
    let seconds = || header::number(&old.mtime).map(|seconds| Timestamp { seconds, nanoseconds: 0 });
    Ok(Metadata {
        mode: header::mode(header)?,
        uid: extended.uid.map_or_else(|| header::id(&old.uid), Ok)?,
        gid: extended.gid.map_or_else(|| header::id(&old.gid), Ok)?,
        mtime: extended.mtime.map_or_else(seconds, Ok)?,
        xattrs: extended.xattrs,
    })
}
