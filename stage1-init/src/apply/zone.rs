// SPDX-License-Identifier: Apache-2.0
//! Gives a tree a time zone: stage1, and each app's root.

use anyhow::Result;
use pod::path::RelativePath;
use sys::InRoot;

use super::write::{READABLE, file, link, remove};
use crate::load::zone::Zone;
use crate::names::LOCALTIME;

/// Gives a tree this time zone; `None` removes the one that it has.
///
/// The zone file goes where the link leads. An image may have anything in that place; then /etc/localtime is a plain
/// file.
pub(crate) fn put(root: &InRoot, zone: Option<&Zone>) -> Result<()> {
    let localtime = RelativePath::from_bytes(LOCALTIME.as_bytes())?;
    let Some(Zone { content, link: to }) = zone else { return remove(root, &localtime) };
    if let Some(to) = to
        && file(root, &to.file, content, READABLE).is_ok()
    {
        return link(root, &localtime, &to.target);
    }
    file(root, &localtime, content, READABLE)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use crate::load::zone;

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
            let stage1 = InRoot::below(File::open(self.0.path()).unwrap(), "stage1").unwrap();
            put(&stage1, zone::read(File::open(self.path("host")).unwrap())?.as_ref())
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
