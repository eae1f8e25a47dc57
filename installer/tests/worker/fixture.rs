// SPDX-License-Identifier: Apache-2.0
//! Workers that wait, and installers that take long.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use archive::Limits;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use store::TreeKind;
use store::extract::Expected;
use store::unpacker::{Descriptors, Job, spawn};
use tar::{EntryType, Header};

pub(crate) const INSTALLER: &str = env!("CARGO_BIN_EXE_installer");
/// Milliseconds that a process may take for what it does at once.
const PATIENCE: u16 = 20_000;

pub(crate) fn job() -> Job {
    Job { expected: Expected::Anything, with_sha512: false, limits: Limits::default() }
}

/// The beginning of an image: up to the content of a file of `size` bytes.
fn head(size: u64) -> Vec<u8> {
    let entry = |name: &str, kind, size| {
        let mut header = Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    [entry("rootfs/", EntryType::Directory, 0), entry("rootfs/large", EntryType::Regular, size)].concat()
}

/// The beginning of an image that is longer than what a pipe takes.
pub(crate) fn beginning() -> Vec<u8> {
    [head(1 << 20), vec![0; 512 << 10]].concat()
}

/// An image in `directory` that takes a while: it has gigabytes, all of them holes.
pub(crate) fn slow_image(directory: &Path) -> File {
    let mut options = File::options();
    let mut file =
        options.create(true).truncate(true).read(true).write(true).open(directory.join("slow.aci")).unwrap();
    file.write_all(&head(8 << 30)).unwrap();
    file.set_len(8 << 30).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// A worker that is confined and waits for the rest of an archive.
pub(crate) struct Waiting {
    worker: Child,
    outer: tempfile::TempDir,
    archive: Option<PipeWriter>,
    message: PipeReader,
}

impl Waiting {
    pub(crate) fn begin() -> Self {
        Self::after(&beginning())
    }

    /// One that has read all of `beginning` but what fits into a pipe, and waits for more.
    pub(crate) fn after(beginning: &[u8]) -> Self {
        let (read, mut archive) = std::io::pipe().unwrap();
        let mut waiting = Self::reading(read.into());
        // More than the pipe takes: it returns once the worker reads, which it does once it is confined.
        archive.write_all(beginning).unwrap();
        waiting.archive = Some(archive);
        waiting
    }

    /// One that reads from `archive`.
    pub(crate) fn reading(archive: OwnedFd) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let tree = outer.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let (message, result) = std::io::pipe().unwrap();
        let root = File::open(tree).unwrap();
        let descriptors = Descriptors {
            archive,
            record: File::create(outer.path().join("record")).unwrap().into(),
            result: result.into(),
            root: root.as_fd(),
        };
        let worker = spawn(INSTALLER.as_ref(), TreeKind::Image, &job(), descriptors).unwrap();
        Self { worker, outer, archive: None, message }
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        self.worker.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.worker.id()
    }

    /// Ends the archive; what the worker says.
    pub(crate) fn finish(mut self) -> String {
        drop(self.archive.take());
        let mut text = String::new();
        self.message.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn place(&self) -> &Path {
        self.outer.path()
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.outer.path().join("tree")
    }

    /// What the worker was given, by device and inode.
    pub(crate) fn descriptors(&self) -> [(u64, u64); 4] {
        let of = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).unwrap();
        let at = |path: PathBuf| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).unwrap();
        let pipes = [
            self.archive.as_ref().unwrap().try_clone().unwrap().into(),
            self.message.try_clone().unwrap().into(),
        ];
        let [archive, message] = pipes.each_ref().map(of);
        [archive, message, at(self.outer.path().join("record")), at(self.tree())]
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

/// A process whose end can be waited for.
pub(crate) struct Ended(OwnedFd);

pub(crate) fn ended(pid: i32) -> Ended {
    Ended(pidfd_open(rustix::process::Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap())
}

impl Ended {
    #[track_caller]
    pub(crate) fn wait(&self) {
        let ready =
            poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE)).unwrap();
        assert_eq!(ready, 1, "it goes on");
    }
}

/// An installer that prepares a pod from [`slow_image`].
pub(crate) fn prepare(outer: &Path) -> Child {
    slow_image(outer);
    let mut stage1 = tar::Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(0);
    stage1.append_data(&mut header, "init", &b""[..]).unwrap();
    let stage1 = stage1.into_inner().unwrap();
    fs::write(outer.join("stage1.tar"), &stage1).unwrap();
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&stage1).into();
    Command::new(INSTALLER)
        .arg("--dir")
        .arg(outer.join("dir"))
        .args(["prepare", "--stage1-sha256", &pod::digest::Digest::Sha256(digest).hex(), "--stage1"])
        .arg(outer.join("stage1.tar"))
        .arg("--image")
        .arg(outer.join("slow.aci"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The process that unpacks the image for `installer`, once it is there.
pub(crate) fn worker_of(installer: &mut Child) -> Pid {
    loop {
        assert!(
            installer.try_wait().unwrap().is_none(),
            "the installer has ended before its worker was there"
        );
        let threads = fs::read_dir(format!("/proc/{}/task", installer.id())).unwrap();
        for thread in threads {
            let children = fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
            for child in children.split_whitespace() {
                let order = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                if String::from_utf8_lossy(&order).contains("\"kind\":\"image\"") {
                    return Pid::from_raw(child.parse().unwrap());
                }
            }
        }
        std::thread::yield_now();
    }
}

/// Waits for an installer's end: its code, and what it said.
pub(crate) fn end(installer: &mut Child) -> (Option<i32>, String) {
    let mut said = String::new();
    installer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (installer.wait().unwrap().code(), said)
}
