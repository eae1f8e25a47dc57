// SPDX-License-Identifier: Apache-2.0
//! Layers made by the tests, and the trees that they must become.

mod hostile;
mod spec;
mod trees;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::fault::Result;

use super::{Frame, FrameFile, Gate, Layer};
use crate::extract::Unpacker;
use crate::record::{Sealed, differences};
use archive::Limits;
use archive::layer::Part;
use pod::blob::BlobDigest;
use sys::Interrupt;

/// The time of all entries.
const MTIME: u64 = 1_000_000_000;

/// A layer's tar being written.
pub(super) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(MTIME);
        header.set_size(size as u64);
        header
    }

    /// Names that the tar crate would not write are written as they are.
    fn name(header: &mut tar::Header, name: &str) {
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    }

    fn add(mut self, kind: tar::EntryType, name: &str, mode: u32, target: &str, content: &[u8]) -> Self {
        let mut header = Self::header(kind, mode, content.len());
        Self::name(&mut header, name);
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(super) fn dir(self, name: &str, mode: u32) -> Self {
        self.add(tar::EntryType::Directory, name, mode, "", b"")
    }

    pub(super) fn file(self, name: &str, content: &str) -> Self {
        self.add(tar::EntryType::Regular, name, 0o644, "", content.as_bytes())
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Symlink, name, 0o777, target, b"")
    }

    pub(super) fn hard(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Link, name, 0o644, target, b"")
    }

    pub(super) fn fifo(self, name: &str) -> Self {
        self.add(tar::EntryType::Fifo, name, 0o600, "", b"")
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Returns a layer of these bytes, whose tar is `tar`.
pub(super) fn layer(bytes: &[u8], tar: &[u8]) -> Layer {
    let mut file = tempfile::tempfile().unwrap();
    // It doesn't begin where its file does.
    file.write_all(b"before")
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.write_all(b"after"))
        .unwrap();
    Layer {
        part: Part { file: Arc::new(file), offset: 6, length: bytes.len() as u64 },
        blob: Some(BlobDigest::sha256(bytes)),
        diff_id: BlobDigest::sha256(tar),
    }
}

fn layers(tars: impl IntoIterator<Item = Tar>) -> Vec<Layer> {
    tars.into_iter().map(Tar::bytes).map(|tar| layer(&tar, &tar)).collect()
}

/// A tree that layers were unpacked into, and its record.
pub(super) struct Unpacked {
    directory: tempfile::TempDir,
    pub(super) result: Result<Sealed>,
}

fn frame(made: &[&str]) -> Frame {
    let made = made.iter().map(|path| path.parse().unwrap()).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"xx{}").unwrap();
    let manifest =
        FrameFile { name: "manifest".into(), content: Part { file: Arc::new(file), offset: 2, length: 2 } };
    Frame { directory: "rootfs".into(), files: vec![manifest], made }
}

pub(super) fn unpack_with(limits: Limits, layers: &[Layer]) -> Unpacked {
    unpack_and_make(limits, layers, &[])
}

/// Unpacks layers, and makes directories if nothing is there.
pub(super) fn unpack_and_make(limits: Limits, layers: &[Layer], made: &[&str]) -> Unpacked {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("tree")).unwrap();
    let root = File::open(directory.path().join("tree")).unwrap().into();
    let record = File::create(directory.path().join("record")).unwrap();
    let unpacker = Unpacker { limits, ..Unpacker::default() };
    let gate = Gate::open();
    let result = unpacker.unpack_layers(layers, &gate, &frame(made), &root, record).map(|(sealed, _)| sealed);
    Unpacked { directory, result }
}

pub(super) fn unpack(tars: impl IntoIterator<Item = Tar>) -> Unpacked {
    unpack_with(Limits::default(), &layers(tars))
}

impl Unpacked {
    pub(super) fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("tree/rootfs")
    }

    /// The objects of the tree, one a line, after a check that the record is of this tree.
    pub(super) fn tree(&self) -> Vec<String> {
        self.result.as_ref().unwrap();
        assert_eq!(self.differences(), Vec::<String>::new());
        assert_eq!(fs::read(self.directory.path().join("tree/manifest")).unwrap(), b"{}");
        let mut lines = Vec::new();
        list(&self.root(), "", &mut lines);
        lines.sort();
        lines
    }

    /// How the tree differs from its record.
    pub(super) fn differences(&self) -> Vec<String> {
        let record = std::io::BufReader::new(File::open(self.directory.path().join("record")).unwrap());
        let root = File::open(self.directory.path().join("tree")).unwrap().into();
        let found = differences(record, &root, &Interrupt::default()).unwrap();
        found.iter().map(|difference| difference.to_string()).collect()
    }

    pub(super) fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }
}

fn list(directory: &Path, prefix: &str, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let (kind, metadata) = (entry.file_type().unwrap(), entry.metadata().unwrap());
        if kind.is_dir() {
            lines.push(format!("{name}/ {:o}", metadata.permissions().mode() & 0o7777));
            list(&entry.path(), &format!("{name}/"), lines);
        } else if kind.is_symlink() {
            lines.push(format!("{name} -> {}", fs::read_link(entry.path()).unwrap().display()));
        } else if kind.is_fifo() {
            lines.push(format!("{name} |"));
        } else {
            let names = if metadata.nlink() > 1 { format!(" ×{}", metadata.nlink()) } else { String::new() };
            lines.push(format!("{name} = {}{names}", fs::read_to_string(entry.path()).unwrap()));
        }
    }
}
