// SPDX-License-Identifier: Apache-2.0
//! An image and a stage1 that contain one object of each kind and take hardly any time, for tests that prepare pods
//! hundreds of times. These pods don't boot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use xz2::write::XzEncoder;

use crate::image::manifest;
use crate::oci::OciImage;
use crate::pods::image_id;
use crate::program;
use crate::rootfs::{Node, Rootfs};

/// The modification time of every object in the archives.
pub const MTIME: u64 = 1_600_000_000;
/// The number of objects: an image's manifest, rootfs and its contents, and those of stage1.
pub const OBJECTS: usize = 14 + 5;
/// A file capability: version 2, effective, CAP_NET_BIND_SERVICE (linux/capability.h).
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A temporary directory with archives, and a directory for Gantry beside them.
#[derive(Debug)]
pub struct Tiny {
    temporary: TempDir,
    stage1: PathBuf,
}

impl Default for Tiny {
    fn default() -> Self {
        Self::new()
    }
}

impl Tiny {
    /// Writes a stage1, and no image yet.
    ///
    /// # Panics
    /// Panics if it can't be written.
    pub fn new() -> Self {
        let temporary = directory();
        let stage1 = stage1(temporary.path()).expect("a stage1 can be written");
        Self { temporary, stage1 }
    }

    /// Returns Gantry's directory, which is not created.
    pub fn dir(&self) -> PathBuf {
        self.path().join("gantry")
    }

    /// Returns the directory that contains everything.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Returns the image of this name, and writes it if it doesn't exist yet. `on-NAME` depends on the image NAME.
    ///
    /// # Panics
    /// Panics if it can't be written.
    pub fn image(&self, name: &str) -> PathBuf {
        let path = self.path().join(format!("{name}.aci"));
        if !path.exists() {
            let mut manifest = manifest(name, &["/bin/a"]);
            if let Some(other) = name.strip_prefix("on-") {
                manifest["dependencies"] = json!([{"imageName": format!("example.com/{other}")}]);
            }
            let tar = image_tar(&manifest).expect("a tar can be written to memory");
            fs::write(&path, tar).expect("an image can be written");
        }
        path
    }

    /// Returns the OCI layout of this name, of two layers, and writes it if it doesn't exist yet.
    pub fn layout(&self, name: &str) -> PathBuf {
        let path = self.path().join(format!("{name}.oci"));
        if !path.exists() {
            layered(name).write_layout(&path);
        }
        path
    }

    /// Returns an installer command for DIR. In `words`, `NAME.aci` stands for the image of that name, `NAME.id` for its
    /// id, and `NAME.oci` for the OCI layout of that name.
    ///
    /// # Panics
    /// Panics if an image can't be written.
    pub fn installer(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("installer"));
        command.env_clear().env("GANTRY_STAGE1", &self.stage1).arg("--dir").arg(self.dir());
        for word in words {
            match word.rsplit_once('.') {
                Some((name, "aci")) => command.arg(self.image(name)),
                Some((name, "oci")) => command.arg(self.layout(name)),
                Some((name, "id")) => command.arg(image_id(&self.image(name))),
                _ => command.arg(word),
            };
        }
        command
    }
}

/// Returns an OCI image of this name, of two layers.
pub fn layered(name: &str) -> OciImage {
    let lower = Rootfs::default().with("bin/a", Node::File(0o755, name.into()));
    let upper = Rootfs::default().with("bin/.wh.none", Node::File(0o644, "".into()));
    let upper = upper.with("etc/word", Node::File(0o644, "word".into()));
    OciImage::new(&[&lower, &upper], &json!({"Cmd": ["/bin/a"]}))
}

/// Makes a temporary directory, in memory if the host has a place for it: syncing costs nothing there.
///
/// # Panics
/// Panics if no directory can be made.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let in_memory = statfs(memory).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
    let made = if in_memory { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory can be made")
}

/// Writes a stage1 and its digest to `directory`, and returns its path.
fn stage1(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("stage1.tar.xz");
    let mut tar = Builder::new(XzEncoder::new(Vec::new(), 0));
    append(&mut tar, EntryType::Directory, "./", 0o755, b"")?;
    append(&mut tar, EntryType::Regular, "init", 0o555, b"not run")?;
    append(&mut tar, EntryType::Directory, "usr", 0o755, b"")?;
    append(&mut tar, EntryType::Regular, "usr/file", 0o644, b"a file of stage1")?;
    append_link(&mut tar, EntryType::Symlink, "lib", "usr/lib")?;
    let bytes = tar.into_inner()?.finish()?;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&path, bytes)?;
    fs::write(directory.join("stage1.tar.xz.sha256"), format!("{digest}  stage1.tar.xz\n"))?;
    Ok(path)
}

/// Returns what a command wrote to stderr, without the line in which prepare reports the pod's layout.
pub fn said(stderr: &str) -> String {
    stderr.split_inclusive('\n').filter(|line| !line.starts_with("layout: ")).collect()
}

fn image_tar(manifest: &Value) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, EntryType::Regular, "manifest", 0o644, manifest.to_string().as_bytes())?;
    append(&mut tar, EntryType::Directory, "rootfs", 0o755, b"")?;
    append(&mut tar, EntryType::Directory, "rootfs/bin", 0o755, b"")?;
    tar.append_pax_extensions([("SCHILY.xattr.security.capability", CAPABILITY)])?;
    append(&mut tar, EntryType::Regular, "rootfs/bin/a", 0o755, &Node::program_file())?;
    append_link(&mut tar, EntryType::Link, "rootfs/bin/hard", "rootfs/bin/a")?;
    append_link(&mut tar, EntryType::Symlink, "rootfs/bin/link", "../somewhere")?;
    append(&mut tar, EntryType::Directory, "rootfs/dev", 0o1777, b"")?;
    append(&mut tar, EntryType::Char, "rootfs/dev/null", 0o666, b"")?;
    append(&mut tar, EntryType::Fifo, "rootfs/dev/fifo", 0o600, b"")?;
    append(&mut tar, EntryType::Directory, "rootfs/etc", 0o700, b"")?;
    append(&mut tar, EntryType::Regular, "rootfs/etc/passwd", 0o644, b"root:x:0:0:::\n")?;
    append(&mut tar, EntryType::Regular, "rootfs/etc/group", 0o4755, b"root:x:0:\n")?;
    append(&mut tar, EntryType::Directory, "rootfs/etc/below", 0o750, b"")?;
    append(&mut tar, EntryType::Regular, "rootfs/etc/below/empty", 0o400, b"")?;
    tar.into_inner()
}

fn append(
    tar: &mut Builder<impl io::Write>,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
) -> io::Result<()> {
    let mut header = header(kind, mode);
    if kind == EntryType::Char {
        header.set_device_major(1)?;
        header.set_device_minor(3)?;
    }
    header.set_size(content.len() as u64);
    // Another owner than root, so that unpacking has to set it.
    header.set_uid(if path.ends_with("group") { 7 } else { 0 });
    tar.append_data(&mut header, path, content)
}

fn append_link(
    tar: &mut Builder<impl io::Write>,
    kind: EntryType,
    path: &str,
    target: &str,
) -> io::Result<()> {
    tar.append_link(&mut header(kind, 0o777), path, target)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(0);
    header
}
