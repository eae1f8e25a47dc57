// SPDX-License-Identifier: Apache-2.0
//! The host's time zone, which the pod and its apps get.
//!
//! According to localtime(5), /etc/localtime is a link into /usr/share/zoneinfo. But hosts have plain files too, and
//! links of every kind.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use pod::path::RelativePath;
use rustix::fs::{Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

use crate::names::{LOCALTIME, ZONEINFO};

/// The maximum length of a zone file; the largest known ones are below 4 KiB.
const ZONE_MAX: u64 = 1 << 20;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The zone file's content (tzfile(5)).
    pub content: Vec<u8>,
    /// How /etc/localtime is a link into zoneinfo; `None` if it is to be a plain file.
    pub link: Option<ZoneLink>,
}

/// A link into zoneinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneLink {
    /// The link's text.
    pub target: String,
    /// The path of the zone file that it leads to, below the root.
    pub file: RelativePath,
}

/// Reads the time zone of the tree `host`; `None` means UTC.
pub(crate) fn read(host: impl AsFd) -> io::Result<Option<Zone>> {
    let target = match readlinkat(&host, LOCALTIME, Vec::new()) {
        Ok(target) => Some(target),
        Err(Errno::INVAL) => None,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let link = target.and_then(|target| {
        let target = target.into_string().ok()?;
        zone_file(Path::new(&target)).map(|file| ZoneLink { target, file })
    });
    let path = link.as_ref().map_or(Path::new(LOCALTIME), |link| link.file.as_path());
    match read_file(&host, path) {
        Ok(content) => Ok(Some(Zone { content, link })),
        // A link to nothing means UTC, and so does no file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the path below the root that a link in /etc points to, if it is a plain path to a zone file.
fn zone_file(target: &Path) -> Option<RelativePath> {
    let mut path = PathBuf::new();
    for component in Path::new("/etc").join(target).components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
        }
    }
    let file = path.starts_with(ZONEINFO).then(|| RelativePath::from_bytes(path.as_os_str().as_bytes()));
    file?.ok()
}

fn read_file(host: impl AsFd, path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(host, path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("expected a regular file"));
    }
    let mut content = Vec::new();
    file.take(ZONE_MAX).read_to_end(&mut content)?;
    Ok(content)
}
