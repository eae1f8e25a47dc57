// SPDX-License-Identifier: Apache-2.0
//! The way into a running pod: what a process needs to become a program beside an app.
//!
//! Nothing here decides what that program may do. The app's launch file does, which `/init` has written for the app
//! itself: `/init`'s helper `enter` reads it in the pod and becomes the program as the launcher becomes the app, with the
//! same root, environment, user, capabilities, filter and no-new-privileges (`stage1-init/src/helpers/launch.rs`).

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result, anyhow};
use pod::layout;
use pod::name::AppName;
use pod::text::escape;
use report::Hint as _;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use serde_json::{Value, json};

use crate::app::{begun, systemd};
use crate::cgroup::Cgroup;
use crate::directory::Pod;
use crate::process::Process;
use crate::state::look;
use crate::stop::not_running;

/// The maximum length of a launch file: what the kernel passes to a program, and as much again.
const LAUNCH_MAX: u64 = 16 << 20;
/// The namespaces of a pod, with their names in /proc. The process namespace is entered by a fork.
const NAMESPACES: [(ThreadNameSpaceType, &str); 6] = [
    (ThreadNameSpaceType::USER, "user"),
    (ThreadNameSpaceType::MOUNT, "mnt"),
    (ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION, "ipc"),
    (ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME, "uts"),
    (ThreadNameSpaceType::NETWORK, "net"),
    (ThreadNameSpaceType::CONTROL_GROUP, "cgroup"),
];

/// Whether a program gets a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It has the stdio that it is given.
    None,
    /// It gets one of this kind (TERM), unless the app's environment says otherwise. The other side goes to the socket that
    /// is passed after the launch file.
    Of(Option<String>),
}

/// A way into a running pod.
#[derive(Debug)]
pub struct Entrance {
    systemd: Process,
    app: Process,
    cgroup: sys::cgroups::Cgroup,
    /// The launch file of the program.
    pub launch: OwnedFd,
    /// Whether programs of the app's can't gain privileges.
    pub no_new_privileges: bool,
    limits: Vec<(Resource, Rlimit)>,
}

impl Entrance {
    /// Finds the way to an app, for a program in its place. Without `app`, the pod's only app is meant.
    ///
    /// # Errors
    /// If the pod or the app does not run, or several apps could be meant.
    pub fn open(pod: &Pod, app: Option<&str>, program: &[String], terminal: Terminal) -> Result<Self> {
        let app = app_called(pod, app)?;
        let seen = look(pod)?;
        let process = seen.process.ok_or_else(|| not_running(pod, seen.state))?;
        let ended = || anyhow!("app {app} of pod {} does not run", pod.id());
        let cgroup = Cgroup::of(pod.id(), &process)?.with_context(ended)?;
        let systemd = systemd(&cgroup)?.with_context(ended)?;
        let (first, unit) = begun(&cgroup, &app)?.with_context(ended)?;
        let status = fs::read_to_string(format!("/proc/{}/status", first.id()))?;
        let no_new_privileges = status.lines().any(|line| line == "NoNewPrivs:\t1");
        let limits = limits(&fs::read_to_string(format!("/proc/{}/limits", first.id()))?);
        let launch =
            launch(pod, &app, program, terminal).with_context(|| format!("app {app} of pod {}", pod.id()))?;
        Ok(Self { systemd, app: first, cgroup: cgroup.below(&unit)?, launch, no_new_privileges, limits })
    }

    /// Moves the children that this process will have into the pod's process namespace.
    ///
    /// # Errors
    /// If the pod has ended.
    pub fn enter_processes(&self) -> Result<()> {
        self.join(ThreadNameSpaceType::PROCESS_ID).context("cannot enter the pod's process namespace")
    }

    /// Moves this process into the app's cgroup and the pod's other namespaces. It must have one thread.
    ///
    /// # Errors
    /// If the pod has ended.
    pub fn enter(&self) -> Result<()> {
        let app = format!("/proc/{}/oom_score_adj", self.app.id());
        let adjusted = fs::read_to_string(app).and_then(|score| fs::write("/proc/self/oom_score_adj", score));
        adjusted.context("cannot have the app's oom_score_adj")?;
        let mut others = ThreadNameSpaceType::empty();
        for (kind, name) in NAMESPACES {
            let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{name}"));
            let theirs = of(&self.systemd.id().to_string()).context("the pod has ended")?;
            // A process can't enter the user namespace that it is in.
            others.set(kind, theirs != of("self")?);
        }
        self.cgroup.write("cgroup.procs", "0").context("cannot enter the app's cgroup")?;
        self.join(others).context("cannot enter the pod's namespaces")
    }

    /// Gives this process the limits of resources that the app has.
    ///
    /// # Errors
    /// If that fails.
    pub fn limit(&self) -> Result<()> {
        let mut all = self.limits.iter();
        all.try_for_each(|(resource, limit)| setrlimit(*resource, *limit)).context("cannot limit resources")
    }

    fn join(&self, kinds: ThreadNameSpaceType) -> Result<()> {
        Ok(move_into_thread_name_spaces(self.systemd.handle().as_fd(), kinds)?)
    }
}

/// The limits of resources, with their names in /proc/PID/limits.
const LIMITS: [(&str, Resource); 16] = [
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max file locks", Resource::Locks),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];

/// Reads a process's limits, as /proc/PID/limits has them.
fn limits(text: &str) -> Vec<(Resource, Rlimit)> {
    let one = |line: &str| {
        let (name, resource) = LIMITS.iter().find(|(name, _)| line.starts_with(name))?;
        let mut words = line[name.len()..].split_whitespace();
        let mut limit = || match words.next()? {
            "unlimited" => Some(None),
            number => number.parse().ok().map(Some),
        };
        Some((*resource, Rlimit { current: limit()?, maximum: limit()? }))
    };
    text.lines().filter_map(one).collect()
}

/// Returns the app that is meant: the one with this name, or the pod's only one.
///
/// # Errors
/// If the pod has no such app, or several that could be meant.
pub fn app_called(pod: &Pod, app: Option<&str>) -> Result<AppName> {
    let apps = pod.contents().with_context(|| format!("pod {}", pod.id()))?.apps;
    let names = || apps.iter().map(|app| app.name.in_manifest()).collect::<Vec<_>>().join(", ");
    match (app, apps.as_slice()) {
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => Err(anyhow!("pod {} has several apps: expected --app NAME", pod.id()))
            .hint(format!("its apps: {}", names())),
        (Some(name), all) => match all.iter().find(|app| app.name.in_manifest() == name) {
            Some(app) => Ok(app.name.clone()),
            None => Err(anyhow!("pod {} has no app {}", pod.id(), escape(name)))
                .hint(format!("its apps: {}", names())),
        },
    }
}

/// Makes what the program is started with: the app's launch file, with another program and without the app's sockets.
fn launch(pod: &Pod, app: &AppName, program: &[String], terminal: Terminal) -> Result<OwnedFd> {
    let path = format!("{}/{}/launch/app-{app}", layout::STAGE1, layout::OWN);
    let (text, _) = pod.read(&path, LAUNCH_MAX)?.context("it has no launch file")?;
    let mut launch: Value = serde_json::from_slice(&text).context("its launch file is damaged")?;
    launch["exec"] = json!(program);
    if let Some(fields) = launch.as_object_mut() {
        fields.remove("sockets");
        fields.remove("terminal");
    }
    if let Terminal::Of(kind) = terminal {
        // The first of the descriptors that follow it.
        launch["terminal"] = json!(0);
        if let (Some(kind), Some(environment)) = (kind, launch["environment"].as_object_mut()) {
            environment.entry("TERM").or_insert(kind.into());
        }
    }
    Ok(sys::content::in_memory("launch", launch.to_string().as_bytes())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = fs::read_to_string("/proc/self/limits").unwrap();
        let read = limits(&text);
        assert_eq!(read.len(), LIMITS.len(), "{text}");
        for (resource, limit) in read {
            assert_eq!(rustix::process::getrlimit(resource), limit, "{resource:?}");
        }
    }
}
