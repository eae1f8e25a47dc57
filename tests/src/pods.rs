// SPDX-License-Identifier: Apache-2.0
//! Pods in a directory of their own, run by the programs as built.

use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::rootfs::Rootfs;
use crate::{program, stage1};

/// A directory for Gantry, and one for images.
#[derive(Debug)]
pub struct Gantry {
    temporary: TempDir,
}

/// A pod that runs, and what it has written so far.
#[derive(Debug)]
pub struct Running {
    child: Child,
    directory: PathBuf,
}

impl Default for Gantry {
    fn default() -> Self {
        Self::new()
    }
}

impl Gantry {
    /// New and empty.
    ///
    /// # Panics
    /// Where no temporary directory can be made.
    pub fn new() -> Self {
        Self { temporary: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    /// Gantry's directory; it is there once something was prepared.
    pub fn dir(&self) -> PathBuf {
        self.temporary.path().join("gantry")
    }

    /// A path beside Gantry's directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// Writes an image, plain, and returns its path.
    ///
    /// # Panics
    /// Where that fails.
    pub fn image(&self, name: &str, rootfs: &Rootfs, manifest: &Value) -> PathBuf {
        let path = self.beside(&format!("{name}.aci"));
        let out = BufWriter::new(File::create(&path).expect("an image can be written"));
        rootfs.write_image(manifest.to_string().as_bytes(), out).expect("an image can be written");
        path
    }

    /// The installer, with Gantry's directory and stage1 given, and nothing of the tests' environment.
    pub fn installer(&self) -> Command {
        let mut command = Command::new(program("installer"));
        command.env_clear().env("GANTRY_STAGE1", stage1()).arg("--dir").arg(self.dir()).stdin(Stdio::null());
        command
    }

    /// `installer COMMAND --image IMAGE… ARGUMENT…`
    pub fn with_images(&self, command: &str, images: &[&Path], arguments: &[&str]) -> Command {
        let mut installer = self.installer();
        installer.arg(command);
        for image in images {
            installer.arg("--image").arg(image);
        }
        installer.args(arguments);
        installer
    }

    /// Runs a pod to its end.
    ///
    /// # Panics
    /// Where the installer can't be executed.
    pub fn run(&self, images: &[&Path]) -> Output {
        let output = self.with_images("run", images, &[]).output().expect("the installer can be executed");
        self.wait_all();
        output
    }

    /// Prepares a pod and returns its directory.
    ///
    /// # Panics
    /// Where that fails.
    pub fn prepare(&self, images: &[&Path], arguments: &[&str]) -> PathBuf {
        let output =
            self.with_images("prepare", images, arguments).output().expect("the installer can be executed");
        assert!(output.status.success(), "prepare: {}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).expect("a pod directory is text");
        let directory = printed.strip_suffix('\n').expect("one line is printed");
        assert!(!directory.contains('\n'), "one line is printed: {printed:?}");
        PathBuf::from(directory)
    }

    /// Starts a prepared pod through its own `/init`.
    ///
    /// # Panics
    /// Where it can't be executed.
    pub fn start(&self, pod: &Path) -> Running {
        let mut command = Command::new("./stage1/init");
        command.current_dir(pod).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: command.spawn().expect("/init can be executed"), directory: pod.to_owned() }
    }

    /// The directories of the pods that were prepared.
    pub fn pods(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir().join("containers")).into_iter().flatten();
        entries.map(|entry| entry.expect("pods can be listed").path()).collect()
    }

    /// The only pod's directory.
    ///
    /// # Panics
    /// Where there is none or more.
    pub fn pod(&self) -> PathBuf {
        let pods = self.pods();
        assert_eq!(pods.len(), 1, "one pod is expected");
        pods[0].clone()
    }

    /// Waits until nothing is left of any pod.
    pub fn wait_all(&self) {
        self.pods().iter().for_each(|pod| wait_gone(pod));
    }
}

/// The id of an image that is a plain tar.
///
/// # Panics
/// Where it can't be read.
pub fn image_id(image: &Path) -> String {
    let bytes = fs::read(image).expect("an image can be read");
    pod::digest::Digest::Sha256(Sha256::digest(bytes).into()).to_string()
}

/// An app's status in a pod that has ended.
///
/// # Panics
/// Where there is none, or it is more than a number and a newline.
pub fn status(pod: &Path, app: &str) -> u8 {
    let path = pod.join("stage1/rkt/status").join(app);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let number = text.strip_suffix('\n').expect("a status ends with a newline");
    number.parse().expect("a status is a number")
}

/// Waits until nothing is left of a pod: it is locked as long as anything is.
pub fn wait_gone(pod: &Path) {
    let directory = File::open(pod).expect("a pod directory can be opened");
    drop(Flock::lock(directory, FlockArg::LockExclusive).expect("a pod directory can be locked"));
}

impl Running {
    /// The id of the pod's process.
    ///
    /// # Panics
    /// Where it is out of range.
    pub fn id(&self) -> i32 {
        self.child.id().try_into().expect("a process id is a positive number")
    }

    /// The pod's id.
    ///
    /// # Panics
    /// Where the pod's directory has no name.
    pub fn pod_id(&self) -> String {
        self.directory.file_name().expect("it is named as the pod").to_string_lossy().into_owned()
    }

    /// Sends a signal to the pod's process.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().expect("a process id is a positive number"));
        kill(id, signal).expect("the pod's process is there");
    }

    /// The process id, on the host, of the pod's first process.
    ///
    /// # Panics
    /// Where there is none.
    pub fn systemd(&self) -> u32 {
        let children = |id: &str| {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            children.expect("the pod's processes are there").split_whitespace().map(str::to_owned).collect()
        };
        let nspawn: Vec<String> = children(&self.child.id().to_string());
        let is_systemd = |child: &String| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "systemd\n")
        };
        let found = children(&nspawn[0]).into_iter().find(is_systemd).expect("nspawn's child is systemd");
        found.parse().expect("a process id is a number")
    }

    /// Waits until a signal to the pod's process is held back until it can be acted on.
    ///
    /// # Panics
    /// Where the process is gone.
    pub fn wait_until_it_holds(&self, signal: Signal) {
        let path = format!("/proc/{}/status", self.child.id());
        let blocked = || {
            let status = fs::read_to_string(&path).expect("the pod's process is there");
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("it has a mask");
            u64::from_str_radix(mask.trim(), 16).expect("a mask is in hex")
        };
        while blocked() & 1 << (signal as i32 - 1) == 0 {
            std::thread::yield_now();
        }
    }

    /// Reads the pod's stdout up to a line that has this text in it.
    ///
    /// # Panics
    /// Where it ends without.
    pub fn wait_for(&mut self, text: &str) {
        self.read_until(text);
    }

    /// Like [`Running::wait_for`]; the lines before.
    ///
    /// # Panics
    /// Likewise.
    pub fn read_until(&mut self, text: &str) -> String {
        let out = self.child.stdout.as_mut().expect("stdout is piped");
        let (mut seen, mut line, mut byte) = (String::new(), Vec::new(), [0]);
        loop {
            let count = out.read(&mut byte).expect("stdout can be read");
            assert_ne!(count, 0, "no line with {text:?} in {seen:?}");
            line.push(byte[0]);
            if byte[0] == b'\n' {
                let whole = String::from_utf8_lossy(&line).into_owned();
                if whole.contains(text) {
                    return seen;
                }
                seen.push_str(&whole);
                line.clear();
            }
        }
    }

    /// Waits for the pod's end, and until nothing is left of it. The code is 128+N for a signal.
    ///
    /// # Panics
    /// Where that can't be waited for.
    pub fn wait(self) -> (i32, Output) {
        let output = self.child.wait_with_output().expect("the pod can be waited for");
        wait_gone(&self.directory);
        let status = output.status;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        (code.expect("a process ends by a code or a signal"), output)
    }
}
