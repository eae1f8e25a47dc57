// SPDX-License-Identifier: Apache-2.0
//! Access to an untrusted tree: the kernel resolves every path as if the tree's root were `/`.
//!
//! openat2(2) with `RESOLVE_IN_ROOT` keeps links, also absolute ones, and `..` inside the tree.
//! `RESOLVE_NO_MAGICLINKS` makes sure that a process's descriptors (/proc/PID/fd) are no way out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Result, ensure};
use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::geteuid;
use pod::path::{AbsolutePath, RelativePath};
use pod::user::ImageRoot;

/// How often to try a lookup that a concurrent rename disturbs (openat2(2), EAGAIN).
const ATTEMPTS: usize = 32;
const OTHERS_MAY_WRITE: Mode = Mode::S_IWGRP.union(Mode::S_IWOTH);

/// A directory taken as the root of everything below it.
#[derive(Debug)]
pub(crate) struct InRoot(OwnedFd);

impl InRoot {
    /// Opens the directory `path`, relative to `dir`, as a root. No component of `path` may be a link.
    pub(crate) fn open_at(dir: impl AsFd, path: &str) -> nix::Result<Self> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        retry(|| openat2(dir.as_fd(), path, how)).map(Self)
    }

    /// Opens `path`; an empty path means the root itself.
    pub(crate) fn open(&self, path: &RelativePath, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .mode(mode)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let path = if path.as_bytes().is_empty() { ".".as_ref() } else { path.as_path() };
        retry(|| openat2(&self.0, path, how))
    }

    /// Reads a regular file of at most `max` bytes.
    pub(crate) fn read(&self, path: &RelativePath, max: u64) -> io::Result<Vec<u8>> {
        // Opened by name (`O_PATH`) and checked first: opening a device has side effects, and opening a FIFO blocks.
        let named = self.open(path, OFlag::O_PATH, Mode::empty())?;
        if SFlag::from_bits_truncate(fstat(&named)?.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a regular file"));
        }
        let file = File::open(format!("/proc/self/fd/{}", named.as_raw_fd()))?;
        let mut content = Vec::new();
        file.take(max + 1).read_to_end(&mut content)?;
        if content.len() as u64 > max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("expected at most {max} bytes")));
        }
        Ok(content)
    }

    /// Opens `path` as a directory. Missing directories, including those above it, are made with mode 0755.
    pub(crate) fn make_dir(&self, path: &RelativePath) -> nix::Result<OwnedFd> {
        let as_dir = OFlag::O_PATH | OFlag::O_DIRECTORY;
        match self.open(path, as_dir, Mode::empty()) {
            Err(Errno::ENOENT) => {}
            opened => return opened,
        }
        let Some((parent, name)) = path.split_last() else {
            return Err(Errno::ENOENT);
        };
        let parent = self.make_dir(&parent)?;
        match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
            // If it exists by now, the second lookup opens it; if it is a dangling link, that lookup fails.
            Ok(()) | Err(Errno::EEXIST) => self.open(path, as_dir, Mode::empty()),
            Err(error) => Err(error),
        }
    }

    /// Opens `path` as a mount target for a file. A missing file is made, empty.
    pub(crate) fn make_file(&self, path: &RelativePath) -> nix::Result<OwnedFd> {
        match self.open(path, OFlag::O_PATH, Mode::empty()) {
            Err(Errno::ENOENT) => {}
            opened => return opened,
        }
        let (parent, _) = path.split_last().ok_or(Errno::EISDIR)?;
        self.make_dir(&parent)?;
        drop(self.open(
            path,
            OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NOFOLLOW,
            Mode::from_bits_truncate(0o644),
        )?);
        self.open(path, OFlag::O_PATH, Mode::empty())
    }
}

impl AsFd for InRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ImageRoot for InRoot {
    fn read(&self, path: &AbsolutePath, max: u64) -> io::Result<Vec<u8>> {
        Self::read(self, &path.below_root(), max)
    }

    fn owner(&self, path: &AbsolutePath) -> io::Result<(u32, u32)> {
        let file = self.open(&path.below_root(), OFlag::O_PATH, Mode::empty())?;
        let stat = fstat(&file)?;
        Ok((stat.st_uid, stat.st_gid))
    }
}

/// Opens a path without following magic links.
///
/// Those are the links in /proc that lead to what a process has open, whatever their text says.
pub(crate) fn open_plainly<P: NixPath + ?Sized>(path: &P, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    retry(|| openat2(AT_FDCWD, path, how))
}

/// Opens an absolute path by name only (`O_PATH`), without following any link, those of /proc included.
pub(crate) fn open_without_links(path: &str) -> nix::Result<OwnedFd> {
    let open = |flags: OFlag| {
        let flags = flags | OFlag::O_PATH | OFlag::O_CLOEXEC;
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        retry(|| openat2(AT_FDCWD, path, how))
    };
    // Tried as a directory first: only then is an automount point mounted (open(2), O_PATH).
    match open(OFlag::O_DIRECTORY) {
        Err(Errno::ENOTDIR) => open(OFlag::empty()),
        opened => opened,
    }
}

/// Checks that only root can change what is in a directory.
pub(crate) fn check_guarded(directory: impl AsFd) -> Result<()> {
    let stat = fstat(directory)?;
    let owner = geteuid().as_raw();
    ensure!(stat.st_uid == owner, "it belongs to user {}: expected {owner}", stat.st_uid);
    let mode = Mode::from_bits_truncate(stat.st_mode);
    ensure!(
        !mode.intersects(OTHERS_MAY_WRITE),
        "others than its owner can write there: mode {:04o}",
        mode.bits()
    );
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    for _ in 1..ATTEMPTS {
        match call() {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            done => return done,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn root() -> (tempfile::TempDir, InRoot) {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("root")).unwrap();
        fs::write(outer.path().join("canary"), "outside").unwrap();
        let dir = File::open(outer.path()).unwrap();
        let root = InRoot::open_at(&dir, "root").unwrap();
        (outer, root)
    }

    fn path(text: &str) -> RelativePath {
        RelativePath::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn links_stay_inside() {
        let (outer, root) = root();
        let inside = outer.path().join("root");
        symlink("../canary", inside.join("climb")).unwrap();
        symlink(outer.path().join("canary"), inside.join("absolute")).unwrap();
        symlink("/etc", inside.join("link")).unwrap();
        fs::create_dir(inside.join("etc")).unwrap();
        fs::write(inside.join("etc/passwd"), "inside").unwrap();
        assert!(root.read(&path("climb"), 100).is_err());
        assert!(root.read(&path("absolute"), 100).is_err());
        assert_eq!(root.read(&path("link/passwd"), 100).unwrap(), b"inside");
    }

    #[test]
    fn reading_is_bounded_and_waits_for_nobody() {
        let (outer, root) = root();
        fs::write(outer.path().join("root/big"), "12345").unwrap();
        nix::unistd::mkfifo(&outer.path().join("root/fifo"), Mode::S_IRUSR).unwrap();
        assert_eq!(root.read(&path("big"), 5).unwrap(), b"12345");
        assert!(root.read(&path("big"), 4).is_err());
        assert!(root.read(&path("fifo"), 100).is_err());
    }

    /// Opening a socket's file fails with an error of its own, and so does opening a device that doesn't exist.
    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let (outer, root) = root();
        let _socket = std::os::unix::net::UnixListener::bind(outer.path().join("root/socket")).unwrap();
        let error = root.read(&path("socket"), 100).unwrap_err();
        assert_eq!(error.to_string(), "expected a regular file");
    }

    #[test]
    fn targets_are_made_inside() {
        let (outer, root) = root();
        symlink("/", outer.path().join("root/out")).unwrap();
        root.make_dir(&path("out/a/b")).unwrap();
        root.make_file(&path("out/a/c/file")).unwrap();
        assert!(outer.path().join("root/a/b").is_dir());
        assert_eq!(fs::metadata(outer.path().join("root/a/c/file")).unwrap().len(), 0);
        assert_eq!(root.owner(&"/a".parse().unwrap()).unwrap().0, fs::metadata(outer.path()).unwrap().uid());
    }
}
