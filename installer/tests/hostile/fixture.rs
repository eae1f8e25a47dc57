// SPDX-License-Identifier: Apache-2.0
//! Archives written byte by byte, unpacked next to a canary that must not change.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Result;
use installer::archive::Limits;
use installer::extract::{Expected, Unpacker, Verified};
use installer::image::ImagePolicy;
use installer::record::{Difference, differences};
use tar::{EntryType, Header};

pub(crate) const MANIFEST: &[u8] = b"{}";

/// A tar stream.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// A manifest and a rootfs, as every image has them.
    pub(crate) fn image() -> Self {
        Self::default().file("manifest", MANIFEST).directory("rootfs/", 0o755)
    }

    /// An entry with a header as `change` makes it; the sum is right.
    pub(crate) fn entry(
        mut self,
        name: &[u8],
        kind: u8,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.raw(content)
    }

    /// Content and its padding.
    pub(crate) fn raw(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name.as_bytes(), b'0', content, |_| {})
    }

    pub(crate) fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(name.as_bytes(), b'5', b"", |header| header.set_mode(mode))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.link(name, b'2', target)
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(name, b'1', target)
    }

    fn link(self, name: &str, kind: u8, target: &str) -> Self {
        self.entry(name.as_bytes(), kind, b"", |header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        })
    }

    /// A device or FIFO.
    pub(crate) fn special(self, name: &str, kind: u8, major: u32, minor: u32) -> Self {
        self.entry(name.as_bytes(), kind, b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A pax header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let content: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry(b"pax", b'x', &content, |_| {})
    }

    /// The stream with its end marker.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A directory for a tree, and beside it what must not change.
pub(crate) struct Ground {
    pub(crate) outer: tempfile::TempDir,
    before: String,
}

impl Ground {
    /// `None`, said loudly, where this can't run: owners and devices need root.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "{test} needs root, and CI=true forbids a skip"
            );
            eprintln!("skipped: {test} needs root");
            return None;
        }
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("root")).unwrap();
        fs::create_dir(outer.path().join("canary.d")).unwrap();
        fs::write(outer.path().join("canary"), "alive").unwrap();
        fs::set_permissions(outer.path().join("canary"), fs::Permissions::from_mode(0o604)).unwrap();
        let before = look(outer.path());
        Some(Self { outer, before })
    }

    pub(crate) fn canary(&self) -> String {
        self.outer.path().join("canary").to_str().unwrap().to_owned()
    }

    /// A path in the tree's rootfs.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.outer.path().join("root/rootfs").join(path)
    }

    pub(crate) fn root(&self) -> OwnedFd {
        File::open(self.outer.path().join("root")).unwrap().into()
    }

    pub(crate) fn unpack(&self, file: &[u8]) -> Result<Verified<ImagePolicy>> {
        self.unpack_within(file, Limits::default(), Expected::Anything)
    }

    pub(crate) fn unpack_within(
        &self,
        file: &[u8],
        limits: Limits,
        expected: Expected,
    ) -> Result<Verified<ImagePolicy>> {
        let unpacker = Unpacker { limits, ..Unpacker::default() };
        let record = File::create(self.record()).unwrap();
        let done = unpacker.unpack(Cursor::new(file), expected, self.root(), record, ImagePolicy::default());
        assert_eq!(look(self.outer.path()), self.before, "something outside of the tree changed");
        done
    }

    /// It is refused, with one line that has `why` in it.
    #[track_caller]
    pub(crate) fn refuse(&self, file: &[u8], why: &str) {
        let error = format!("{:#}", self.unpack(file).expect_err("it should be refused"));
        assert!(error.contains(why), "{error:?} should say {why:?}");
        assert!(!error.contains(|c: char| c.is_control()), "{error:?} has control characters");
        for left in fs::read_dir(self.outer.path().join("root")).unwrap() {
            let path = left.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// It is accepted, and its record is that of the tree that is there now.
    #[track_caller]
    pub(crate) fn accept(&self, file: &[u8]) -> Verified<ImagePolicy> {
        let verified = self.unpack(file).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(self.differences().unwrap(), []);
        verified
    }

    /// The record of what was unpacked last.
    pub(crate) fn record(&self) -> PathBuf {
        self.outer.path().join("root.record")
    }

    /// In what the tree differs from it.
    pub(crate) fn differences(&self) -> Result<Vec<Difference>> {
        differences(BufReader::new(File::open(self.record()).unwrap()), &self.root())
    }
}

/// All that can be seen of the canaries, which are not called `root…`.
fn look(outer: &Path) -> String {
    let mut seen: Vec<String> = Vec::new();
    for entry in fs::read_dir(outer).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().as_bytes().starts_with(b"root") {
            let meta = path.symlink_metadata().unwrap();
            let content = fs::read(&path).unwrap_or_default();
            let facts = (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec(), meta.nlink());
            seen.push(format!("{path:?} {facts:?} {content:?}"));
        }
    }
    seen.sort();
    seen.join("\n")
}
