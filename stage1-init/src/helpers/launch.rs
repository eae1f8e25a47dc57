// SPDX-License-Identifier: Apache-2.0
//! Becomes one of an app's programs. systemd has already set its limits; its stdin is the launch file, which says what to
//! start ([`crate::exchange::launch_file`]).
//!
//! The launcher starts as the pod's root, with capabilities that the app may not have. It enters the app's root, in a
//! mount namespace of the program's own ([`super::enter`]), then the app's user namespace; then it becomes the app's
//! user and gives its capabilities up ([`super::identity`]). Nothing of the pod's root is left in the mount namespace for
//! chroot(2) to lead back to.
//!
//! Invariant: a process that is still in the pod's root has `CAP_SYS_PTRACE`; a process that looks up anything of an
//! app's does not, unless the app may have it. So the links in /proc from one process to another's root, directory and
//! descriptors (ptrace(2), "Ptrace access mode checking") lead no process of an app's into the pod's root. In addition,
//! the lookup of the working directory and of the program follows no such links. The places of /proc, /sys and what is below
//! /dev are found before that, by a lookup that follows no link at all.
//!
//! The environment is exactly the launch file's: the app does not get the variables that systemd adds to a service. The
//! only descriptors it gets are stdio and its sockets.

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use libc::SYS_write;
use nix::errno::Errno;
// rustix has no execve.
use nix::unistd::execve;
use pod::manifest::Users;
use pod::name::PortName;
use pod::text::escape;
use rustix::fs::OFlags;
use rustix::process::{fchdir, getpid};
use rustix::stdio::dup2_stdin;
use sys::process::{default_signals, exit_at_once, set_filter};
use sys::{activation, open_without_magic, users};

use super::{OUT_OF_THE_WAY, enter, identity, notify, terminal};
use crate::exchange::launch_file::{Launch, Sockets};
use crate::exchange::timing::Marks;
use crate::exchange::{log_pipes, stdio_message};
use crate::failure::report;

/// The exit status of a shell that can't find a program (POSIX, Shell Command Language, 2.8.2).
const NOT_FOUND: u8 = 127;
/// The exit status of a shell that finds a program but can't run it (likewise).
const NOT_RUNNABLE: u8 = 126;
/// More than the longest message about a program that can't be run.
const MESSAGE_MAX: usize = 8 << 10;

/// The reason why a launcher could not become its program, with the exit status that a shell would have.
#[derive(Debug)]
struct Failed {
    status: u8,
    why: anyhow::Error,
}

impl Failed {
    /// The program or its working directory does not exist.
    fn not_found(why: impl Into<anyhow::Error>) -> Self {
        Self { status: NOT_FOUND, why: why.into() }
    }

    fn context(self, context: String) -> Self {
        Self { why: self.why.context(context), ..self }
    }
}

/// Anything else that fails keeps the program from being run.
impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(why: E) -> Self {
        Self { status: NOT_RUNNABLE, why: why.into() }
    }
}

/// Becomes the app. On failure, reports why on its stderr and returns.
pub(crate) fn run() -> ExitCode {
    // Without the caller's stdio there is nowhere to report an error.
    let Ok((launch, sockets)) = receive() else { return ExitCode::from(NOT_RUNNABLE) };
    match notify::Systemd::find() {
        Ok(systemd) => become_or_report(launch, sockets, systemd.as_ref()),
        Err(error) => become_or_report(Err(error), sockets, None),
    }
}

/// Becomes a program beside the app, with the app's rights and with the stdio that this process has.
///
/// `gantry enter` runs it in the pod's root. What to start comes as the first descriptor after stdio, and the socket for
/// its terminal, if it gets one, as the second.
pub(crate) fn enter() -> ExitCode {
    let read = || -> Result<Launch> {
        let mut launch = Vec::new();
        File::from(activation::take(0)?).read_to_end(&mut launch)?;
        Ok(serde_json::from_slice(&launch)?)
    };
    let launch = read().context("cannot read what to start").and_then(|launch| {
        if launch.terminal.is_some() {
            terminal::take(&launch, &[activation::take(1)?])?;
        }
        // It is no part of the pod's start.
        Ok(Launch { timing: None, ..launch })
    });
    become_or_report(launch, Vec::new(), None)
}

fn become_or_report(
    launch: Result<Launch>,
    sockets: Vec<OwnedFd>,
    systemd: Option<&notify::Systemd>,
) -> ExitCode {
    let done = launch.map_err(Failed::from).and_then(|launch| {
        let app = format!("app {}", launch.app);
        become_program(&launch, sockets, systemd).map_err(|failed| failed.context(app))
    });
    match done {
        Ok(never) => match never {},
        Err(Failed { status, why }) => {
            report(&why);
            // The usual way out takes more system calls than a filter may allow.
            exit_at_once(status)
        }
    }
}

/// Reads what to start and receives the pod's sockets; stdio is the caller's from here on.
fn receive() -> Result<(Result<Launch>, Vec<OwnedFd>)> {
    let socket = activation::take(0)?;
    let mut launch = Vec::new();
    io::stdin().read_to_end(&mut launch)?;
    let launch: Result<Launch> = serde_json::from_slice(&launch).context("cannot read what to start");
    let sockets = stdio_message::receive(&socket)?;
    launch.as_ref().map_or(Ok(()), |launch| log_pipes::hand_over(&launch.app))?;
    let launch = launch.and_then(|launch| terminal::take(&launch, &sockets).map(|()| launch));
    if matches!(&launch, Ok(Launch { handler: true, .. })) {
        dup2_stdin(File::open("/dev/null")?)?;
    }
    Ok((launch, sockets))
}

fn become_program(
    launch: &Launch,
    sockets: Vec<OwnedFd>,
    systemd: Option<&notify::Systemd>,
) -> Result<Infallible, Failed> {
    let program = escape(launch.exec.program());
    let timing = launch.timing.as_deref().unwrap_or_default();
    let marks = Marks::of_pod(!timing.is_empty(), OUT_OF_THE_WAY);
    marks.add_of(timing, ": the launcher has its launch file");
    // Opened while the launcher is in the pod's root.
    let namespace = identity::namespace(launch).context("cannot find its user namespace")?;
    enter::root(launch.root.as_str(), launch.notifies).context("cannot enter its root")?;
    if let Some(namespace) = namespace {
        users::enter(namespace).context("cannot enter its user namespace")?;
    }
    // Done while the launcher has CAP_SYS_ADMIN: without it, a filter would require no-new-privileges.
    let capabilities = launch.capabilities.bits();
    let mut filter = match (&launch.seccomp, launch.users) {
        (None, _) => Some(filter::default(capabilities)),
        (Some(_), Users::Host) => Some(filter::floor(capabilities)),
        (Some(_), Users::Own | Users::Shared) => None,
    };
    filter.as_mut().map_or(Ok(()), |filter| set_filter(filter)).context("cannot filter its system calls")?;
    // Closes the sockets of other apps: an app with the pod's users may look into a launcher of another such app.
    let passed = match &launch.sockets {
        Some(own) => pass(own, sockets).context("cannot pass its sockets on")?,
        None => {
            drop(sockets);
            Vec::new()
        }
    };
    identity::take_on(launch)?;
    if launch.terminal.is_some() {
        terminal::open_by_own_name();
    }
    enter_directory(launch)?;
    let programs = candidates(launch);
    // A link such as /proc/self/exe leads to the pod's own program.
    let is_circle = |path: &CString| {
        let opened = open_without_magic(OsStr::from_bytes(path.as_bytes()), OFlags::PATH);
        opened.is_err_and(|error| error.errno == rustix::io::Errno::LOOP)
    };
    if programs.iter().any(is_circle) {
        return Err(
            anyhow!("cannot run {program}: it leads through a link of /proc's, or in a circle").into()
        );
    }
    let words = c_strings(launch.exec.words().iter().map(|word| word.as_str().to_owned()));
    let own = launch.environment.iter().map(|(name, value)| format!("{name}={}", value.as_str()));
    let environment = c_strings(own.chain(passed));
    // A filter may allow neither to allocate nor to free memory, so there is room for the message before it is set, and
    // nothing is dropped after it.
    let mut message = Vec::with_capacity(MESSAGE_MAX);
    let mut filter =
        launch.seccomp.as_ref().filter(|own| own.filters()).map(|own| filter::of_list(&own.list()));
    default_signals();
    // An app that says itself when it is up does so later.
    if let Some(systemd) = systemd.filter(|_| !launch.notifies) {
        systemd.tell_start();
    }
    marks.add_of(timing, ": the launcher becomes the program");
    if let Some(filter) = &mut filter {
        set_filter(filter).context("cannot filter its system calls")?;
    }
    let error = execute(&programs, &words, &environment);
    let status = if error == Errno::ENOENT { NOT_FOUND } else { NOT_RUNNABLE };
    // Without write(2), reporting the error may end the process and lose the exit code too.
    if launch.seccomp.as_ref().is_none_or(|filter| filter.allows(SYS_write)) {
        let _ = writeln!(message, "error: app {}: cannot run {program}: {error}", launch.app);
        let _ = io::stderr().write_all(&message);
    }
    exit_at_once(status)
}

/// Enters the program's working directory.
fn enter_directory(launch: &Launch) -> Result<(), Failed> {
    let path = launch.directory.as_str();
    let cannot = || format!("cannot enter its working directory {}", escape(path));
    match open_without_magic(path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.errno == rustix::io::Errno::NOENT => {
            Err(Failed::not_found(anyhow::Error::new(error).context(cannot())))
        }
        opened => Ok(fchdir(opened.with_context(cannot)?).with_context(cannot)?),
    }
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

/// Passes the app's sockets on as sd_listen_fds(3) expects them, and closes the others. Returns the variables that name
/// them.
fn pass(own: &Sockets, all: Vec<OwnedFd>) -> Result<Vec<String>> {
    let count = own.names.len();
    activation::pass(all, own.first..own.first + count, OUT_OF_THE_WAY)?;
    let names: Vec<_> = own.names.iter().map(PortName::as_str).collect();
    Ok(vec![
        format!("LISTEN_FDS={count}"),
        format!("LISTEN_PID={}", getpid().as_raw_nonzero()),
        format!("LISTEN_FDNAMES={}", names.join(":")),
    ])
}

/// Lists the paths to try: the program itself if it is a path, else its name in every directory of the app's PATH.
fn candidates(launch: &Launch) -> Vec<CString> {
    let program = launch.exec.program();
    let path = launch.environment.iter().find(|(name, _)| name.as_str() == "PATH");
    let path = path.map(|(_, value)| value.as_str()).unwrap_or_default();
    let all: Vec<_> = match program.contains('/') {
        true => vec![program.to_owned()],
        false => pod::exec::search(path, program).collect(),
    };
    c_strings(all.into_iter())
}

fn c_strings(texts: impl Iterator<Item = String>) -> Vec<CString> {
    texts.map(|text| CString::new(text).expect("words and names have no NUL")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_in_the_apps_path() {
        let launch = |program: &str| -> Launch {
            let environment = serde_json::json!({"PATH": "/x::y:/z"});
            serde_json::from_value(serde_json::json!({
                "app": "a", "root": "/r", "exec": [program], "directory": "/", "environment": environment,
                "users": "shared", "user": 0, "group": 0,
            }))
            .unwrap()
        };
        assert_eq!(candidates(&launch("prog")), [c"/x/prog".to_owned(), c"/z/prog".to_owned()]);
        assert_eq!(candidates(&launch("/p q")), [c"/p q".to_owned()]);
    }
}
