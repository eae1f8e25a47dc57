// SPDX-License-Identifier: Apache-2.0
//! Opens and makes objects in an untrusted tree, by paths below its root. The kernel resolves each as if the root were
//! `/`, so no link leads out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pod::path::RelativePath;
use rustix::fs::{Mode, OFlags, mkdirat};
use rustix::io::Errno;

use super::InRoot;
use crate::error::{CalledOn as _, Error};
use crate::open::{open_beneath, open_in_root};

const BY_NAME: OFlags = OFlags::PATH;
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

impl InRoot {
    /// Opens the directory `path`, relative to `parent`, as a root, and names the call and the path on failure. Follows
    /// no link on the way there.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn below(parent: impl AsFd, path: &str) -> Result<Self, Error> {
        Ok(Self(open_beneath(parent, path, DIRECTORY)?))
    }

    /// Opens `path`; an empty path means the root itself. A file that is made gets `mode`.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn open_as(&self, path: &RelativePath, flags: OFlags, mode: Mode) -> Result<OwnedFd, Error> {
        let path = if path.as_bytes().is_empty() { ".".as_ref() } else { path.as_path() };
        open_in_root(&self.0, path, flags, mode)
    }

    /// Opens `path` by name only (`O_PATH`). Returns `None` if nothing is there.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn find(&self, path: &RelativePath) -> Result<Option<OwnedFd>, Error> {
        if_there(self.open_as(path, BY_NAME, Mode::empty()))
    }

    /// Opens `path` as a directory. Missing directories, including those above it, are made with mode 0755.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn make_dir(&self, path: &RelativePath) -> Result<OwnedFd, Error> {
        if let Some(there) = if_there(self.open_as(path, DIRECTORY, Mode::empty()))? {
            return Ok(there);
        }
        let Some((parent, name)) = path.split_last() else {
            return Err(Errno::NOENT).called_on("openat2", path.as_path());
        };
        match mkdirat(self.make_dir(&parent)?, name, Mode::from_raw_mode(0o755)) {
            // If it exists by now, the second lookup opens it; if it is a dangling link, that lookup fails.
            Ok(()) | Err(Errno::EXIST) => self.open_as(path, DIRECTORY, Mode::empty()),
            made => Err(made.called_on("mkdirat", path.as_path()).expect_err("it was no success")),
        }
    }

    /// Opens `path` as a mount target for a file. A missing file is made, empty.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn make_file(&self, path: &RelativePath) -> Result<OwnedFd, Error> {
        if let Some(there) = self.find(path)? {
            return Ok(there);
        }
        let (parent, _) = path.split_last().ok_or(Errno::ISDIR).called_on("openat2", path.as_path())?;
        self.make_dir(&parent)?;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW;
        drop(self.open_as(path, flags, Mode::from_raw_mode(0o644))?);
        self.open_as(path, BY_NAME, Mode::empty())
    }
}

impl AsFd for InRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn if_there(opened: Result<OwnedFd, Error>) -> Result<Option<OwnedFd>, Error> {
    match opened {
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        opened => opened.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use pod::user::ImageRoot as _;

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn targets_are_made_inside() {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("root")).unwrap();
        symlink("/", outer.path().join("root/out")).unwrap();
        let root = InRoot::below(File::open(outer.path()).unwrap(), "root").unwrap();
        root.make_dir(&path("out/a/b")).unwrap();
        root.make_file(&path("out/a/c/file")).unwrap();
        assert!(outer.path().join("root/a/b").is_dir());
        assert_eq!(fs::metadata(outer.path().join("root/a/c/file")).unwrap().len(), 0);
        assert_eq!(root.owner(&"/a".parse().unwrap()).unwrap().0, fs::metadata(outer.path()).unwrap().uid());
        assert!(root.find(&path("none")).unwrap().is_none());
    }

    #[test]
    fn a_failure_names_the_call_and_the_path() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("file"), "").unwrap();
        let root = InRoot::below(File::open(outer.path()).unwrap(), ".").unwrap();
        let error = root.make_dir(&path("file/x")).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.errno), (r#"openat2 "file/x""#, Errno::NOTDIR));
    }

    #[test]
    fn reading_is_bounded_and_waits_for_nobody() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("big"), "12345").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            outer.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let root = InRoot::below(File::open(outer.path()).unwrap(), ".").unwrap();
        assert_eq!(root.read_file("big", 5).unwrap(), b"12345");
        assert!(root.read_file("big", 4).is_err());
        assert!(root.read_file("fifo", 100).is_err());
    }
}
