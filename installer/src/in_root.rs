// SPDX-License-Identifier: Apache-2.0
//! Reading an image's own files, resolved by the kernel as if the image's tree were the root (openat2(2),
//! `RESOLVE_IN_ROOT`).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstat;
use pod::path::AbsolutePath;
use pod::user::ImageRoot;

/// An image's tree.
#[derive(Debug)]
pub(crate) struct Rootfs(pub(crate) OwnedFd);

impl Rootfs {
    fn open(&self, path: &AbsolutePath, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.0, path.as_str(), how)
    }
}

impl ImageRoot for Rootfs {
    fn read(&self, path: &AbsolutePath, max: u64) -> io::Result<Vec<u8>> {
        // O_NONBLOCK: a FIFO must not be waited for.
        let file = File::from(self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?);
        read_bounded(&file, max)
    }

    fn owner(&self, path: &AbsolutePath) -> io::Result<(u32, u32)> {
        let stat = fstat(self.open(path, OFlag::O_PATH)?)?;
        Ok((stat.st_uid, stat.st_gid))
    }
}

/// A regular file's content, of at most `max` bytes.
pub(crate) fn read_bounded(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    if !file.metadata()?.is_file() {
        return Err(invalid("expected a regular file".into()));
    }
    let mut content = Vec::new();
    file.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(invalid(format!("expected at most {max} bytes")));
    }
    Ok(content)
}
