// SPDX-License-Identifier: Apache-2.0
//! Reads from an untrusted tree: the kernel resolves every path as if the tree's root were `/`.

mod make;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use pod::path::AbsolutePath;
use pod::user::ImageRoot;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, readlinkat};
use rustix::io::Errno;

use crate::open::{open_in_root, proc_path};

/// The kernel follows at most this many links in one path (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// A directory that is the root for every path below it.
#[derive(Debug)]
pub struct InRoot(OwnedFd);

impl InRoot {
    fn open(&self, path: impl AsRef<OsStr>, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(open_in_root(&self.0, path, flags, Mode::empty())?)
    }

    /// Reads the regular file `path` of at most `max` bytes.
    pub fn read_file(&self, path: impl AsRef<OsStr>, max: u64) -> io::Result<Vec<u8>> {
        // Opened as a path first, and for reading only after its type is known: opening a device has side effects, and
        // opening a FIFO blocks.
        let named = self.open(path, OFlags::PATH)?;
        let invalid = |expected: String| io::Error::new(io::ErrorKind::InvalidData, expected);
        let stat = fstat(&named)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(invalid("expected a regular file".into()));
        }
        let file = reopen(&named)?;
        // One read takes all of it, and the next finds the end.
        let length = u64::try_from(stat.st_size).unwrap_or_default().min(max);
        let mut content = Vec::with_capacity(usize::try_from(length + 1).unwrap_or_default());
        file.take(max + 1).read_to_end(&mut content)?;
        match u64::try_from(content.len()) {
            Ok(length) if length <= max => Ok(content),
            _ => Err(invalid(format!("expected at most {max} bytes"))),
        }
    }

    /// Opens the directory `path`, following links inside the root.
    pub fn open_directory(&self, path: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens `path` for inspection only. A link is opened itself, not followed.
    pub fn open_itself(&self, path: impl AsRef<OsStr>) -> io::Result<OwnedFd> {
        self.open(path, OFlags::PATH | OFlags::NOFOLLOW)
    }

    /// Returns the metadata of `path`, following links inside the root.
    pub fn stat(&self, path: &str) -> io::Result<Stat> {
        Ok(fstat(self.open(path, OFlags::PATH)?)?)
    }

    /// Returns the path inside the root, without links, of the object at `path`; empty for the root.
    pub fn real_path(&self, path: impl AsRef<OsStr>) -> io::Result<Vec<u8>> {
        let root = real_path(&self.0)?;
        Ok(real_path(&self.open(path, OFlags::PATH)?)?
            .strip_prefix(root.as_slice())
            .unwrap_or_default()
            .to_vec())
    }

    /// Returns where `path` leads inside the root. Follows links, also those to objects that don't exist yet.
    pub fn resolve(&self, path: &AbsolutePath) -> io::Result<Resolved> {
        let mut path = path.as_str().as_bytes().to_vec();
        for links in 0..LINKS_MAX {
            match self.resolve_once(&path)? {
                Step::There(path) => return Ok(Resolved { path, through_nothing: links > 0 }),
                Step::Onwards(next) => path = next,
            }
        }
        Err(Errno::LOOP.into())
    }

    /// Resolves `path` up to the first link to nothing. The kernel resolves the longest part of `path` that exists. If
    /// a link to nothing follows, its target is the next path to resolve.
    fn resolve_once(&self, path: &[u8]) -> io::Result<Step> {
        let ends = (0..path.len()).filter(|at| path[*at] == b'/' && *at > 0).chain([path.len()]);
        let mut there = Vec::new();
        let mut end_there = 0;
        for end in ends {
            match self.real_path(OsStr::from_bytes(&path[..end])) {
                Ok(real) => (there, end_there) = (real, end),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let link = self.open(OsStr::from_bytes(&path[..end]), OFlags::PATH | OFlags::NOFOLLOW);
                    return Ok(match link.ok().and_then(|link| readlinkat(link, "", Vec::new()).ok()) {
                        Some(target) => Step::Onwards(joined(&there, target.as_bytes(), &path[end..])),
                        None => Step::There([&there, &path[end_there..]].concat()),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Step::There(there))
    }
}

/// The object that a path leads to.
#[derive(Debug)]
pub struct Resolved {
    /// The path from the root on, without links; empty for the root.
    pub path: Vec<u8>,
    /// Whether a link on the way leads to nothing; no directory can be made through such a link.
    pub through_nothing: bool,
}

/// The result of one resolution step: done, or another path to resolve.
enum Step {
    There(Vec<u8>),
    Onwards(Vec<u8>),
}

/// Joins a link's target, resolved from the link's directory, with the rest of the path. `..` stops at the root.
fn joined(directory: &[u8], target: &[u8], rest: &[u8]) -> Vec<u8> {
    let from = if target.starts_with(b"/") { &[][..] } else { directory };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in [from, target, rest].into_iter().flat_map(|path| path.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.into_iter().flat_map(|part| [b"/", part].concat()).collect()
}

/// Opens a regular file for reading, given a descriptor that only allows inspection.
pub fn reopen(file: &OwnedFd) -> io::Result<File> {
    Ok(rustix::fs::open(proc_path(file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Tells whether an error means that nothing exists at the path.
pub fn is_missing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR))
}

/// Returns a descriptor's path as the kernel knows it (proc_pid_fd(5)). It is only compared, never opened.
fn real_path(file: &OwnedFd) -> io::Result<Vec<u8>> {
    Ok(std::fs::read_link(proc_path(file))?.into_os_string().into_vec())
}

impl ImageRoot for InRoot {
    fn read(&self, path: &AbsolutePath, max: u64) -> io::Result<Vec<u8>> {
        self.read_file(path.as_str(), max)
    }

    fn owner(&self, path: &AbsolutePath) -> io::Result<(u32, u32)> {
        let stat = fstat(self.open(path.as_str(), OFlags::PATH)?)?;
        Ok((stat.st_uid, stat.st_gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Opening what a socket is bound to fails with an error of its own, and so does opening a device that doesn't
    /// exist.
    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let outer = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(outer.path().join("socket")).unwrap();
        let root = InRoot::below(File::open(outer.path()).unwrap(), ".").unwrap();
        let error = root.read_file("/socket", 100).unwrap_err();
        assert_eq!(error.to_string(), "expected a regular file");
    }

    #[test]
    fn links_stay_inside() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(outer.path().join("canary"), "outside").unwrap();
        fs::write(root.join("etc/passwd"), "inside").unwrap();
        symlink("../canary", root.join("climb")).unwrap();
        symlink(outer.path().join("canary"), root.join("absolute")).unwrap();
        symlink("/etc", root.join("link")).unwrap();
        symlink("/new", root.join("ahead")).unwrap();
        symlink("link/../../ahead", root.join("twice")).unwrap();
        symlink("../..", root.join("up")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let root = InRoot::below(File::open(outer.path()).unwrap(), "root").unwrap();
        assert!(root.read_file("/climb", 100).is_err());
        assert!(root.read_file("/absolute", 100).is_err());
        assert_eq!(root.read_file("/link/passwd", 6).unwrap(), b"inside");
        assert!(root.read_file("/link/passwd", 5).is_err(), "too long");
        assert!(root.read_file("/etc", 100).is_err(), "a directory");
        for (path, leads) in [
            ("/link/new/file", "/etc/new/file"),
            ("/none/x", "/none/x"),
            ("/link/passwd", "/etc/passwd"),
            ("/ahead/x", "/new/x"),
            ("/up/x", "/x"),
            ("/twice/x/y", "/new/x/y"),
            ("/", ""),
        ] {
            let place = root.resolve(&path.parse().unwrap()).unwrap();
            assert_eq!(String::from_utf8(place.path).unwrap(), leads, "{path}");
            assert_eq!(place.through_nothing, path.starts_with("/ahead") || path.starts_with("/twice"));
        }
        assert!(root.resolve(&"/round/x".parse().unwrap()).is_err());
    }
}
