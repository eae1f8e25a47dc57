// SPDX-License-Identifier: Apache-2.0
//! `/init`: the steps from a pod directory to a running pod.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{geteuid, getpid};
use pod::id::PodId;
use pod::layout;

use crate::apply;
use crate::apply::localtime;
use crate::args::{self, Args};
use crate::enter::cgroup::Cgroup;
use crate::enter::private_root;
use crate::enter::rlimits;
use crate::enter::sockets;
use crate::enter::stdio;
use crate::failure::{At, Failure, Step, report, warn};
use crate::in_root::{InRoot, check_guarded};
use crate::load::host::{self, Host};
use crate::load::lock;
use crate::load::store::Store;
use crate::load::{self, Loaded};
use crate::plan;
use crate::plan::Plan;
use crate::plan::dry_run;
use crate::run::history::History;
use crate::run::inotify;
use crate::run::nspawn;
use crate::run::reaper;
use crate::run::supervisor;
use crate::run::supervisor::Requests;

/// Runs the pod in the current directory.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let args = match args::parse(words) {
        Ok(args) => args,
        Err(error) => {
            report(&error);
            return ExitCode::from(Step::Load as u8);
        }
    };
    let done = match &args {
        Args { help: true, .. } => dry_run::print(args::HELP).at(Step::Load).map(|()| 0),
        Args { dry_run: true, .. } => show().map(|()| 0),
        args => start(args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Failure { step, error }) => {
            report(&error);
            ExitCode::from(args.failure_code.unwrap_or(step as u8))
        }
    }
}

/// Prints the plan, and does none of it.
fn show() -> Result<(), Failure> {
    let (directory, id) = pod_directory().at(Step::Load)?;
    let loaded = load::load(&directory, id).at(Step::Load)?;
    let cgroup = Cgroup::below_own(id).at(Step::Namespace)?;
    let host = host::look(&loaded.pod, &cgroup, false).at(Step::Load)?;
    dry_run::print(&dry_run::text(&plan::plan(&loaded, &host, false))).at(Step::Load)
}

/// Runs the pod and returns its exit code.
fn start(args: &Args) -> Result<u8, Failure> {
    let requests = Requests::hold().at(Step::Load)?;
    // When a program is executed by descriptor, older kernels name the process after the descriptor's number.
    rustix::thread::set_name(c"init").at(Step::Load)?;
    umask(Mode::from_bits_truncate(0o022));
    rlimits::set().at(Step::Load)?;
    // Descriptors that the caller left open are not for the pod.
    reaper::close_others(&[]).at(Step::Load)?;
    stdio::check().at(Step::Load)?;
    let (directory, id) = pod_directory().at(Step::Load)?;
    // Never dropped: that would unlock the directory for the reaper too, which shares this lock.
    let lock = ManuallyDrop::new(lock::take(directory, id).at(Step::Namespace)?);
    let loaded = load::load(&**lock, id).at(Step::Load)?;
    let mut cgroup = Cgroup::below_own(id).at(Step::Namespace)?;
    let host = host::look(&loaded.pod, &cgroup, true).at(Step::Load)?;

    let history = History::begin(&**lock).context("cannot write the pod's history").at(Step::Units)?;
    let done = boot(args, &lock, &loaded, &mut cgroup, &host, &requests, &history);
    history.end(&done);
    done
}

/// Writes what the pod is started with, runs it, and returns its exit code.
fn boot(
    args: &Args,
    lock: &OwnedFd,
    loaded: &Loaded,
    cgroup: &mut Cgroup,
    host: &Host,
    requests: &Requests,
    history: &History,
) -> Result<u8, Failure> {
    let stage1 = InRoot::open_at(lock, layout::STAGE1).context("cannot open stage1").at(Step::Units)?;
    localtime::mirror(&stage1).context("cannot mirror the host's localtime").at(Step::Units)?;
    let plan = plan::plan(loaded, host, args.debug);
    plan.warnings.iter().for_each(|warning| warn(warning));
    apply::apply(&plan, &stage1).at(Step::Units)?;
    drop(stage1);

    inotify::check().at(Step::Namespace)?;
    cgroup.make(&plan.limits).at(Step::Namespace)?;
    let reaped = reaper::start(cgroup, lock, &loaded.store, history).at(Step::Namespace);
    if reaped.is_err() {
        let _ = cgroup.remove();
    }
    reaped?;
    let done = enter(&plan, &loaded.store, cgroup, requests, args.debug);
    // If this process is the first of a process namespace, the reaper ends with it.
    if getpid().as_raw() == 1 {
        let _ = cgroup.remove();
    }
    done
}

/// Makes what is outside the pod directory, and runs the pod.
fn enter(
    plan: &Plan,
    store: &Store,
    cgroup: &Cgroup,
    requests: &Requests,
    debug: bool,
) -> Result<u8, Failure> {
    let sockets = sockets::open(&plan.sockets).at(Step::Namespace)?;
    let stdio = stdio::take(plan.stdin).at(Step::Namespace)?;
    private_root::enter(plan, store).at(Step::Namespace)?;
    let offer = stdio.offer(&sockets).at(Step::Namespace)?;
    drop(sockets);

    let command = nspawn::command(&plan.nspawn).at(Step::Arguments)?;
    supervisor::run(&command, stdio, offer, requests, cgroup, debug)
}

/// Opens the current directory, and returns it with the pod id that is its name.
///
/// Write access to this directory decides what the manifest says and what is executed, so only root may have it. The
/// directories above don't matter to a process that has been started from this one.
fn pod_directory() -> Result<(OwnedFd, PodId)> {
    ensure!(geteuid().is_root(), "not root: expected to be run as root, to make a pod's namespaces");
    let path = std::env::current_dir().context("cannot tell the current directory")?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let id = name.parse().with_context(|| {
        format!(
            "not in a pod directory: expected to be called as ./stage1/init in one, but {} is none",
            pod::text::escape(&path.to_string_lossy())
        )
    })?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(".", flags, Mode::empty()).context("cannot open the pod directory")?;
    check_guarded(&directory).context("the pod directory")?;
    let stage1 = InRoot::open_at(&directory, layout::STAGE1).context("cannot open stage1")?;
    check_guarded(&stage1).context("stage1")?;
    Ok((directory, id))
}
