// SPDX-License-Identifier: Apache-2.0
//! A machine whose first process is the distribution's systemd, with its journal: the packages' systemd-nspawn boots a tree
//! of them. It has busybox, the installer, stage1 and what a test adds, and a root that can do all that the tests' can.
//!
//! Invariant: it has a network, process and mount namespace of its own, and ends within two minutes.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use crate::host::own_mounts;
use crate::rootfs::{Node, Rootfs};
use crate::{program, stage1};

/// The time limit of a machine, in seconds.
const LIMIT: &str = "120";
/// Where stage1 is in it.
const STAGE1: &str = "stage1.tar.xz";
/// Where cgroup v2 is mounted for it.
const CGROUPS: &str = "/sys/fs/cgroup";

/// What it boots to: the journal, and the steps.
const TARGET: &str = "[Unit]\nDescription=The steps\nDefaultDependencies=no\nAllowIsolate=yes\n\
    Wants=steps.service systemd-journald.service systemd-journald.socket\n";
/// What runs the steps, and ends the machine with their code.
const STEPS: &str = "[Unit]\nDefaultDependencies=no\nAfter=systemd-journald.service\nSuccessAction=exit\n\
    SuccessActionExitStatus=0\nFailureAction=exit\nFailureActionExitStatus=1\n[Service]\nType=oneshot\n\
    TimeoutStartSec=infinity\nExecStart=/bin/sh /steps\nStandardOutput=truncate:/out\nStandardError=inherit\n";

/// A machine, before it boots.
#[derive(Debug)]
pub struct Machine {
    root: Rootfs,
}

impl Machine {
    /// Makes a machine that has busybox, `installer`, systemctl and journalctl in its PATH, and `$GANTRY_STAGE1`.
    ///
    /// # Errors
    /// Fails if a package is unavailable, or a program was not built.
    pub fn new() -> Result<Self> {
        let digest = String::from_utf8(read(&stage1().with_extension("xz.sha256"))?)?;
        let digest = digest.split_whitespace().next().context("a digest is expected")?;
        let digest = format!("{digest}  {STAGE1}\n");
        let root = Rootfs::systemd()?
            .with("usr/bin/installer", Node::File(0o755, read(&program("installer"))?))
            .with(&format!("{STAGE1}.sha256"), Node::File(0o644, digest.into()))
            .with(STAGE1, Node::File(0o644, read(&stage1())?))
            .with("etc/machine-id", Node::File(0o444, Vec::new()))
            .with("etc/systemd/system/default.target", Node::File(0o644, TARGET.into()))
            .with("etc/systemd/system/steps.service", Node::File(0o644, STEPS.into()));
        let mounts = ["proc", "sys", "dev", "run", "var/log", "var/tmp", "root"];
        Ok(Self { root: mounts.iter().fold(root, |root, path| root.with(path, Node::Directory(0o755))) })
    }

    /// Puts a file into the machine's root.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self { root: self.root.with(path, Node::File(mode, content.into())) }
    }

    /// Puts a unit of systemd's into the machine.
    #[must_use]
    pub fn unit(self, name: &str, content: &str) -> Self {
        self.file(&format!("etc/systemd/system/{name}"), 0o644, content)
    }

    /// Puts an image at `/NAME.aci`.
    ///
    /// # Errors
    /// Fails if it can't be written.
    pub fn image(self, name: &str, rootfs: &Rootfs, manifest: &Value) -> Result<Self> {
        let mut image = Vec::new();
        rootfs.write_image(manifest.to_string().as_bytes(), &mut image)?;
        Ok(self.file(&format!("{name}.aci"), 0o644, image))
    }

    /// Boots the machine, runs a shell script in it, and returns what that has written.
    ///
    /// # Errors
    /// Fails if the machine can't be booted or the script fails. The error has what both have written.
    pub fn run(&self, script: &str) -> Result<String> {
        let directory = tempfile::tempdir()?;
        let root = directory.path();
        self.root.write_directory(root)?;
        let script = format!("set -e\nexport GANTRY_STAGE1=/{STAGE1} HOME=/root\n{script}\n");
        fs::File::create(root.join("steps"))?.write_all(script.as_bytes())?;
        // The mounts that it needs are this thread's alone.
        let done = thread::scope(|scope| scope.spawn(|| boot(root)).join());
        let output = done.map_err(|_| anyhow::anyhow!("the machine's thread has panicked"))??;
        let said = fs::read_to_string(root.join("out")).unwrap_or_default();
        if !output.status.success() {
            let console = [output.stdout, output.stderr].concat();
            bail!("the machine, {}: {said}{}", output.status, String::from_utf8_lossy(&console));
        }
        Ok(said)
    }
}

/// Boots the tree at `root`, and waits until the machine is off.
fn boot(root: &Path) -> Result<std::process::Output> {
    own_mounts();
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .context("cannot mount /run")?;
    let is_unified = Path::new(CGROUPS).join("cgroup.controllers").exists();
    if !is_unified {
        let _ = umount2(CGROUPS, MntFlags::MNT_DETACH);
        mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), MsFlags::empty(), None::<&str>)
            .context("cannot mount cgroup v2")?;
    }
    let name = format!("gantry-test-machine-{}-{}", std::process::id(), nix::unistd::gettid());
    let cgroup = Path::new(CGROUPS).join(&name);
    fs::create_dir(&cgroup).context("cannot make a cgroup")?;
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let libraries = libraries.to_str().context("its path is no text")?;
    let loader = pod::arch::Arch::current().loader;
    // timeout(1) ends it even if the test itself is gone.
    let output = Command::new("/bin/sh")
        .args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""])
        .arg(&cgroup)
        .args(["timeout", "--foreground", "--signal=KILL", LIMIT])
        .arg(root.join(loader))
        .arg("--library-path")
        .arg(format!("{libraries}:{libraries}/systemd"))
        .arg(root.join("usr/bin/systemd-nspawn"))
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--settings=false", "--capability=all"])
        .args(["--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no"])
        .args(["--private-network", "--machine=machine"])
        .arg(format!("--directory={}", root.display()))
        .args(["--", "--log-target=null", "--show-status=0"])
        .env("SYSTEMD_SECCOMP", "0")
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1")
        .stdin(Stdio::null())
        .output()
        .context("cannot execute a shell");
    // What a killed nspawn leaves.
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    ensure!(remove(&cgroup), "{} is still there", cgroup.display());
    output
}

/// Removes a cgroup, with those below it, once its processes have ended. Returns false if that takes too long.
fn remove(cgroup: &Path) -> bool {
    for _ in 0..10_000 {
        let below = fs::read_dir(cgroup).into_iter().flatten().flatten();
        for entry in below.filter(|entry| entry.path().is_dir()) {
            remove(&entry.path());
        }
        if fs::remove_dir(cgroup).is_ok() || !cgroup.exists() {
            return true;
        }
        thread::yield_now();
    }
    false
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
