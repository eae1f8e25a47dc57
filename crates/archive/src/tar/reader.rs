// SPDX-License-Identifier: Apache-2.0
//! Reads a tar stream into entries, in one pass and bounded memory.
//!
//! The tar crate's own iterator accepts an archive that is cut between entries, buffers extended headers of any size,
//! and stops at the first zero block. So the stream is walked here, with the crate's headers.

use std::collections::VecDeque;
use std::io::BufRead;

use pod::path::RelativePath;
use pod::text::escape_bytes;
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::header;
use super::pax::{Extended, Global, PARTS_MAX};
use super::sparse::{self, Described, Map};
use crate::entry::{self, DeviceKind, Entry, EntryKind, Metadata, Skipped, Timestamp};
use crate::error::{Error, Result, Within as _, ensure, refuse};
use crate::limits::{Exceeded, Limits};

const BLOCK: usize = 512;
/// The bytes of holes are passed on from here.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

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
    /// The parts of a sparse file that its content is for; `None` if the current entry isn't one.
    map: Option<Map>,
    /// Bytes of all sparse files that are not in the stream.
    holes: u64,
    /// The values that hold for all entries from here on.
    global: Global,
    skipped: Skipped,
}

impl<R: Input> Reader<R> {
    /// Reads the tar stream that is all of `input`.
    pub fn new(input: R, limits: Limits) -> Self {
        Self {
            input,
            limits,
            offset: 0,
            headers: 0,
            content: 0,
            padding: 0,
            map: None,
            holes: 0,
            global: Global::default(),
            skipped: Skipped::default(),
        }
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
            if header.as_bytes()[TYPE] == VOLUME_LABEL {
                self.begin_content(header::size(header)?)?;
                self.skip_content()?;
                continue;
            }
            if !is_extended(kind) {
                return self.entry(header, extended).map(Some);
            }
            let taken = self.extension(header, &mut budget).and_then(|bytes| match kind {
                EntryType::XGlobalHeader => self.global.add(&bytes),
                kind => extended.add(kind, bytes),
            });
            // The entry itself comes later; most writers name the extended header after it.
            taken.within(|| format!("extended header {}", escape_bytes(&header.path_bytes())))?;
        }
    }

    /// Passes the rest of the current entry's content to `sink`, in pieces: of a sparse file, the zeros of its holes, too.
    ///
    /// # Errors
    /// Fails on an error of the sink or the input, or if the archive is cut.
    pub fn content<E: From<Error>>(&mut self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(Map { parts, size }) = self.map.take() else { return self.stored(self.content, &mut sink) };
        let mut at = 0;
        for (offset, length) in parts {
            zeros(offset - at, &mut sink)?;
            self.stored(length, &mut sink)?;
            at = offset + length;
        }
        zeros(size - at, &mut sink)
    }

    /// Tells whether a part of the current entry's content is not in the stream.
    pub(crate) fn is_sparse(&self) -> bool {
        self.map.is_some()
    }

    /// Returns which attributes were skipped so far.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Passes the next bytes of the content to `sink`.
    fn stored<E: From<Error>>(
        &mut self,
        length: u64,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = self.content - length;
        while self.content > rest {
            let chunk = self.input.fill()?;
            ensure!(
                !chunk.is_empty(),
                "the archive is cut: expected {} more bytes of the entry",
                self.content
            );
            let count = chunk.len().min(usize::try_from(self.content - rest).unwrap_or(usize::MAX));
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
        (self.content, self.padding, self.map) = (0, 0, None);
        Ok(())
    }

    fn skip_content(&mut self) -> Result<()> {
        self.map = None;
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
        let sum = self.offset.checked_add(self.holes).and_then(|sum| sum.checked_add(more));
        let within = sum.is_some_and(|sum| sum <= most);
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
        let name = extended.name().cloned().unwrap_or_else(|| header.path_bytes().into_owned());
        let about = || format!("entry {}", escape_bytes(&name));
        self.skipped.extend(&extended.skipped);
        let Typed { mut entry, stored, sparse } = self.typed(header, extended, &name).within(about)?;
        match sparse {
            None => self.begin_content(stored).within(about)?,
            Some(described) => {
                let size = self.begin_sparse(header, stored, described).within(about)?;
                entry.kind = EntryKind::File { size };
            }
        }
        Ok(entry)
    }

    /// Reads the map of a sparse file, and marks the file's parts as the current entry's content. Returns the file's
    /// length.
    fn begin_sparse(&mut self, header: &Header, stored: u64, described: Described) -> Result<u64> {
        let map = match described {
            Described::Map { size, parts } => {
                let parts = self.more_parts(header, parts)?;
                self.begin_content(stored)?;
                Map::new(parts, size, self.content)?
            }
            Described::InContent { size } => {
                self.begin_content(stored)?;
                let parts = self.parts_in_content()?;
                Map::new(parts, size, self.content)?
            }
        };
        let size = map.size;
        self.check_bytes(size)?;
        self.holes += size - self.content;
        self.map = Some(map);
        Ok(size)
    }

    /// Reads the blocks with further parts that follow an old header.
    fn more_parts(
        &mut self,
        header: &Header,
        mut parts: VecDeque<(u64, u64)>,
    ) -> Result<VecDeque<(u64, u64)>> {
        let mut goes_on =
            header.entry_type().is_gnu_sparse() && header.as_gnu().is_some_and(|header| header.is_extended());
        while goes_on {
            let mut more = GnuExtSparseHeader::new();
            more.as_mut_bytes().copy_from_slice(&self.block()?);
            sparse::add_old(&mut parts, &more.sparse, PARTS_MAX)?;
            self.check_bytes(0)?;
            goes_on = more.is_extended();
        }
        Ok(parts)
    }

    /// Reads the map that is before a sparse file's content, in whole blocks.
    fn parts_in_content(&mut self) -> Result<VecDeque<(u64, u64)>> {
        let mut lines = sparse::Lines::default();
        loop {
            ensure!(self.content >= BLOCK as u64, "sparse map that is cut: expected it before the content");
            let block = self.block()?;
            self.content -= BLOCK as u64;
            if lines.add(&block, PARTS_MAX)? {
                return Ok(lines.parts);
            }
        }
    }

    fn typed(&self, header: &Header, mut extended: Extended, name: &[u8]) -> Result<Typed> {
        ensure!(!name.is_empty(), "no name: expected one");
        let path = RelativePath::from_bytes(name)?;
        let (depth, most) = (path.components().count(), self.limits.depth);
        let too_deep = || format!("{depth} components: expected at most {most}");
        ensure!(depth <= most, Exceeded::raised_by("--max-depth", too_deep()));
        let stored = extended.size.map_or_else(|| header::size(header), Ok)?;
        let sparse = match old_sparse(header)? {
            Some(old) => Some(old),
            None => std::mem::take(&mut extended.sparse).finish()?,
        };
        let kind = kind(header, name, stored, extended.link.take())?;
        match kind {
            EntryKind::File { .. } => {
                ensure!(!name.ends_with(b"/"), "a file whose name ends in a slash: expected none")
            }
            // The names of what was in the directory.
            EntryKind::Directory if header.as_bytes()[TYPE] == DUMPED_DIRECTORY => {}
            _ => ensure!(stored == 0, "{stored} bytes of content: expected none, it is no regular file"),
        }
        let is_file = matches!(kind, EntryKind::File { .. });
        ensure!(is_file || sparse.is_none(), "a sparse map: expected one of a regular file alone");
        match kind {
            EntryKind::File { .. } | EntryKind::Directory => {}
            // It has those of its target.
            EntryKind::HardLink { .. } => extended.xattrs.clear(),
            _ => ensure!(
                extended.xattrs.is_empty(),
                "extended attributes: expected some on files and directories alone"
            ),
        }
        Ok(Typed {
            entry: Entry { path, kind, metadata: metadata(header, extended, self.global)? },
            stored,
            sparse,
        })
    }
}

/// An entry, how much of its content is in the stream, and what is said about that.
struct Typed {
    entry: Entry,
    stored: u64,
    sparse: Option<Described>,
}

/// Returns what an old header of GNU tar's says about a sparse file; `None` if it is of none.
fn old_sparse(header: &Header) -> Result<Option<Described>> {
    if !header.entry_type().is_gnu_sparse() {
        return Ok(None);
    }
    let Some(gnu) = header.as_gnu() else { refuse!("a sparse file: expected a header of GNU tar's") };
    let mut parts = VecDeque::new();
    sparse::add_old(&mut parts, &gnu.sparse, PARTS_MAX)?;
    let size = header::number(&gnu.realsize)?;
    let Ok(size) = u64::try_from(size) else { refuse!("sparse file of {size} bytes: expected 0 or more") };
    Ok(Some(Described::Map { size, parts }))
}

/// Passes `count` zeros to `sink`.
fn zeros<E>(mut count: u64, sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    while count > 0 {
        let some = ZEROS.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        sink(&ZEROS[..some])?;
        count -= some as u64;
    }
    Ok(())
}

/// The offset of the type in a header (POSIX.1-2017, pax, "ustar Interchange Format").
const TYPE: usize = 156;
/// The types of GNU tar's (its manual, "Basic Tar Format").
const VOLUME_LABEL: u8 = b'V';
const CONTINUED: u8 = b'M';
const DUMPED_DIRECTORY: u8 = b'D';

fn is_extended(kind: EntryType) -> bool {
    use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
    matches!(kind, XHeader | XGlobalHeader | GNULongName | GNULongLink)
}

fn kind(header: &Header, name: &[u8], size: u64, link: Option<Vec<u8>>) -> Result<EntryKind> {
    let target =
        || link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
    let device = |kind| -> Result<EntryKind> {
        let (major, minor) = header::device(header, kind)?;
        Ok(EntryKind::Device { kind, major, minor })
    };
    Ok(match header.entry_type() {
        // Before there was a type for them, directories were told by their names.
        EntryType::Regular if header.as_bytes()[TYPE] == 0 && name.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::File { size },
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink { target: entry::link_target(target())? },
        EntryType::Link => {
            EntryKind::HardLink { target: RelativePath::from_bytes(&entry::link_target(target())?)? }
        }
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Char => device(DeviceKind::Character)?,
        EntryType::Block => device(DeviceKind::Block)?,
        other if other.as_byte() == DUMPED_DIRECTORY => EntryKind::Directory,
        other if other.as_byte() == CONTINUED => {
            refuse!("is continued from another volume: expected a whole archive")
        }
        other => refuse!(
            "type {}: expected a file, directory, link, FIFO or device",
            escape_bytes(&[other.as_byte()])
        ),
    })
}

fn metadata(header: &Header, extended: Extended, global: Global) -> Result<Metadata> {
    let old = header.as_old();
    let Extended { uid, gid, mtime, xattrs, .. } = extended;
    let seconds = || header::number(&old.mtime).map(|seconds| Timestamp { seconds, nanoseconds: 0 });
    Ok(Metadata {
        mode: header::mode(header)?,
        uid: uid.or(global.uid).map_or_else(|| header::id(&old.uid), Ok)?,
        gid: gid.or(global.gid).map_or_else(|| header::id(&old.gid), Ok)?,
        mtime: mtime.or(global.mtime).map_or_else(seconds, Ok)?,
        xattrs,
    })
}
