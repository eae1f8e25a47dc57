// SPDX-License-Identifier: Apache-2.0
//! A private root directory for apt, and apt-get run in it.
//!
//! Invariant: the directory is removed when its owner is dropped. apt-get has no terminal, no shell around it and a
//! clean environment.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow};
use tempfile::TempDir;

use super::distribution::{Codename, Distribution};
use super::{config, sources};
use crate::interrupt;
use crate::target::Target;
use report::Hint as _;

/// The way out where apt is missing or fails.
pub(super) const OFFLINE: &str =
    "rootfs-build stage1 --debs DIR builds from a directory of packages, without apt";

const DIRECTORIES: &[&str] = &[
    "etc/apt/apt.conf.d",
    "etc/apt/auth.conf.d",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
    "etc/apt/trusted.gpg.d",
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "var/lib/dpkg",
];

/// The package database: nothing is installed, but `/usr` is merged, as it is in stage1. Otherwise apt would plan a
/// migration by usrmerge, which needs perl.
const STATUS: &str = "Package: usr-is-merged
Status: install ok installed
Architecture: all
Version: 999
Maintainer: none
Description: stage1 is laid out merged

";

/// The environment variables passed on to apt: where programs are, and how to reach the archive.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// The interval at which apt-get is checked while it runs.
const TICK: Duration = Duration::from_millis(50);

/// A private root, configured with the distribution's own sources and no packages.
pub(super) struct Root {
    directory: TempDir,
}

impl Root {
    /// Makes a root for packages of `release`, or of the host's where that is `None`.
    pub(super) fn prepare(release: Option<&Codename>) -> Result<Self> {
        let distribution = Distribution::of_host()?;
        let distribution = match release {
            Some(release) => distribution.with_release(release.clone()),
            None => distribution,
        };
        let keyring = distribution.keyring()?;
        let sources = sources::of_host(Path::new("/etc/apt"), &distribution)?;
        let directory = tempfile::Builder::new().prefix("rootfs-build-").tempdir();
        let root = Self { directory: directory.context("create a temporary directory")? };
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        for name in DIRECTORIES {
            let path = root.path().join(name);
            fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        root.open_to_apt().context("set up apt's private root")?;
        write("var/lib/dpkg/status", STATUS)?;
        write("etc/apt/sources.list.d/own.sources", &sources::render(&sources, &keyring))?;
        let host = finish(
            spawn(command("apt-config").arg("dump"), &root.path().join("host"))?,
            || (),
            &root.path().join("host"),
            "apt-config",
        )?;
        write("apt.conf", &config::render(root.path(), Target::host()?.deb, &host)?)?;
        Ok(root)
    }

    /// Makes the root accessible to apt's user, whatever the umask: apt drops root for its transfers if it can.
    fn open_to_apt(&self) -> io::Result<()> {
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
            for entry in fs::read_dir(&directory)? {
                directories.push(entry?.path());
            }
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the directory where apt-get puts the archives it fetches.
    pub(super) fn archives(&self) -> PathBuf {
        self.path().join("var/cache/apt/archives")
    }

    /// Spares apt-get a fetch. `path` is an already verified archive, which apt-get would store as `name`.
    pub(super) fn offer(&self, path: &Path, name: &str) -> Result<()> {
        let to = self.archives().join(name);
        fs::copy(path, &to).map(drop).with_context(|| format!("copy {}", path.display()))
    }

    /// Runs apt-get and returns its standard output. `tick` is called at regular intervals.
    pub(super) fn apt_get(&self, arguments: &[&str], tick: impl FnMut()) -> Result<String> {
        let mut command = command("apt-get");
        command.env("APT_CONFIG", self.path().join("apt.conf")).args(arguments);
        let log = self.path().join("log");
        finish(spawn(&mut command, &log)?, tick, &log, "apt-get")
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C");
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Starts `command`, with its output in `log` and its errors in `log.err`.
fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let create = |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
    command.stdin(Stdio::null()).stdout(create(log)?).stderr(create(&log.with_extension("err"))?);
    let program = command.get_program().to_string_lossy().into_owned();
    match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(anyhow!("{program} not found")).hint(OFFLINE)
        }
        other => other.with_context(|| format!("run {program}")),
    }
}

fn finish(mut child: Child, mut tick: impl FnMut(), log: &Path, program: &str) -> Result<String> {
    let status = wait(&mut child, &mut tick).with_context(|| format!("run {program}"))?;
    // Ctrl-C at a terminal ends apt first. Then the interruption is reported, not the failure of apt that it caused.
    interrupt::check()?;
    if status.success() {
        let output = fs::read(log).with_context(|| format!("read {}", log.display()))?;
        return Ok(String::from_utf8_lossy(&output).into_owned());
    }
    let errors = fs::read(log.with_extension("err")).unwrap_or_default();
    Err(failure(program, status, &String::from_utf8_lossy(&errors)))
}

fn wait(child: &mut Child, tick: &mut impl FnMut()) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if let Err(interrupted) = interrupt::check() {
            // apt-get's transfer methods end when their pipes close.
            child.kill().and_then(|()| child.wait())?;
            return Err(interrupted);
        }
        tick();
        thread::sleep(TICK);
    }
}

/// Makes an error of apt's own messages, without their decoration.
fn failure(program: &str, status: ExitStatus, errors: &str) -> Error {
    let mut said: Vec<&str> = errors.lines().filter_map(|line| line.strip_prefix("E: ")).collect();
    if said.is_empty() {
        said = errors.lines().filter(|line| !line.trim().is_empty()).collect();
    }
    said.truncate(4);
    if said.is_empty() {
        return anyhow!("{program} failed: {status}");
    }
    anyhow!("{program}: {}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn failures_are_told_in_apts_words() {
        let table = [
            ("W: x\nE: Unable to locate package foo\n", "apt-get: Unable to locate package foo"),
            ("E: a\nE: b\nE: c\nE: d\nE: e\n", "apt-get: a; b; c; d"),
            ("something\n\n", "apt-get: something"),
            ("", "apt-get failed: exit status: 100"),
        ];
        for (errors, expected) in table {
            let status = ExitStatus::from_raw(100 << 8);
            assert_eq!(failure("apt-get", status, errors).to_string(), expected);
        }
    }
}
