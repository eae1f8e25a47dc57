// SPDX-License-Identifier: Apache-2.0
//! `/init`: the steps from a pod directory to a running pod.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use pod::exec::Word;
use pod::id::PodId;
use pod::layout;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{geteuid, getpid, umask};
use sys::descriptors::close_others;
use sys::{InRoot, guarded};

use crate::apply;
use crate::args::{self, Args};
use crate::enter::cgroup::Cgroup;
use crate::enter::sockets::{self, Given};
use crate::enter::{private_root, rlimits, stdio};
use crate::exchange::metadata_file::KEY;
use crate::exchange::outcome::OURS;
use crate::exchange::ready::{Asked, Ends};
use crate::exchange::service;
use crate::exchange::timing::Timing;
use crate::failure::{At, Failure, Step, report, warn};
use crate::load::host::{self, Controllers, Host};
use crate::load::ids::{self, Ids, Locks};
use crate::load::metadata::{self, Access};
use crate::load::store::Store;
use crate::load::zone::{self, Zone};
use crate::load::{self, Loaded, lock, network};
use crate::names::UP;
use crate::plan::{self, Manager, Options, Plan, Terminal, dry_run};
use crate::run::history::History;
use crate::run::limits::Wanted;
use crate::run::notify::Notify;
use crate::run::reaper::Held;
use crate::run::requests::Requests;
use crate::run::supervisor::{Question, Started};
use crate::run::{limits, nspawn, reaper, supervisor};

/// Runs the pod in the current directory.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let args = match args::parse(words) {
        Ok(Args { options, help, dry_run }) => {
            let kind = std::env::var("TERM").ok().and_then(|kind| Word::try_from(kind).ok());
            let terminal = options.terminal.map(|terminal| Terminal { kind, ..terminal });
            let manager =
                if std::env::var_os(service::VARIABLE).is_some() { Manager::Waits } else { Manager::None };
            Args { options: Options { terminal, manager, ..options }, help, dry_run }
        }
        Err(error) => {
            report(&error);
            return ExitCode::from(Step::Load as u8);
        }
    };
    let done = match &args {
        Args { help: true, .. } => print(args::HELP).at(Step::Load).map(|()| 0),
        Args { dry_run: true, .. } => show(&args.options).map(|()| 0),
        args => timed(&args.options),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Failure { step, error }) => {
            report(&error);
            ExitCode::from(args.options.failure_code.unwrap_or(step as u8))
        }
    }
}

/// Prints the plan, and does none of it.
fn show(options: &Options) -> Result<(), Failure> {
    let (directory, id) = pod_directory().at(Step::Load)?;
    let loaded = load::load(&directory, id).at(Step::Load)?;
    check_terminal(&loaded, options).at(Step::Load)?;
    let cgroup = Cgroup::below_own(id).at(Step::Namespace)?;
    let has_own = !loaded.pod.has_hosts_users;
    let ids = has_own.then(|| ids::first_choice(id, loaded.pod.apps.len())).transpose().at(Step::Load)?;
    let network = network::preview(&loaded.pod).at(Step::Namespace)?;
    let available = cgroup.available().at(Step::Load)?;
    let metadata = metadata::preview(&loaded);
    let host = host::look(available, hosts_zone().at(Step::Units)?, ids, network, metadata).at(Step::Load)?;
    print(&dry_run::text(&plan::plan(&loaded, &host, options))).at(Step::Load)
}

/// Runs the pod and returns its exit code. Prints when each step was done, if that is wanted.
fn timed(options: &Options) -> Result<u8, Failure> {
    let timing = Timing::begin(options.timing);
    let done = start(options, &timing);
    timing.mark("/init has ended");
    if let Some(table) = timing.table() {
        let _ = io::stderr().write_all(table.as_bytes());
    }
    done
}

/// Runs the pod and returns its exit code.
fn start(options: &Options, timing: &Timing) -> Result<u8, Failure> {
    let requests = Requests::hold().at(Step::Load)?;
    // When a program is executed by descriptor, older kernels name the process after the descriptor's number.
    rustix::thread::set_name(c"init").at(Step::Load)?;
    umask(Mode::from_raw_mode(0o022));
    rlimits::set().at(Step::Load)?;
    // The sockets first: whatever is opened before could have one of their numbers, if the caller has passed fewer than it says.
    let sockets = Given::take();
    let caller = Caller { requests, sockets, manager: Notify::of_caller().at(Step::Load)?, timing };
    // Other descriptors that the caller left open are not for the pod.
    close_others(|number| caller.has(number))
        .context("cannot close what the caller left open")
        .at(Step::Load)?;
    stdio::check().at(Step::Load)?;
    let (directory, id) = pod_directory().at(Step::Load)?;
    // Never dropped: that would unlock the directory for the reaper too, which shares this lock.
    let lock = ManuallyDrop::new(lock::take(directory, id).at(Step::Namespace)?);
    let loaded = load::load(&*lock, id).at(Step::Load)?;
    check_terminal(&loaded, options).at(Step::Load)?;
    timing.mark("the pod is locked and its manifests are loaded");
    let cgroup = Cgroup::below_own(id).at(Step::Namespace)?;
    let controllers = cgroup.delegate(Controllers::wanted_by(&loaded.pod)).at(Step::Load)?;
    let (ids, id_locks) = match loaded.pod.has_hosts_users {
        true => (None, Locks::default()),
        false => {
            let (ids, locks) = ids::take(id, loaded.pod.apps.len()).at(Step::Namespace)?;
            (Some(ids), locks)
        }
    };
    let (metadata, listener) = metadata::take(&loaded).at(Step::Namespace)?;
    let conventional = metadata.as_ref().and_then(Access::conventional);
    let (network, of_network) =
        network::take(&loaded.pod, ids.map_or(0, Ids::first), conventional).at(Step::Namespace)?;
    let zone = hosts_zone().at(Step::Units)?;
    let host = host::look(controllers, zone, ids, network, metadata).at(Step::Load)?;

    timing.mark("the pod has its ids and its network, and the host is looked at");
    let history = History::begin(&*lock).context("cannot write the pod's history").at(Step::Units)?;
    let taken = Resources { cgroup, ids: id_locks, network: of_network, listener };
    let done = boot(&lock, &loaded, taken, &host, &caller, &history, options);
    history.end(&done);
    caller.manager.tell_end(match &done {
        Ok(code) => *code,
        Err(Failure { step, .. }) => options.failure_code.unwrap_or(*step as u8),
    });
    done
}

/// The caller's wishes and descriptors, beside stdio.
struct Caller<'a> {
    requests: Requests,
    /// How to tell it that the pod is up.
    manager: Notify,
    sockets: Given,
    /// The record of when each step was done.
    timing: &'a Timing,
}

impl Caller<'_> {
    /// Tells whether a descriptor is one of these.
    fn has(&self, number: RawFd) -> bool {
        self.manager.descriptor().into_iter().chain(self.sockets.descriptors()).any(|own| own == number)
    }
}

/// Checks that the app that gets a terminal is one of the pod's.
fn check_terminal(loaded: &Loaded, options: &Options) -> Result<()> {
    let Some(Terminal { app, .. }) = &options.terminal else { return Ok(()) };
    ensure!(
        loaded.pod.apps.iter().any(|one| one.name == *app),
        "the pod has no app {app} to give a terminal to"
    );
    Ok(())
}

/// The resources of the host that are taken for this pod alone.
struct Resources {
    cgroup: Cgroup,
    ids: Locks,
    network: network::Reservation,
    /// The socket at which the metadata service listens, if that is on the host.
    listener: Option<OwnedFd>,
}

/// Writes what the pod is started with, runs it, and returns its exit code.
fn boot(
    lock: &OwnedFd,
    loaded: &Loaded,
    taken: Resources,
    host: &Host,
    caller: &Caller<'_>,
    history: &History,
    options: &Options,
) -> Result<u8, Failure> {
    let stage1 = InRoot::below(lock, layout::STAGE1).context("cannot open stage1").at(Step::Units)?;
    let plan = plan::plan(loaded, host, options);
    plan.warnings.iter().for_each(|warning| warn(warning));
    caller.timing.mark("the pod is planned");
    apply::apply(&plan, &stage1).at(Step::Units)?;
    drop(stage1);
    caller.timing.mark("stage1's files are written");

    let (mounts, processes) = (taken.cgroup.callers_mounts(), taken.cgroup.callers_processes());
    limits::check(Wanted { apps: loaded.pod.apps.len(), mounts, processes }).at(Step::Namespace)?;
    let Resources { cgroup, ids, network, listener } = taken;
    let cgroup = cgroup.make(&plan.limits).at(Step::Namespace)?;
    let held = Held { ids: &ids, network: &network };
    let _alive = reaper::start(cgroup.cgroup(), lock, &loaded.store, &held, history).at(Step::Namespace)?;
    let cgroup = cgroup.reaped();
    caller.timing.mark("the pod's cgroup is made and the reaper is started");
    // If this process is the first of a process namespace, the reaper ends with it. Then this process gives the ids back,
    // at the end of this function.
    let is_first = getpid().is_init();
    if !is_first {
        ids.leave();
    }
    let done = enter(&plan, &loaded.store, &cgroup, (network, listener), caller, options);
    if is_first {
        let _ = cgroup.remove();
    }
    done
}

/// Makes what is outside the pod directory, and runs the pod.
fn enter(
    plan: &Plan,
    store: &Store,
    cgroup: &Cgroup,
    (network, listener): (network::Reservation, Option<OwnedFd>),
    caller: &Caller<'_>,
    options: &Options,
) -> Result<u8, Failure> {
    let mut sockets = sockets::open(&plan.sockets, &caller.sockets).at(Step::Namespace)?;
    if plan.terminal.is_some() {
        sockets.push(stdio::of_terminal().at(Step::Namespace)?);
    }
    let stdio = stdio::take(plan.stdin, plan.ids.is_some(), plan.terminal_user).at(Step::Namespace)?;
    let bare = private_root::enter(plan, store, cgroup.hierarchy()).at(Step::Namespace)?;
    let root = plan.ids.map_or(0, Ids::first);
    caller.timing.share(root).context("cannot make the file of times").at(Step::Namespace)?;
    caller.timing.mark("the private root is made and entered");
    if plan.has_metadata {
        let mut key = [0; KEY];
        metadata::fill(&mut key).at(Step::Namespace)?;
        OURS.keep_key(&key, root).context("cannot keep the pod's key").at(Step::Namespace)?;
    }
    let ends = if options.debug { Ends::WithNspawn } else { Ends::Recorded };
    let asked = Asked::listen(root, ends).at(Step::Namespace)?;
    let question = Question { asked, cgroup, prepared: Some((bare, network)) };
    let offer = stdio.offer(&sockets).at(Step::Namespace)?;
    drop(sockets);

    let command = nspawn::command(&plan.nspawn).at(Step::Arguments)?;
    let up = (plan.manager == Manager::Waits).then(|| service::listen(UP)).transpose().at(Step::Namespace)?;
    let (oom_score_least, timing) = (plan.oom_score_least, caller.timing);
    let started = Started { command, root, oom_score_least, offer, listener, question, up, timing };
    supervisor::run(started, stdio, &caller.requests, &caller.manager, cgroup, options.debug)
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
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, ".", flags, Mode::empty()).context("cannot open the pod directory")?;
    guarded::check(&directory).context("the pod directory")?;
    let stage1 = InRoot::below(&directory, layout::STAGE1).context("cannot open stage1")?;
    guarded::check(&stage1).context("stage1")?;
    Ok((directory, id))
}

/// Reads the host's time zone.
fn hosts_zone() -> Result<Option<Zone>> {
    let root = File::open("/").context("cannot open /")?;
    zone::read(root).context("cannot mirror the host's localtime")
}

/// Writes text to stdout; fails unless all of it is written.
fn print(text: &str) -> Result<()> {
    // Bypasses the buffer of Rust's runtime, which ignores an unwritable stdout as if it were closed.
    let write = || File::from(io::stdout().as_fd().try_clone_to_owned()?).write_all(text.as_bytes());
    write().context("cannot write to stdout")
}
