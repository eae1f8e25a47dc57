// SPDX-License-Identifier: Apache-2.0
//! The directories of an app that begin anew with each of its runs, as /run does: file systems in memory that have what the
//! app's tree has there.
//!
//! `/init` makes them. If the app is started again while the pod runs, a helper empties and fills them before that. The
//! helper needs the tree's content, which the mount hides in the pod. So the file system has two directories:
//!
//! ```text
//! rkt/fresh/APP/N/now      mounted in the app's root
//! rkt/fresh/APP/N/tree     what the app's tree has there
//! ```
//!
//! Invariant: mounts in the directory stay, and so does what they are mounted on.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use pod::name::AppName;
use pod::path::RelativePath;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, fstat, mkdirat, mknodat,
    openat, readlinkat, statat, symlinkat,
};
use rustix::io::Errno;
use sys::open_beneath;
use sys::remove::{Obstacle, remove_tree};

/// The directory that is mounted in the app's root.
const NOW: &str = "now";
/// The directory of the app's tree.
const TREE: &str = "tree";
/// The directories of file systems that are emptied while the pod runs, in stage1.
const FRESH: &str = "rkt/fresh";

/// Returns the directory, in stage1, of all of an app's file systems.
fn places(app: &AppName) -> String {
    format!("{FRESH}/{app}")
}

/// Returns the place, in stage1, of the app's file system of this number.
pub(crate) fn place(app: &AppName, number: usize) -> String {
    format!("{}/{number}", places(app))
}

/// Makes the two directories in a new file system, and fills both with what is in `from`. Returns the one that is mounted.
pub(crate) fn make(file_system: &OwnedFd, from: &OwnedFd) -> Result<OwnedFd> {
    for name in [TREE, NOW] {
        mkdirat(file_system, name, Mode::RWXU)?;
        fill(from, &directory(file_system, name)?)?;
    }
    Ok(directory(file_system, NOW)?)
}

/// Empties the directories of an app, and fills them again. This process's root must be the pod's.
pub(crate) fn renew(app: &AppName) -> Result<()> {
    let all = OwnedFd::from(File::open(format!("/{}", places(app)))?);
    for name in names(&all)? {
        let file_system = directory(&all, name_of(&name))?;
        // There is none if the app's tree has no such directory.
        match directory(&file_system, NOW) {
            Err(error) if error.errno == Errno::NOENT => {}
            now => {
                let now = now?;
                empty(&now)?;
                fill(&directory(&file_system, TREE)?, &now)?;
            }
        }
    }
    Ok(())
}

fn directory(root: &OwnedFd, path: impl AsRef<Path>) -> Result<OwnedFd, sys::Error> {
    open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Returns the names of what is in a directory.
fn names(directory: &OwnedFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

fn name_of(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

/// Removes what is in a directory, but for mounts.
fn empty(of: &OwnedFd) -> Result<()> {
    for name in names(of)? {
        match remove_tree(of, &name) {
            // Only what is beside the mount is removed. A mounted file is left alone, and a mounted directory has
            // nothing of this file system.
            Err(Obstacle::Mounted(_)) => match directory(of, name_of(&name)) {
                Err(error) if error.errno == Errno::NOTDIR => {}
                below => empty(&below?)?,
            },
            removed => removed?,
        }
    }
    Ok(())
}

/// Fills a directory with what is in another one: content, owner and mode, also those of the directory itself. Sockets and
/// devices are left out.
///
/// Objects that are there already are directories with a mount in them, or files with a mount on them.
pub(crate) fn fill(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let mut directories = vec![RelativePath::default()];
    while let Some(path) = directories.pop() {
        let (from, to) = (directory(from, path.as_path())?, directory(to, path.as_path())?);
        let copied = copy_directory(&from, &to, |name| {
            directories.push(RelativePath::from_bytes(&[path.as_bytes(), b"/", name.to_bytes()].concat())?);
            Ok(())
        });
        copied.with_context(|| format!("cannot copy {path}"))?;
    }
    Ok(())
}

fn copy_directory(
    from: &OwnedFd,
    to: &OwnedFd,
    mut has_directory: impl FnMut(CString) -> Result<()>,
) -> Result<()> {
    for name in names(from)? {
        let stat = statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let made = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                has_directory(name.clone())?;
                mkdirat(to, &name, Mode::RWXU)
            }
            FileType::Symlink => symlinkat(readlinkat(from, &name, Vec::new())?, to, &name)
                .and_then(|()| own(to, &name, &stat)),
            FileType::RegularFile => match make_file(to, &name) {
                Ok(file) => {
                    copy_file(from, &name, file, &stat)?;
                    Ok(())
                }
                Err(error) => Err(error),
            },
            FileType::Fifo => {
                mknodat(to, &name, FileType::Fifo, mode(&stat), 0).and_then(|()| own(to, &name, &stat))
            }
            _ => Ok(()),
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    finish(to, &fstat(from)?)
}

fn own(to: &OwnedFd, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

fn make_file(to: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(to, name, flags, Mode::RUSR | Mode::WUSR)
}

fn copy_file(from: &OwnedFd, name: &CStr, file: OwnedFd, stat: &Stat) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut source = File::from(openat(from, name, flags, Mode::empty())?);
    let mut file = File::from(file);
    io::copy(&mut source, &mut file)?;
    finish(&file, stat)
}

/// Sets an object's owner, and then its mode, of which a change of the owner takes bits away.
fn finish(object: impl AsFd, stat: &Stat) -> Result<()> {
    fchown(&object, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    Ok(fchmod(&object, mode(stat))?)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn content_modes_and_links_are_copied_and_what_was_made_since_is_removed() {
        let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("lock/sub")).unwrap();
        fs::write(from.path().join("lock/file"), "content").unwrap();
        fs::set_permissions(from.path().join("lock/file"), PermissionsExt::from_mode(0o640)).unwrap();
        fs::set_permissions(from.path().join("lock"), PermissionsExt::from_mode(0o1777)).unwrap();
        symlink("../elsewhere", from.path().join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(from.path().join("socket")).unwrap();
        let open = |of: &tempfile::TempDir| OwnedFd::from(File::open(of.path()).unwrap());
        let (source, target) = (open(&from), open(&to));
        for _ in 0..2 {
            fill(&source, &target).unwrap();
            let mode = |name: &str| fs::symlink_metadata(to.path().join(name)).unwrap().mode() & 0o7777;
            assert_eq!(fs::read_to_string(to.path().join("lock/file")).unwrap(), "content");
            assert_eq!((mode("lock/file"), mode("lock"), mode("lock/sub")), (0o640, 0o1777, 0o755));
            assert_eq!(fs::read_link(to.path().join("link")).unwrap().to_str(), Some("../elsewhere"));
            assert!(!to.path().join("socket").exists());
            fs::write(to.path().join("lock/sub/pid"), "7").unwrap();
            fs::remove_file(to.path().join("lock/file")).unwrap();
            empty(&target).unwrap();
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
        }
    }
}
