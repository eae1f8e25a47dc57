// SPDX-License-Identifier: Apache-2.0
//! The place where everything is measured: a file system of its own below `.cache`, in a mount namespace of its own, so
//! that no mount outlives it, nor anything that a container engine keeps in fixed places.
//!
//! The file system is ext4 as Debian makes it, in a file that is written without the page cache. So the results depend
//! neither on the host's file system nor on what was removed there: an ext4 without a journal, for example, looks at
//! every inode that was freed in the last minute before it takes one (`recently_deleted` in the kernel's
//! fs/ext4/ialloc.c), and unpacking takes several times as long.
//!
//! Invariant: commands have only paths relative to that directory or below it, which are shown with `WORK` in its place, so
//! they can be shown, and repeated, on any machine.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use testing::{program, repository, stage1};

/// The directories that podman, skopeo and nspawn use whatever their options say. In the namespace these are empty.
const HIDDEN: &[&str] = &["/run", "/dev/shm", "/var/lib/containers"];
/// The one of [`HIDDEN`] that a host may lack.
const OPTIONAL: &str = "/var/lib/containers";
/// Makes that file system and mounts it. The loop device goes with the mount.
const DISK: &str = "truncate -s 8G disk
    mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 disk
    device=$(losetup --find --show --direct-io=on disk)
    mount $device work || { losetup -d $device; exit 1; }
    losetup -d $device";
/// The parent of all cgroups that the other programs make here.
pub(crate) const CGROUP: &str = "gantry-bench";

/// The directory. On drop it is removed with everything else.
#[derive(Debug)]
pub(crate) struct Work {
    path: PathBuf,
    /// The directory above, which has the file system's file.
    cache: PathBuf,
    created: bool,
}

/// Returns the directory's path.
pub(crate) fn directory() -> PathBuf {
    repository().join(".cache/bench/work")
}

impl Work {
    /// Makes the directory, in place of one that an earlier run left, and enters the namespace.
    pub(crate) fn enter() -> Result<Self> {
        let path = directory();
        let cache = path.parent().context("it is below another one")?.to_owned();
        remove(&path, &cache)?;
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        let created = !Path::new(OPTIONAL).exists();
        fs::create_dir_all(OPTIONAL).context(OPTIONAL)?;
        let work = Self { path, cache, created };
        unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace of its own needs root")?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .context("cannot make the mount namespace private")?;
        for hidden in HIDDEN {
            mount(Some("tmpfs"), *hidden, Some("tmpfs"), MsFlags::empty(), None::<&str>)
                .with_context(|| format!("cannot mount on {hidden}"))?;
        }
        work.make_disk()?;
        for directory in ["bin", "home", "tmp"] {
            fs::create_dir(work.join(directory)).with_context(|| format!("create {directory}"))?;
        }
        for name in ["bench", "installer"] {
            symlink(program(name), work.join("bin").join(name)).with_context(|| format!("link to {name}"))?;
        }
        tempfile::env::override_temp_dir(&work.path.join("tmp"))
            .map_err(|_| anyhow::anyhow!("another directory for temporary files is in use"))?;
        Ok(work)
    }

    /// Without loop devices, the host's file system is used.
    fn make_disk(&self) -> Result<()> {
        let mut command = Command::new("sh");
        let output = command.args(["-e", "-c", DISK]).current_dir(&self.cache).output().context("sh")?;
        if !output.status.success() {
            eprintln!("no file system of its own, so measuring in the host's: {}", last_line(&output));
        }
        Ok(())
    }

    /// Returns a path in the directory.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Returns a command that runs in the directory, with an environment that has nothing of the caller's but the end
    /// of PATH.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut path = OsString::from(self.join("bin"));
        path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let mut command = Command::new(program);
        command
            .current_dir(&self.path)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.join("home"))
            .env("TMPDIR", self.join("tmp"))
            .env("LC_ALL", "C.UTF-8")
            .env("GANTRY_STAGE1", stage1())
            .env("CONTAINERS_CONF", self.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.join("storage.conf"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a line of shell and returns what it prints.
    pub(crate) fn shell(&self, line: &str) -> Result<String> {
        let output = self.output(line)?;
        if !output.status.success() {
            bail!("{line}: {}", last_line(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Returns why a line of shell fails here, if it does: the last line that it prints.
    pub(crate) fn failure(&self, line: &str) -> Result<Option<String>> {
        let output = self.output(line)?;
        Ok((!output.status.success()).then(|| last_line(&output)))
    }

    fn output(&self, line: &str) -> Result<Output> {
        self.command("sh").args(["-e", "-c", line]).output().with_context(|| format!("cannot run {line}"))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let left =
            [self.unmount(), remove(&self.path, &self.cache), remove_cgroups(Path::new("/sys/fs/cgroup"), 2)];
        if self.created && umount2(OPTIONAL, MntFlags::MNT_DETACH).is_ok() {
            // If another program has put something there meanwhile, it stays.
            let _ = fs::remove_dir(OPTIONAL);
        }
        for error in left.into_iter().filter_map(Result::err) {
            eprintln!("warning: something is left behind: {error:#}");
        }
    }
}

impl Work {
    /// Unmounts everything that is mounted below the directory, the innermost first.
    fn unmount(&self) -> Result<()> {
        let table = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
        // The fifth field is the mount point (proc_pid_mountinfo(5)).
        let mounts = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        for inner in mounts.filter(|mount| mount.starts_with(&self.path)).collect::<Vec<_>>().iter().rev() {
            umount2(*inner, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", inner.display()))?;
        }
        Ok(())
    }
}

/// Removes the cgroups called [`CGROUP`] in every hierarchy. Each is empty once its container has ended.
fn remove_cgroups(directory: &Path, depth: u32) -> Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if path.ends_with(CGROUP) {
            remove_tree_of_cgroups(&path)?;
        } else if depth > 0 {
            remove_cgroups(&path, depth - 1)?;
        }
    }
    Ok(())
}

fn remove_tree_of_cgroups(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree_of_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(path).with_context(|| format!("remove the cgroup {}", path.display()))
}

/// Removes the directory and the file system's file.
fn remove(path: &Path, cache: &Path) -> Result<()> {
    for removed in [fs::remove_dir_all(path), fs::remove_file(cache.join("disk"))] {
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove what is in {}", cache.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
    line.map_or_else(|| output.status.to_string(), pod::text::one_line)
}
