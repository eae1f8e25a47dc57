// SPDX-License-Identifier: Apache-2.0
//! Turns this process into a pod: from here on, it is stage1's `/init`.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::AtFlags;
use nix::unistd::execveat;
use pod::id::PodId;
use pod::layout;
use pod::text::escape;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::process::{fchdir, geteuid};

use store::{About as _, check_guarded, guarded};

use crate::exit::Exit;
use crate::network_attendant;
use crate::remover;

/// What a service manager says to the process that it starts: where to tell that it is up (sd_notify(3)), and the sockets
/// that it has for it (sd_listen_fds(3)). The process is still the same when it is `/init`.
const OF_MANAGER: [&str; 4] = ["NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// How `/init` is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct InitOptions {
    /// Whether it shows what nspawn and systemd say.
    pub(crate) debug: bool,
    /// The app that gets a terminal. Its other side goes to the socket that is stdin.
    pub(crate) terminal: Option<String>,
}

/// Returns the pod directory that a command line names: either a pod's id below `dir`, or a path.
pub(crate) fn find(pod: &Path, dir: &Path) -> PathBuf {
    match pod.to_str().map(str::parse::<PodId>) {
        Some(Ok(id)) => dir.join(layout::CONTAINERS).join(id.to_string()),
        _ => pod.to_owned(),
    }
}

/// Executes the pod's `/init` with the caller's stdio. The whole environment is TERM and what a service manager says.
///
/// The directory and the program are opened once and used through their descriptors, so the program that is executed is
/// the one that was checked.
///
/// # Errors
/// Fails if the program can't be executed, or if another user than root could have changed it. Returns in no other
/// case.
pub(crate) fn exec(pod: &Path, options: &InitOptions) -> Result<Infallible> {
    let shown = escape(&pod.to_string_lossy());
    let init = enter(pod).with_context(|| format!("cannot enter pod directory {shown}"))?;
    let program = || format!("{}/{} of pod directory {shown}", layout::STAGE1, layout::INIT);
    check_program(&init).with_context(program)?;
    // `/init` reports what is wrong with a manifest.
    if let Ok(network) = pods::network_of(CWD) {
        network_attendant::start(&network).with_context(|| format!("pod directory {shown}"))?;
    }
    if statat(CWD, layout::REMOVED_AT_END, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        remover::start(&std::env::current_dir()?)?;
    }
    let mut words = vec![CString::new(format!("./{}/{}", layout::STAGE1, layout::INIT))?];
    words.extend(options.debug.then(|| c"debug".to_owned()));
    if let Some(app) = &options.terminal {
        words.push(CString::new(format!("--terminal={app}"))?);
    }
    words.push(CString::new(format!("--failure-code={}", Exit::NoPod.code()))?);
    let mut environment = Vec::new();
    if let Some(term) = std::env::var_os("TERM") {
        environment.push(CString::new([b"TERM=", term.as_bytes()].concat())?);
    }
    for name in OF_MANAGER {
        if let Some(value) = std::env::var_os(name) {
            environment.push(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
    }
    execveat(&init, c"", &words, &environment, AtFlags::AT_EMPTY_PATH)
        .with_context(|| format!("cannot execute {}", program()))
}

/// Opens the `/init` of a pod, once it was found to be root's alone.
///
/// # Errors
/// As [`exec`].
pub(crate) fn program(pod: &Path) -> Result<OwnedFd> {
    let shown = escape(&pod.to_string_lossy());
    let init = enter(pod).with_context(|| format!("cannot enter pod directory {shown}"))?;
    check_program(&init).with_context(|| format!("{}/{} of pod {shown}", layout::STAGE1, layout::INIT))?;
    Ok(init)
}

/// Makes the pod directory the current one, and opens its program.
fn enter(pod: &Path) -> Result<OwnedFd> {
    let directory = guarded::open(&std::path::absolute(pod)?).map_err(report::told)?;
    check_guarded(&directory)?;
    let by_name = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |parent: &OwnedFd, name: &str, flags| {
        openat(parent, name, by_name | flags, Mode::empty()).with_context(|| format!("cannot open {name}"))
    };
    let stage1 = open(&directory, layout::STAGE1, OFlags::DIRECTORY)?;
    check_guarded(&stage1).about(|| layout::STAGE1)?;
    let init = open(&stage1, layout::INIT, OFlags::empty())?;
    fchdir(&directory)?;
    Ok(init)
}

/// Checks that a program belongs to root and that only root can write to it.
fn check_program(program: &OwnedFd) -> Result<()> {
    let stat = fstat(program)?;
    let (owner, mode) = (stat.st_uid, stat.st_mode & 0o7777);
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    ensure!(is_file, "it is no regular file: expected a program");
    ensure!(
        owner == geteuid().as_raw() && mode & 0o022 == 0,
        "others can write to it: owner {owner}, mode {mode:04o}; expected a program that belongs to root and that nobody else can write to"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_below_dir_and_anything_else_is_a_path() {
        let dir = Path::new("/d");
        let id = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
        assert_eq!(find(Path::new(id), dir), Path::new("/d/containers").join(id));
        let path = format!("./{id}");
        assert_eq!(find(Path::new(&path), dir), Path::new(&path));
        assert_eq!(find(Path::new("pod"), dir), Path::new("pod"));
    }
}
