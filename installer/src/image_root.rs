// SPDX-License-Identifier: Apache-2.0
//! Reading out of an untrusted tree: the kernel resolves every path as if the tree's root were `/`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use pod::path::AbsolutePath;
use pod::user::ImageRoot;
use rustix::fs::{Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

/// How often a lookup is tried that a concurrent rename elsewhere disturbed (openat2(2), EAGAIN).
const ATTEMPTS: usize = 32;

/// A directory taken as the root of everything below it.
#[derive(Debug)]
pub(crate) struct InRoot(OwnedFd);

impl InRoot {
    /// Opens the directory `path`, relative to `parent`, as a root. No link is followed to get there.
    pub(crate) fn open_at(parent: impl AsFd, path: &str) -> io::Result<Self> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(Self(open(parent, path, OFlags::PATH | OFlags::DIRECTORY, resolve)?))
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        open(&self.0, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// Reads the regular file `path` of at most `max` bytes.
    pub(crate) fn read_file(&self, path: &str, max: u64) -> io::Result<Vec<u8>> {
        // O_NONBLOCK: opening a FIFO must not wait for its writer.
        let file = File::from(self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let invalid = |expected: String| io::Error::new(io::ErrorKind::InvalidData, expected);
        if !file.metadata()?.is_file() {
            return Err(invalid("expected a regular file".into()));
        }
        let mut content = Vec::new();
        file.take(max + 1).read_to_end(&mut content)?;
        match u64::try_from(content.len()) {
            Ok(length) if length <= max => Ok(content),
            _ => Err(invalid(format!("expected at most {max} bytes"))),
        }
    }

    /// What `path` is, following links inside the root.
    pub(crate) fn stat(&self, path: &str) -> io::Result<Stat> {
        Ok(fstat(self.open(path, OFlags::PATH)?)?)
    }

    /// Where `path` leads inside the root: links are followed as far as there is something.
    pub(crate) fn resolve(&self, path: &AbsolutePath) -> io::Result<Vec<u8>> {
        let root = real_path(&self.0)?;
        let mut there = path.as_str();
        let missing = loop {
            match self.open(there, OFlags::PATH) {
                Ok(file) => {
                    let found = real_path(&file)?;
                    let inside = found.strip_prefix(root.as_slice()).unwrap_or_default();
                    return Ok([inside, &path.as_str().as_bytes()[there.len()..]].concat());
                }
                Err(error) => match there.rfind('/') {
                    Some(0) | None => break error,
                    Some(end) => there = &there[..end],
                },
            }
        };
        if missing.kind() == io::ErrorKind::NotFound { Ok(path.as_str().into()) } else { Err(missing) }
    }
}

/// A descriptor's path, as the kernel knows it (proc_pid_fd(5)); used to compare, never to open.
fn real_path(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(std::fs::read_link(link)?.into_os_string().into_vec())
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

fn open(parent: impl AsFd, path: &str, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    for _ in 1..ATTEMPTS {
        match openat2(&parent, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
    Err(Errno::AGAIN.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

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
        let root = InRoot::open_at(File::open(outer.path()).unwrap(), "root").unwrap();
        assert!(root.read_file("/climb", 100).is_err());
        assert!(root.read_file("/absolute", 100).is_err());
        assert_eq!(root.read_file("/link/passwd", 6).unwrap(), b"inside");
        assert!(root.read_file("/link/passwd", 5).is_err(), "too long");
        assert!(root.read_file("/etc", 100).is_err(), "a directory");
        for (path, leads) in [
            ("/link/new/file", "/etc/new/file"),
            ("/none/x", "/none/x"),
            ("/link/passwd", "/etc/passwd"),
            ("/", ""),
        ] {
            let resolved = root.resolve(&path.parse().unwrap()).unwrap();
            assert_eq!(String::from_utf8(resolved).unwrap(), leads, "{path}");
        }
    }
}
