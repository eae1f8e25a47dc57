// SPDX-License-Identifier: Apache-2.0
//! The host's time zone in stage1.
//!
//! According to localtime(5), /etc/localtime is a link into /usr/share/zoneinfo. But hosts have plain files too, and
//! links of every kind.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use crate::apply::{remove, write_file, write_link};
use crate::in_root::InRoot;

const LOCALTIME: &str = "etc/localtime";
/// Where the host's link must point to for stage1 to get the same link.
const ZONEINFO: &str = "usr/share/zoneinfo";
/// The maximum length of a zone file; the largest known ones are below 4 KiB.
const ZONE_MAX: u64 = 1 << 20;

/// Gives stage1 the host's /etc/localtime.
pub(crate) fn mirror(stage1: &InRoot) -> Result<()> {
    let host = File::open("/").context("cannot open /")?;
    mirror_from(&host, stage1)
}

/// Gives stage1 the time zone of the tree `host`.
///
/// Stage1 gets the content of the zone file. If the host has a link into zoneinfo, stage1 gets the same link.
fn mirror_from(host: impl AsFd, stage1: &InRoot) -> Result<()> {
    let link = match readlinkat(&host, LOCALTIME) {
        Ok(target) => Some(PathBuf::from(target)),
        Err(Errno::EINVAL) => None,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return remove(stage1, LOCALTIME),
        Err(error) => return Err(error.into()),
    };
    let zone = link.as_deref().and_then(zone_file);
    match (read_zone(&host, zone.as_deref().unwrap_or(LOCALTIME.as_ref())), zone, link) {
        (Ok(content), Some(zone), Some(target)) => {
            match write_file(stage1, &zone.to_string_lossy(), &content) {
                Ok(()) => write_link(stage1, LOCALTIME, &target.to_string_lossy()),
                // An image may have anything in the place of zoneinfo.
                Err(_) => write_file(stage1, LOCALTIME, &content),
            }
        }
        (Ok(content), ..) => write_file(stage1, LOCALTIME, &content),
        // A link to nothing means UTC, and so does no file.
        (Err(error), ..) if error.kind() == io::ErrorKind::NotFound => remove(stage1, LOCALTIME),
        (Err(error), ..) => Err(error.into()),
    }
}

/// Returns the path below the root that a link in /etc points to, if it is a plain path to a zone file.
fn zone_file(target: &Path) -> Option<PathBuf> {
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
    (path.starts_with(ZONEINFO) && path.to_str().is_some()).then_some(path)
}

fn read_zone(host: impl AsFd, path: &Path) -> io::Result<Vec<u8>> {
    let file = File::from(openat(
        host,
        path,
        OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("expected a regular file"));
    }
    let mut content = Vec::new();
    file.take(ZONE_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Trees(tempfile::TempDir);

    impl Trees {
        fn new() -> Self {
            let trees = Self(tempfile::tempdir().unwrap());
            for dir in ["host/etc", "host/usr/share/zoneinfo/Europe", "stage1/etc"] {
                fs::create_dir_all(trees.path(dir)).unwrap();
            }
            fs::write(trees.path("host/usr/share/zoneinfo/Europe/Berlin"), "TZif-Berlin").unwrap();
            trees
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn mirror(&self) -> Result<()> {
            let stage1 = InRoot::open_at(File::open(self.0.path()).unwrap(), "stage1").unwrap();
            mirror_from(File::open(self.path("host")).unwrap(), &stage1)
        }

        fn zone(&self) -> Option<String> {
            fs::read_to_string(self.path("stage1/usr/share/zoneinfo/Europe/Berlin")).ok()
        }
    }

    #[test]
    fn links_keep_their_target() {
        for target in ["/usr/share/zoneinfo/Europe/Berlin", "../usr/share/zoneinfo/Europe/Berlin"] {
            let trees = Trees::new();
            symlink(target, trees.path("host/etc/localtime")).unwrap();
            trees.mirror().unwrap();
            trees.mirror().unwrap();
            assert_eq!(fs::read_link(trees.path("stage1/etc/localtime")).unwrap(), Path::new(target));
            assert_eq!(trees.zone().as_deref(), Some("TZif-Berlin"));
        }
    }

    #[test]
    fn a_zone_that_has_no_place_is_a_plain_file() {
        let trees = Trees::new();
        symlink("/usr/share/zoneinfo/Europe/Berlin", trees.path("host/etc/localtime")).unwrap();
        fs::create_dir_all(trees.path("stage1/usr")).unwrap();
        symlink("/nowhere", trees.path("stage1/usr/share")).unwrap();
        trees.mirror().unwrap();
        assert_eq!(fs::read_to_string(trees.path("stage1/etc/localtime")).unwrap(), "TZif-Berlin");
    }

    #[test]
    fn a_plain_file_is_copied() {
        let trees = Trees::new();
        fs::write(trees.path("host/etc/localtime"), "TZif").unwrap();
        symlink("/usr/share/zoneinfo/Old", trees.path("stage1/etc/localtime")).unwrap();
        trees.mirror().unwrap();
        assert_eq!(fs::read_to_string(trees.path("stage1/etc/localtime")).unwrap(), "TZif");
    }

    #[test]
    fn a_link_to_elsewhere_is_copied_through() {
        let trees = Trees::new();
        fs::write(trees.path("host/etc/zone"), "TZif-else").unwrap();
        symlink("zone", trees.path("host/etc/localtime")).unwrap();
        trees.mirror().unwrap();
        assert_eq!(fs::read_to_string(trees.path("stage1/etc/localtime")).unwrap(), "TZif-else");
    }

    #[test]
    fn none_is_none() {
        for dangling in [false, true] {
            let trees = Trees::new();
            fs::write(trees.path("stage1/etc/localtime"), "old").unwrap();
            if dangling {
                symlink("/usr/share/zoneinfo/Nowhere", trees.path("host/etc/localtime")).unwrap();
            }
            trees.mirror().unwrap();
            assert!(fs::symlink_metadata(trees.path("stage1/etc/localtime")).is_err());
        }
    }

    #[test]
    fn nothing_is_written_outside_stage1() {
        let trees = Trees::new();
        symlink("/usr/share/zoneinfo/Europe/Berlin", trees.path("host/etc/localtime")).unwrap();
        let outside = trees.path("outside");
        fs::create_dir(&outside).unwrap();
        fs::create_dir_all(trees.path("stage1/usr/share")).unwrap();
        symlink(&outside, trees.path("stage1/usr/share/zoneinfo")).unwrap();
        let _ = trees.mirror();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}
