// SPDX-License-Identifier: Apache-2.0
//! Puts trees over each other, the lowest first, each whole or only what it has of a set of paths.
//!
//! The rules are those of the appc spec (ace.md, "Filesystem Setup"): what a tree has replaces what is there, except that
//! a directory over a directory keeps what is in it; a link in a directory's place is replaced, not followed. A tree
//! doesn't say which of its directories no entry of its archive has named. One that has the metadata of these (root's,
//! 0755, of 1970) is taken for one of them, and leaves the metadata of a directory that is there.
//!
//! Both sides are reached through descriptors, and no link is followed. Nothing is decoded. Invariant: whatever is copied
//! or only looked at counts against the limits, also if a later tree replaces it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use pod::path::RelativePath;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat, statat,
};
use rustix::io::Errno;

use super::super::metadata::{self, Modes};
use super::super::open_directory;
use super::super::write_back::WriteBack;
use super::finish;
use super::layer::Frame;
use super::tree::Tree;
use crate::extract::links::Links;
use crate::extract::listing::join;
use crate::fault::{Result, Within as _, check, refuse};
use crate::record::{self, Sealed, Writer};
use archive::{DeviceKind, Entry, EntryKind, Exceeded, Limits, Metadata};
use sys::content::{self, Means};
use sys::{Interrupt, open_beneath};

/// The paths that a tree is limited to.
pub type Paths = Arc<BTreeSet<RelativePath>>;

/// One of the trees.
#[derive(Debug)]
pub struct Source<'a> {
    /// Its root.
    pub root: &'a OwnedFd,
    /// What it has of these paths is taken, and the directories that lead there; `None` means all of it. Other than in
    /// an archive, no link is followed to what a path names.
    pub paths: Option<Paths>,
}

/// Puts `sources`, the lowest first, into the empty directory `root`, and writes the tree's record to `record`.
///
/// On an error, the directory and the record keep what was written so far. It is incomplete and must not be used.
///
/// # Errors
/// If a limit is exceeded, or something can't be read or written; once interrupted.
pub fn stack(
    sources: &[Source<'_>],
    frame: &Frame,
    limits: Limits,
    root: &OwnedFd,
    record: impl Write,
    interrupt: &Interrupt,
) -> Result<Sealed> {
    let inside = finish::begin(root, frame, Modes::Set)?;
    WriteBack::during(root, |write_back| {
        let mut tree = Tree::new(inside, limits.directories, Modes::Set, write_back);
        let mut work = Work { left: limits, limits, means: Means::default(), interrupt };
        for (index, source) in sources.iter().enumerate() {
            let links = Links::new(limits.directories);
            let one = One { from: source.root, links, work: &mut work, tree: &mut tree };
            one.add(source.paths.as_deref())
                .within(|| format!("cannot render tree {} of {}", index + 1, sources.len()))?;
        }
        tree.finish(Writer::new(record), root, frame, limits.directories, interrupt)
    })
}

/// The state that all trees share.
struct Work<'a> {
    /// The limits for what is left.
    left: Limits,
    limits: Limits,
    means: Means,
    interrupt: &'a Interrupt,
}

impl Work<'_> {
    /// Counts an object with this much content.
    fn count(&mut self, bytes: u64) -> Result<()> {
        check(self.interrupt)?;
        let Limits { entries, bytes: most, .. } = self.limits;
        let too_many = || format!("too many objects in all trees: expected at most {entries}");
        let too_large = || format!("all trees are too large: expected at most {most} bytes");
        let left = self.left.entries.checked_sub(1);
        self.left.entries = left.ok_or_else(|| Exceeded::raised_by("--max-entries", too_many()))?;
        let left = self.left.bytes.checked_sub(bytes);
        self.left.bytes = left.ok_or_else(|| Exceeded::raised_by("--max-bytes", too_large()))?;
        Ok(())
    }
}

/// A tree that is being added.
struct One<'a, 'w> {
    from: &'a OwnedFd,
    links: Links,
    work: &'a mut Work<'w>,
    tree: &'a mut Tree,
}

impl One<'_, '_> {
    fn add(mut self, paths: Option<&BTreeSet<RelativePath>>) -> Result<()> {
        match paths {
            None => self.all(),
            Some(paths) => self.some(paths),
        }
    }

    /// Adds all objects: a directory before what is in it.
    fn all(&mut self) -> Result<()> {
        let mut ahead = vec![RelativePath::default()];
        while let Some(path) = ahead.pop() {
            let about = || format!("directory {path}");
            let directory = self.directory(&path).within(about)?;
            for entry in Dir::read_from(&directory).within(about)? {
                let entry = entry.within(about)?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                let below = join(&path, name)?;
                let stat = statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                let stat = stat.within(|| format!("object {below}"))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    ahead.push(below);
                } else {
                    self.object(&directory, OsStr::from_bytes(name), &below, &stat)
                        .within(|| format!("object {below}"))?;
                }
            }
        }
        Ok(())
    }

    /// Adds what the tree has of these paths, and the directories above.
    fn some(&mut self, paths: &BTreeSet<RelativePath>) -> Result<()> {
        self.directory(&RelativePath::default())?;
        let mut above: BTreeSet<RelativePath> = BTreeSet::new();
        for path in paths {
            let about = || format!("object {path}");
            self.work.count(0)?;
            let Some((parent, name)) = path.split_last() else { continue };
            let directory =
                match open_beneath(self.from, parent.as_path(), OFlags::RDONLY | OFlags::DIRECTORY) {
                    // Nothing is there, or something else than a directory is above it.
                    Err(error) if matches!(error.errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                        continue;
                    }
                    opened => opened.within(about)?,
                };
            let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat.within(about)?,
            };
            let mut leading = RelativePath::default();
            for component in parent.components() {
                leading = join(&leading, component)?;
                // A path that is listed itself sorts before what is below it.
                if !paths.contains(&leading) && above.insert(leading.clone()) {
                    self.directory(&leading).within(about)?;
                }
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.directory(path).within(about)?;
            } else {
                self.object(&directory, name, path, &stat).within(about)?;
            }
        }
        Ok(())
    }

    /// Adds a directory, and returns the tree's own.
    fn directory(&mut self, path: &RelativePath) -> Result<OwnedFd> {
        self.work.count(0)?;
        let directory = open_directory(self.from, path, OFlags::RDONLY)?;
        let stat = fstat(&directory)?;
        let metadata = Metadata { xattrs: record::typed_xattrs(&directory)?, ..record::of_stat(&stat) };
        if metadata::is_implied(&metadata) {
            self.tree.imply_directory(path)?;
        } else {
            let entry = Entry { path: path.clone(), kind: EntryKind::Directory, metadata };
            self.tree.add_with(&entry, |_| Ok(0))?;
        }
        Ok(directory)
    }

    /// Adds an object that is no directory.
    fn object(&mut self, parent: &OwnedFd, name: &OsStr, path: &RelativePath, stat: &Stat) -> Result<()> {
        if let Some(target) = self.links.first_name(path, stat)? {
            self.work.count(0)?;
            let (path, kind, metadata) = (path.clone(), EntryKind::HardLink { target }, Metadata::default());
            return self.tree.add_with(&Entry { path, kind, metadata }, |_| Ok(0));
        }
        let mut metadata = record::of_stat(stat);
        let device = |kind| {
            let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
            EntryKind::Device { kind, major, minor }
        };
        let mut file = None;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let opened = openat(parent, name, flags, Mode::empty())?;
                metadata.xattrs = record::typed_xattrs(&opened)?;
                file = Some(File::from(opened));
                EntryKind::File { size: size(stat) }
            }
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new())?;
                EntryKind::Symlink { target: target.into_bytes() }
            }
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => device(DeviceKind::Character),
            FileType::BlockDevice => device(DeviceKind::Block),
            other => refuse!("is a {other:?}: expected what an image can have"),
        };
        self.work.count(if file.is_some() { size(stat) } else { 0 })?;
        let means = &mut self.work.means;
        self.tree.add_with(&Entry { path: path.clone(), kind, metadata }, |made| {
            if let (Some(file), true) = (&mut file, stat.st_size > 0) {
                *means = content::copy(file, made, *means)?;
            }
            Ok(size(stat))
        })
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}
