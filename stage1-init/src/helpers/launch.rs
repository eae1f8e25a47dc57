// SPDX-License-Identifier: Apache-2.0
//! Becomes one of an app's programs. systemd has already set its user, groups and limits; its stdin is the launch file,
//! which says what to start ([`crate::exchange::launch_file`]).
//!
//! The launcher has capabilities that the app may not have. It gives them up as soon as it is in the app's root, which
//! it enters in a mount namespace of the program's own ([`super::enter`]). Nothing of the pod's root is left there for
//! chroot(2) to lead back to.
//!
//! Invariant: a process that is still in the pod's root has `CAP_SYS_PTRACE`; a process that looks up anything of an
//! app's does not, unless the app may have it. So the links in /proc from one process to another's root, directory and
//! descriptors (ptrace(2), "Ptrace access mode checking") lead no process of an app's into the pod's root. In addition,
//! the lookup of the working directory and of the program follows no such links.
//!
//! The environment is exactly the launch file's: the app does not get the variables that systemd adds to a service. The
//! only descriptors it gets are stdio and its sockets.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::SYS_write;
use nix::unistd::{Gid, dup2_stdin, execve, fchdir, getpid, setgroups};
use pod::text::escape;
use rustix::thread::{
    CapabilitySet as KernelSet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::{enter, seccomp};
use crate::enter::stdio;
use crate::exchange::launch_file::{Launch, Sockets};
use crate::failure::report;
use crate::in_root::open_plainly;
use crate::sys;

/// The exit status of a shell that can't find a program (POSIX, Shell Command Language, 2.8.2).
const NOT_FOUND: u8 = 127;
/// The exit status of a shell that finds a program but can't run it (likewise).
const NOT_RUNNABLE: u8 = 126;
/// Above every number at which sockets are received or passed on.
const OUT_OF_THE_WAY: i32 = 512;

/// Becomes the app. On failure, reports why on its stderr and returns.
pub(crate) fn run() -> ExitCode {
    // Without the caller's stdio there is nowhere to report an error.
    let Ok((launch, sockets)) = receive() else { return ExitCode::from(NOT_RUNNABLE) };
    let done = launch.and_then(|launch| {
        let app = format!("app {}", launch.app);
        become_program(launch, sockets).context(app)
    });
    match done {
        Ok(never) => match never {},
        Err(error) => {
            report(&error);
            // The usual way out takes more system calls than a filter may allow.
            sys::exit_at_once(code(error.downcast_ref()))
        }
    }
}

fn code(error: Option<&Errno>) -> u8 {
    if error == Some(&Errno::ENOENT) { NOT_FOUND } else { NOT_RUNNABLE }
}

/// Reads what to start and receives the pod's sockets; stdio is the caller's from here on.
fn receive() -> Result<(Result<Launch>, Vec<OwnedFd>)> {
    let socket = sys::take_listen_fd()?;
    let mut launch = Vec::new();
    io::stdin().read_to_end(&mut launch)?;
    let launch: Result<Launch> = serde_json::from_slice(&launch).context("cannot read what to start");
    let sockets = stdio::receive(&socket)?;
    if matches!(&launch, Ok(Launch { handler: true, .. })) {
        dup2_stdin(File::open("/dev/null")?)?;
    }
    Ok((launch, sockets))
}

fn become_program(mut launch: Launch, sockets: Vec<OwnedFd>) -> Result<Infallible> {
    ensure!(!launch.exec.is_empty(), "nothing to start");
    if !launch.groups.is_empty() {
        // Not set by systemd, which takes quadratic time for them.
        let groups: Vec<_> = launch.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).context("cannot set its groups")?;
    }
    enter::root(&launch.root).context("cannot enter its root")?;
    if !launch.user_namespaces {
        // Done while the launcher has CAP_SYS_ADMIN: without it, a filter would require no-new-privileges.
        sys::set_filter(&mut seccomp::no_user_namespaces()).context("cannot refuse user namespaces")?;
    }
    give_up(&launch).context("cannot give up the launcher's capabilities")?;
    open_plainly(launch.directory.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY)
        .and_then(fchdir)
        .with_context(|| format!("cannot enter its working directory {}", escape(&launch.directory)))?;
    if let Some(own) = launch.sockets.take() {
        pass(&own, sockets, &mut launch).context("cannot pass its sockets on")?;
    }
    let programs = candidates(&launch);
    // A link such as /proc/self/exe leads to the pod's own program.
    let circle = programs.iter().any(|path| open_plainly(&**path, OFlag::O_PATH).err() == Some(Errno::ELOOP));
    ensure!(
        !circle,
        "cannot run {}: it leads through a link of /proc's, or in a circle",
        escape(&launch.exec[0])
    );
    let words = c_strings(launch.exec.iter().cloned())?;
    let environment = c_strings(launch.environment.iter().map(|(name, value)| format!("{name}={value}")))?;
    sys::default_signals();
    if let Some(filter) = &launch.seccomp {
        sys::set_filter(&mut seccomp::program(filter)).context("cannot filter its system calls")?;
    }
    let error = execute(&programs, &words, &environment);
    // If the filter does not allow write(2), reporting the error may end the process and lose the exit code too.
    if launch.seccomp.is_some_and(|filter| !filter.allows(SYS_write)) {
        sys::exit_at_once(code(Some(&error)));
    }
    Err(anyhow::Error::new(error).context(format!("cannot run {}", escape(&launch.exec[0]))))
}

/// Tries the programs in order, as execvp(3) does.
///
/// Continues after a program that does not exist or can't be run. If no program is left, returns the error of one that
/// can't be run, else `ENOENT`.
fn execute(programs: &[CString], words: &[CString], environment: &[CString]) -> Errno {
    let mut first_error = Errno::ENOENT;
    for program in programs {
        let Err(error) = execve(program, words, environment);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => first_error = error,
            other => return other,
        }
    }
    first_error
}

/// Passes the app's sockets on as sd_listen_fds(3) expects them, and closes the others.
fn pass(own: &Sockets, all: Vec<OwnedFd>, launch: &mut Launch) -> Result<()> {
    let range = own.first..own.first + own.names.len();
    let mine = all.get(range).context("there are too few")?;
    // They are moved first: the numbers they get may be in use by other sockets.
    let moved = mine.iter().map(|fd| {
        let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(OUT_OF_THE_WAY))?;
        Ok(number)
    });
    let moved = sys::own(&moved.collect::<nix::Result<Vec<_>>>()?);
    drop(all);
    sys::pass_as_listen_fds(&moved)?;
    launch.environment.extend([
        ("LISTEN_FDS".into(), own.names.len().to_string()),
        ("LISTEN_PID".into(), getpid().to_string()),
        ("LISTEN_FDNAMES".into(), own.names.join(":")),
    ]);
    Ok(())
}

/// Gives up the launcher's capabilities that the app may not have, for the launcher and the program.
///
/// Keeps `CAP_SYS_ADMIN` if a filter has to be set; exec takes it away.
fn give_up(launch: &Launch) -> Result<()> {
    let mut dropped = KernelSet::empty();
    for number in &launch.drop_capabilities {
        let one = KernelSet::from_bits_retain(1 << number);
        remove_capability_from_bounding_set(one)?;
        dropped |= one;
    }
    if launch.seccomp.is_some() {
        dropped -= KernelSet::SYS_ADMIN;
    }
    clear_ambient_capability_set()?;
    let CapabilitySets { effective, permitted, .. } = capabilities(None)?;
    let (effective, permitted) = (effective - dropped, permitted - dropped);
    Ok(set_capabilities(None, CapabilitySets { effective, permitted, inheritable: KernelSet::empty() })?)
}

/// Lists the paths to try: the program itself if it is a path, else its name in every directory of the app's PATH.
fn candidates(launch: &Launch) -> Vec<CString> {
    let program = launch.exec[0].as_str();
    let path = launch.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let all: Vec<_> = match program.contains('/') {
        true => vec![program.to_owned()],
        false => pod::exec::search(path, program).collect(),
    };
    all.into_iter().filter_map(|path| CString::new(path).ok()).collect()
}

fn c_strings(texts: impl Iterator<Item = String>) -> Result<Vec<CString>> {
    texts.map(|text| CString::new(text).context("a word with NUL")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_in_the_apps_path() {
        let launch = |program: &str| Launch {
            exec: vec![program.into()],
            environment: [("PATH".to_owned(), "/x::y:/z".to_owned())].into(),
            ..Launch::default()
        };
        assert_eq!(candidates(&launch("prog")), [c"/x/prog".to_owned(), c"/z/prog".to_owned()]);
        assert_eq!(candidates(&launch("/p q")), [c"/p q".to_owned()]);
    }
}
