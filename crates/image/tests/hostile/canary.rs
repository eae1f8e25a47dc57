// SPDX-License-Identifier: Apache-2.0
//! What lies beside a tree while it is unpacked, and must not change: bit for bit, and not for a moment either, which
//! the change times tell (inode(7)). Also a part of the fuzz targets.
#![allow(unreachable_pub, reason = "each crate that has this file sees a part of it")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

/// Objects of a directory, beside the one that may change.
#[derive(Debug)]
pub struct Canary {
    directory: PathBuf,
    but: &'static str,
    before: String,
}

impl Canary {
    /// Puts objects of every kind into `directory`, in which nothing but `but` may change from here on:
    /// `canary`, a file; `canary.twin`, its other name; `canary.link`, a link to it; `canary.fifo`; and `canary.d`,
    /// a directory with a file, a link and a directory.
    ///
    /// # Panics
    /// Where that fails.
    pub fn new(directory: &Path, but: &'static str) -> Self {
        let at = |name: &str| directory.join(name);
        fs::create_dir_all(at("canary.d/sub")).unwrap();
        fs::write(at("canary"), "alive").unwrap();
        fs::write(at("canary.d/sub/file"), "alive, too").unwrap();
        fs::hard_link(at("canary"), at("canary.twin")).unwrap();
        symlink("canary", at("canary.link")).unwrap();
        symlink("../canary.d", at("canary.d/link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("canary.fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        for (name, mode) in [("canary", 0o604), ("canary.d", 0o1731), ("canary.d/sub/file", 0o640)] {
            if rustix::process::geteuid().is_root() {
                lchown(at(name), Some(123), Some(456)).unwrap();
                lsetxattr(at(name), "trusted.canary", b"sings", XattrFlags::empty()).unwrap();
            }
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
            let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
            fs::File::open(at(name)).unwrap().set_modified(long_ago).unwrap();
        }
        let before = look(directory, but);
        Self { directory: directory.to_owned(), but, before }
    }

    /// Whether all is as it was.
    ///
    /// # Panics
    /// Where it is not.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(look(&self.directory, self.but), self.before, "something outside of the tree changed");
    }
}

/// All that can be seen of what is in `directory`, but for when it was read.
fn look(directory: &Path, but: &str) -> String {
    let mut seen = Vec::new();
    look_into(directory, &mut seen, Some(but));
    seen.sort();
    seen.join("\n")
}

fn look_into(directory: &Path, seen: &mut Vec<String>, but: Option<&str>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if but.is_some_and(|but| path.file_name() == Some(OsStr::new(but))) {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        let content = match meta.file_type() {
            kind if kind.is_file() => fs::read(&path).unwrap(),
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let facts = (meta.ino(), meta.nlink(), meta.mode(), meta.uid(), meta.gid(), meta.rdev());
        let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        seen.push(format!("{path:?} {facts:?} {times:?} {:?} {content:?}", attributes(&path)));
        if meta.is_dir() {
            look_into(&path, seen, None);
        }
    }
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let mut all = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 4096];
        let length = lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        all.push((String::from_utf8_lossy(name).into_owned(), value[..length].to_vec()));
    }
    all
}
