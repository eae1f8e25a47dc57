// SPDX-License-Identifier: Apache-2.0
//! Entries → a tree below a directory descriptor.
//!
//! Invariant: nothing outside of that directory is reached. A parent is opened by the kernel with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` (openat2(2)), so no entry passes through a link that another made; what is
//! made is new (`O_EXCL`), so an entry that stands twice is refused.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{linkat, symlinkat};
use pod::path::RelativePath;

use crate::archive::entry::{self, Entry, Kind, Metadata};
use crate::archive::stream::{Stream, entry_end};
use crate::metadata::{set, set_link, set_special};

/// How much an archive may hold.
pub(crate) const BYTES_MAX: u64 = 64 << 30;
const ENTRIES_MAX: u64 = 4_000_000;
/// An entry's headers: extended ones of 1 MiB in sum, their own headers and padding.
const HEADERS_MAX: u64 = (1 << 20) + (16 << 10);
const BUFFER: usize = 128 << 10;

/// A tree being made.
#[derive(Debug)]
struct Writer {
    root: OwnedFd,
    /// The last parent and its descriptor: entries come directory by directory.
    parent: Option<(RelativePath, OwnedFd)>,
    /// Directories that no entry has named yet, made for what is in them.
    implicit: HashSet<RelativePath>,
    /// Metadata that is set last, since filling a directory changes its times and may need its owner's permissions.
    directories: Vec<(RelativePath, Metadata)>,
    buffer: Box<[u8]>,
}

/// Makes the stream's entries below `root`, each after `check` has agreed to it, and returns where the last one ended.
///
/// # Errors
/// Where an entry is not acceptable or can't be made; the message names it.
pub(crate) fn extract(
    stream: &Stream,
    root: OwnedFd,
    mut check: impl FnMut(&Entry, u64) -> Result<()>,
) -> Result<u64> {
    let mut writer = Writer {
        root,
        parent: None,
        implicit: HashSet::new(),
        directories: Vec::new(),
        buffer: vec![0; BUFFER].into_boxed_slice(),
    };
    let mut archive = tar::Archive::new(stream);
    let mut entries = archive.entries()?;
    let (mut end, mut count) = (0, 0_u64);
    loop {
        stream.allow(HEADERS_MAX);
        let Some(found) = entries.next() else { break };
        let mut found = found.map_err(plain)?;
        stream.allow(u64::MAX);
        count += 1;
        ensure!(count <= ENTRIES_MAX, "the archive has more than {ENTRIES_MAX} entries");
        end = entry_end(found.raw_file_position(), found.size());
        let parsed = entry::parse(&mut found)?;
        check(&parsed, found.size())
            .and_then(|()| writer.make(&parsed.path, parsed.kind, parsed.metadata, &mut found))
            .with_context(|| format!("entry {}", parsed.path))?;
    }
    writer.finish()?;
    Ok(end)
}

/// The tar crate wraps the stream's own errors; the innermost says what happened.
fn plain(error: io::Error) -> anyhow::Error {
    let inner = error.get_ref().and_then(|inner| std::error::Error::source(inner));
    match inner {
        Some(inner) => anyhow::anyhow!("damaged archive: {inner}"),
        None => anyhow::Error::new(error).context("damaged archive"),
    }
}

impl Writer {
    fn make(
        &mut self,
        path: &RelativePath,
        kind: Kind,
        metadata: Metadata,
        content: &mut impl Read,
    ) -> Result<()> {
        let Some((parent, name)) = path.split_last() else {
            ensure!(kind == Kind::Directory, "is the root: expected a directory");
            return Ok(());
        };
        let name = Path::new(name);
        let parent = self.parent(parent)?;
        match kind {
            Kind::Directory => return self.make_directory(path, name, metadata),
            Kind::File => {
                let flags =
                    OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let file = openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(exists)?;
                let mut file = File::from(file);
                copy(content, &mut file, &mut self.buffer)?;
                return set(file, &metadata);
            }
            Kind::Symlink(target) => {
                symlinkat(target.as_os_str(), parent, name).map_err(exists)?;
                return set_link(parent, name, &metadata);
            }
            Kind::HardLink(target) => return self.link(&target, path, name),
            Kind::CharacterDevice(major, minor) => special(parent, name, SFlag::S_IFCHR, (major, minor))?,
            Kind::BlockDevice(major, minor) => special(parent, name, SFlag::S_IFBLK, (major, minor))?,
            Kind::Fifo => special(parent, name, SFlag::S_IFIFO, (0, 0))?,
        }
        set_special(parent, name, &metadata)
    }

    fn make_directory(&mut self, path: &RelativePath, name: &Path, metadata: Metadata) -> Result<()> {
        let (_, parent) = self.parent.as_ref().expect("the parent was just opened");
        match mkdirat(parent, name, Mode::S_IRWXU) {
            Err(Errno::EEXIST) if self.implicit.remove(path) => {}
            made => made.map_err(exists)?,
        }
        self.directories.push((path.clone(), metadata));
        Ok(())
    }

    /// linkat(2) without following: a link to a symbolic link links that.
    fn link(&mut self, target: &RelativePath, path: &RelativePath, name: &Path) -> Result<()> {
        let missing = || format!("is a hard link to {target}: expected an earlier entry");
        let (target_parent, target_name) = target.split_last().with_context(missing)?;
        let source = open_beneath(&self.root, &target_parent).with_context(missing)?;
        let (parent, _) = path.split_last().expect("the root is no link");
        let parent = self.parent(parent)?;
        match linkat(source, target_name, parent, name, AtFlags::empty()) {
            Err(Errno::EEXIST) => bail!(exists(Errno::EEXIST)),
            linked => linked.with_context(missing),
        }
    }

    /// The directory `path`, made with what is above it where it is missing.
    fn parent(&mut self, path: RelativePath) -> Result<&OwnedFd> {
        if self.parent.as_ref().is_none_or(|(cached, _)| *cached != path) {
            let opened = match open_beneath(&self.root, &path) {
                Err(Errno::ENOENT) => self.make_implicit(&path)?,
                opened => opened.map_err(through_link)?,
            };
            self.parent = Some((path, opened));
        }
        Ok(&self.parent.as_ref().expect("it was just set").1)
    }

    fn make_implicit(&mut self, path: &RelativePath) -> Result<OwnedFd> {
        if let Some((parent, name)) = path.split_last() {
            let parent = match open_beneath(&self.root, &parent) {
                Err(Errno::ENOENT) => self.make_implicit(&parent)?,
                opened => opened.map_err(through_link)?,
            };
            // Its mode is the final one, unless an entry comes that says otherwise.
            mkdirat(&parent, name, Mode::from_bits_truncate(0o755)).map_err(exists)?;
            self.implicit.insert(path.clone());
        }
        open_beneath(&self.root, path).map_err(through_link)
    }

    /// Sets the directories' metadata, the deepest first.
    fn finish(self) -> Result<()> {
        let mut directories = self.directories;
        directories.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (path, metadata) in directories {
            let within = || format!("entry {path}");
            let directory = open_beneath(&self.root, &path).with_context(within)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let directory = openat(&directory, ".", flags, Mode::empty()).with_context(within)?;
            set(directory, &metadata).with_context(within)?;
        }
        Ok(())
    }
}

/// Opens a directory below `root`, through directories only.
pub(crate) fn open_beneath(root: impl AsFd, path: &RelativePath) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    let path = if path.as_bytes().is_empty() { Path::new(".") } else { path.as_path() };
    // EAGAIN: a rename elsewhere disturbed the lookup (openat2(2)).
    for _ in 0..32 {
        match openat2(root.as_fd(), path, how) {
            Err(Errno::EAGAIN) => {}
            opened => return opened,
        }
    }
    Err(Errno::EAGAIN)
}

fn special(parent: impl AsFd, name: &Path, kind: SFlag, (major, minor): (u32, u32)) -> Result<()> {
    mknodat(parent, name, kind, Mode::S_IRUSR, makedev(major.into(), minor.into())).map_err(exists)
}

fn copy(content: &mut impl Read, file: &mut File, buffer: &mut [u8]) -> Result<()> {
    loop {
        match content.read(buffer).map_err(plain)? {
            0 => return Ok(()),
            count => file.write_all(&buffer[..count]).context("cannot write it")?,
        }
    }
}

fn exists(error: Errno) -> anyhow::Error {
    match error {
        Errno::EEXIST => anyhow::anyhow!("stands twice in the archive"),
        error => anyhow::Error::new(error).context("cannot be made"),
    }
}

fn through_link(error: Errno) -> anyhow::Error {
    match error {
        Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV => {
            anyhow::anyhow!("lies below a file or a link: expected directories above it")
        }
        error => anyhow::Error::new(error).context("cannot open the directory above it"),
    }
}
