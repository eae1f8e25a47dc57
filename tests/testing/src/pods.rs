// SPDX-License-Identifier: Apache-2.0
//! Pods in a directory of their own, run by the programs that `make` built.

use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};
use tempfile::TempDir;

use crate::rootfs::Rootfs;
use crate::{program, stage1, users};

/// A test's own directory: Gantry's directory, and images beside it.
#[derive(Debug)]
pub struct Gantry {
    temporary: TempDir,
}

/// A running pod, and what it has written so far.
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
    /// Makes a new and empty directory.
    ///
    /// # Panics
    /// Panics if no temporary directory can be made.
    pub fn new() -> Self {
        Self { temporary: tempfile::tempdir().expect("a temporary directory can be made") }
    }

    /// Returns Gantry's directory. It exists once something was prepared.
    pub fn dir(&self) -> PathBuf {
        self.temporary.path().join("gantry")
    }

    /// Returns a path beside Gantry's directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// Writes an uncompressed image and returns its path.
    ///
    /// # Panics
    /// Panics if that fails.
    pub fn image(&self, name: &str, rootfs: &Rootfs, manifest: &Value) -> PathBuf {
        let path = self.beside(&format!("{name}.aci"));
        let out = BufWriter::new(File::create(&path).expect("an image can be written"));
        rootfs.write_image(manifest.to_string().as_bytes(), out).expect("an image can be written");
        path
    }

    /// Returns a command that runs the installer with Gantry's directory and stage1, and with nothing of the tests'
    /// environment.
    pub fn installer(&self) -> Command {
        let mut command = Command::new(program("installer"));
        command.env_clear().env("GANTRY_STAGE1", stage1()).arg("--dir").arg(self.dir()).stdin(Stdio::null());
        command
    }

    /// Returns the command `installer COMMAND --image IMAGE… ARGUMENT…`, for a pod with the users that tests ask for
    /// ([`users`]).
    pub fn with_images(&self, command: &str, images: &[&Path], arguments: &[&str]) -> Command {
        let mut installer = self.installer();
        installer.arg(command);
        for image in images {
            installer.arg("--image").arg(image);
        }
        installer.args(users::asked_for(arguments));
        installer
    }

    /// Runs a pod to its end.
    ///
    /// # Panics
    /// Panics if the installer can't be executed.
    pub fn run(&self, images: &[&Path]) -> Output {
        let output = self.with_images("run", images, &[]).output().expect("the installer can be executed");
        self.wait_all();
        output
    }

    /// Prepares a pod and returns its directory.
    ///
    /// # Panics
    /// Panics if that fails.
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
    /// Panics if it can't be executed.
    pub fn start(&self, pod: &Path) -> Running {
        let mut command = Command::new("./stage1/init");
        command.current_dir(pod).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: command.spawn().expect("/init can be executed"), directory: pod.to_owned() }
    }

    /// Returns the directories of all prepared pods.
    pub fn pods(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir().join("containers")).into_iter().flatten();
        entries.map(|entry| entry.expect("pods can be listed").path()).collect()
    }

    /// Returns the directory of the only pod.
    ///
    /// # Panics
    /// Panics if there is no pod, or more than one.
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

/// Returns the id of an uncompressed image.
///
/// # Panics
/// Panics if the image can't be read.
pub fn image_id(image: &Path) -> String {
    let bytes = fs::read(image).expect("an image can be read");
    pod::digest::Digest::Sha256(Sha256::digest(bytes).into()).to_string()
}

/// Returns the id of an uncompressed image that is a sha512.
///
/// # Panics
/// Panics if the image can't be read.
pub fn image_sha512(image: &Path) -> String {
    let bytes = fs::read(image).expect("an image can be read");
    pod::digest::Digest::Sha512(Sha512::digest(bytes).into()).to_string()
}

/// Returns a program's output as text, but for the warning that comes with the host's users alone, where tests ask for these
/// and the machine has no controller for it ([`users::are_hosts`]).
pub fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let is_kept =
        |line: &&str| !line.starts_with("warning: the limit of 4096 processes is not enforced for ");
    if users::are_hosts() { text.split_inclusive('\n').filter(is_kept).collect() } else { text.into_owned() }
}

/// Checks that a message has all of `parts` in it.
///
/// # Panics
/// Panics if one is missing.
#[track_caller]
pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} should say {part:?}");
    }
}

/// Returns an app's status in a pod that has ended.
///
/// # Panics
/// Panics if there is no status, or if it is anything but a number and a newline.
pub fn status(pod: &Path, app: &str) -> u8 {
    let path = pod.join("stage1/rkt/status").join(app);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let number = text.strip_suffix('\n').expect("a status ends with a newline");
    number.parse().expect("a status is a number")
}

/// Waits until nothing is left of a pod. It stays locked as long as any of its processes exists.
pub fn wait_gone(pod: &Path) {
    let directory = File::open(pod).expect("a pod directory can be opened");
    drop(Flock::lock(directory, FlockArg::LockExclusive).expect("a pod directory can be locked"));
}

impl Running {
    /// Returns the id of the pod's process.
    ///
    /// # Panics
    /// Panics if it is out of range.
    pub fn id(&self) -> i32 {
        self.child.id().try_into().expect("a process id is a positive number")
    }

    /// Returns the pod's id.
    ///
    /// # Panics
    /// Panics if the pod's directory has no name.
    pub fn pod_id(&self) -> String {
        self.directory.file_name().expect("it is named as the pod").to_string_lossy().into_owned()
    }

    /// Sends a signal to the pod's process.
    ///
    /// # Panics
    /// Panics if the process is gone.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().expect("a process id is a positive number"));
        kill(id, signal).expect("the pod's process is there");
    }

    /// Returns the process id, on the host, of the first process inside the pod.
    ///
    /// # Panics
    /// Panics if there is none.
    pub fn systemd(&self) -> u32 {
        let nspawn = nspawn(self.child.id()).expect("the pod's process has started nspawn");
        let is_systemd = |child: &u32| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "systemd\n")
        };
        children(nspawn).into_iter().find(is_systemd).expect("nspawn's child is systemd")
    }

    /// Waits until the pod's process blocks this signal, so that the signal waits until the process can act on it.
    ///
    /// # Panics
    /// Panics if the process is gone.
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

    /// Reads the pod's stdout up to a line that contains this text.
    ///
    /// # Panics
    /// Panics if stdout ends without such a line.
    pub fn wait_for(&mut self, text: &str) {
        self.read_until(text);
    }

    /// Reads up to a line like [`Running::wait_for`], and returns the lines before it.
    ///
    /// # Panics
    /// Panics if stdout ends without such a line.
    pub fn read_until(&mut self, text: &str) -> String {
        let out = self.child.stdout.as_mut().expect("stdout is piped");
        let (mut seen, mut line, mut byte) = (String::new(), Vec::new(), [0]);
        loop {
            let count = out.read(&mut byte).expect("stdout can be read");
            if count == 0 {
                let mut said = String::new();
                let errors = self.child.stderr.as_mut().map(|errors| errors.read_to_string(&mut said));
                panic!("no line with {text:?} in {seen:?}: {errors:?} {said}");
            }
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

    /// Waits until the pod has ended and nothing is left of it. The code is 128+N if signal N ended it.
    ///
    /// # Panics
    /// Panics if the pod can't be waited for.
    pub fn wait(self) -> (i32, Output) {
        let output = self.child.wait_with_output().expect("the pod can be waited for");
        wait_gone(&self.directory);
        let status = output.status;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        (code.expect("a process ends by a code or a signal"), output)
    }
}

/// Returns the children of a process.
fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().map(|child| child.parse().expect("a process id is a number")).collect()
}

/// Returns the nspawn of a pod's process, if there is one: it is called as the loader that has started it.
pub fn nspawn(process: u32) -> Option<u32> {
    let is_nspawn = |child: &u32| {
        fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.starts_with("ld-linux"))
    };
    children(process).into_iter().find(is_nspawn)
}
