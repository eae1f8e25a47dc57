// SPDX-License-Identifier: Apache-2.0
//! A directory to unpack into, next to a canary that must not change.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::Result;
use archive::Limits;
use image::ImagePolicy;
use store::extract::{Expected, Unpacker, Verified};
use store::record::{Difference, differences};
use sys::Interrupt;

use crate::canary::Canary;

pub(crate) const MANIFEST: &[u8] = b"{}";

/// A directory for a tree, and beside it what must not change.
pub(crate) struct Ground {
    pub(crate) outer: tempfile::TempDir,
    canary: Canary,
    record: tempfile::TempDir,
}

impl Ground {
    /// Makes a ground. Owners and devices need root.
    pub(crate) fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("root")).unwrap();
        let canary = Canary::new(outer.path(), "root");
        Self { outer, canary, record: tempfile::tempdir().unwrap() }
    }

    /// The path of one of the canary's objects.
    pub(crate) fn canary(&self, name: &str) -> String {
        self.outer.path().join(name).to_str().unwrap().to_owned()
    }

    /// A path in the tree's rootfs.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.outer.path().join("root/rootfs").join(path)
    }

    pub(crate) fn root(&self) -> OwnedFd {
        File::open(self.outer.path().join("root")).unwrap().into()
    }

    pub(crate) fn unpack(&self, file: &[u8]) -> Result<Verified> {
        self.unpack_within(file, Limits::default(), Expected::Anything)
    }

    pub(crate) fn unpack_within(&self, file: &[u8], limits: Limits, expected: Expected) -> Result<Verified> {
        let unpacker = Unpacker { limits, ..Unpacker::default() };
        let record = File::create(self.record()).unwrap();
        let done = unpacker.unpack(Cursor::new(file), expected, self.root(), record, ImagePolicy::default());
        self.canary.check();
        done.map_err(report::told)
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
    pub(crate) fn accept(&self, file: &[u8]) -> Verified {
        let verified = self.unpack(file).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(self.differences().unwrap(), []);
        verified
    }

    /// The record of what was unpacked last.
    pub(crate) fn record(&self) -> PathBuf {
        self.record.path().join("record")
    }

    /// In what the tree differs from it.
    pub(crate) fn differences(&self) -> Result<Vec<Difference>> {
        let record = BufReader::new(File::open(self.record()).unwrap());
        Ok(differences(record, &self.root(), &Interrupt::default())?)
    }
}
