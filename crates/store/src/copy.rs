// SPDX-License-Identifier: Apache-2.0
//! Copies a tree of the store to a tree of a pod's own, for where overlays can't be used.
//!
//! Every object is copied with all of its metadata, and hard links stay hard links. Content is shared by reflink where
//! the file system can do that, and copied where it can't.
//!
//! Both trees are reached through descriptors of their roots, and no link is followed. Two descriptors are open,
//! however deep the trees are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use pod::path::RelativePath;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, linkat, mkdirat, mknodat, openat, readlinkat, statat,
    symlinkat,
};

use crate::extract::metadata::{self, Modes};
use crate::extract::open_directory;
use crate::fault::{Fault, OrFault as _, Result, Within as _, check};
use crate::record;
use archive::Metadata;
use sys::Interrupt;
use sys::content::{self, Uncopied};

pub use sys::content::Means;

/// Copies the tree in `from` into the empty directory `to`.
pub fn copy(from: &OwnedFd, to: &OwnedFd, interrupt: &Interrupt) -> Result<Means> {
    let mut copy = Copy::new(from, to, interrupt);
    copy.tree()?;
    Ok(copy.means)
}

struct Copy<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    /// Objects with several names, by device and inode number, while names of them are still to be copied.
    links: HashMap<(u64, u64), Linked>,
    means: Means,
    interrupt: &'a Interrupt,
}

/// An object with several names, at least one of which was copied.
struct Linked {
    first: RelativePath,
    /// How many of its names were not copied yet, including names outside of the tree.
    left: usize,
}

impl<'a> Copy<'a> {
    fn new(from: &'a OwnedFd, to: &'a OwnedFd, interrupt: &'a Interrupt) -> Self {
        Self { from, to, links: HashMap::new(), means: Means::default(), interrupt }
    }

    fn tree(&mut self) -> Result<()> {
        let mut directories = vec![RelativePath::default()];
        let mut next = 0;
        while let Some(path) = directories.get(next).cloned() {
            self.directory(&path, &mut directories).within(|| format!("cannot copy {path}"))?;
            next += 1;
        }
        // Deepest first, since making something in a directory changes the directory's times.
        for path in directories.iter().rev() {
            let finish = || -> Result<()> {
                let source = open_directory(self.from, path, OFlags::RDONLY)?;
                let wanted = metadata_of(&source, &fstat(&source)?)?;
                let copy = open_directory(self.to, path, OFlags::RDONLY)?;
                metadata::set_file(copy, &wanted, Modes::Set).map(drop)
            };
            finish().within(|| format!("cannot copy the directory {path}"))?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &RelativePath, directories: &mut Vec<RelativePath>) -> Result<()> {
        let from = open_directory(self.from, path, OFlags::RDONLY)?;
        let to = open_directory(self.to, path, OFlags::RDONLY)?;
        for entry in Dir::read_from(&from)? {
            check(self.interrupt)?;
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let below = RelativePath::from_bytes(&[path.as_bytes(), b"/", name.as_bytes()].concat())?;
            let stat = statat(&from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                mkdirat(&to, name, Mode::RWXU)?;
                directories.push(below);
            } else {
                self.object(&from, &to, name, &stat, below)?;
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &OsStr,
        stat: &Stat,
        path: RelativePath,
    ) -> Result<()> {
        if stat.st_nlink > 1 {
            match self.links.entry((stat.st_dev, stat.st_ino)) {
                Entry::Occupied(mut entry) => {
                    let linked = entry.get_mut();
                    let (parent, first) = linked.first.split_last().or_fault(|| "the root has one name")?;
                    let parent = open_directory(self.to, &parent, OFlags::PATH)?;
                    linkat(parent, first, to, name, AtFlags::empty())?;
                    linked.left = linked.left.saturating_sub(1);
                    if linked.left == 0 {
                        entry.remove();
                    }
                    return Ok(());
                }
                Entry::Vacant(entry) => {
                    let names = usize::try_from(stat.st_nlink).unwrap_or(usize::MAX);
                    entry.insert(Linked { first: path, left: names - 1 });
                }
            }
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(from, to, name),
            FileType::Symlink => {
                symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
                metadata::set_link(to, name, &record::of_stat(stat)).map(drop)
            }
            other => {
                mknodat(to, name, other, Mode::RUSR | Mode::WUSR, stat.st_rdev)?;
                metadata::set_special(to, name, &record::of_stat(stat)).map(drop)
            }
        }
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &OsStr) -> Result<()> {
        let safe = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut source = File::from(openat(from, name, OFlags::RDONLY | safe, Mode::empty())?);
        let make = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | safe;
        let mut copy = File::from(openat(to, name, make, Mode::RUSR | Mode::WUSR)?);
        let stat = fstat(&source)?;
        if stat.st_size > 0 {
            self.means = content::copy(&mut source, &mut copy, self.means)?;
        }
        metadata::set_file(&copy, &metadata_of(&source, &stat)?, Modes::Set).map(drop)
    }
}

impl From<Uncopied> for Fault {
    fn from(error: Uncopied) -> Self {
        match error {
            Uncopied::Clone(errno) => Self::from(errno).at("cannot clone its content"),
            Uncopied::Bytes(error) => error.into(),
        }
    }
}

/// Returns all metadata of an open file or directory.
fn metadata_of(object: impl std::os::fd::AsFd, stat: &Stat) -> Result<Metadata> {
    Ok(Metadata { xattrs: record::typed_xattrs(&object)?, ..record::of_stat(stat) })
}

/// Copies one file of the store, `name` in `from`, to the same name in `to`.
pub fn file(from: &OwnedFd, to: &OwnedFd, name: &str, interrupt: &Interrupt) -> Result<()> {
    let mut copy = Copy::new(from, to, interrupt);
    copy.file(from, to, OsStr::new(name)).within(|| format!("cannot copy {name}"))?;
    let written = openat(to, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fsync(written)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// Paths can be as long as an archive makes them, so a path is dropped once it is no longer needed.
    #[test]
    fn hard_links_are_forgotten_once_all_are_copied() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, outside] = ["from/one", "outside"].map(|name| from.path().join(name));
        fs::create_dir_all(from.path().join("from/deep")).unwrap();
        fs::write(&one, "1").unwrap();
        for name in ["two", "deep/three"] {
            fs::hard_link(&one, from.path().join("from").join(name)).unwrap();
        }
        let open = |path: &std::path::Path| OwnedFd::from(File::open(path).unwrap());
        let (source, target, interrupt) =
            (open(&from.path().join("from")), open(to.path()), Interrupt::default());
        let mut copy = Copy::new(&source, &target, &interrupt);
        copy.tree().unwrap();
        assert!(copy.links.is_empty(), "all names were copied");
        let numbers = ["one", "two", "deep/three"].map(|name| fs::metadata(to.path().join(name)).unwrap());
        assert!(numbers.iter().all(|metadata| metadata.ino() == numbers[0].ino() && metadata.nlink() == 3));
        // The copy never meets a name that is outside of the tree.
        fs::hard_link(&one, outside).unwrap();
        let empty = tempfile::tempdir().unwrap();
        let target = open(empty.path());
        let mut copy = Copy::new(&source, &target, &interrupt);
        copy.tree().unwrap();
        assert_eq!(copy.links.len(), 1);
    }
}
