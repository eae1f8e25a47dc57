// SPDX-License-Identifier: Apache-2.0
//! An app's units: up to three services, which are run in the same way.
//!
//! - `app-NAME`: the app.
//! - `pre-start-NAME`: its pre-start handler, required by the app; the handler's failure fails the app.
//! - `post-stop-NAME`: its post-stop handler. It is started by the app's end, however that came, and by the pod's end,
//!   because an app that was yet to start when the pod is stopped never ends. A directory that the other two services
//!   leave tells whether there is anything to clean up after. The handler's end removes the directory, so the handler
//!   runs once.
//!
//! Handlers are separate services because systemd passes the stdio socket only to `ExecStart=`. `exit.target` stops the
//! first two services. All are done before `gantry-exit.service`, which ends the pod (see `units/`).
//!
//! The status writer decides whether a service ended well (`helpers::status`). For systemd, a service whose program
//! ended well has failed if processes that the program left behind had to be killed.

use pod::App;
use pod::isolators::CapabilitySet;
use pod::manifest::Restart;
use pod::name::AppName;

use super::limits::Limits;
use crate::helpers::{self, status};
use crate::load::Credentials;
use crate::plan::unit::{Command, Unit};

/// `CAP_SYS_ADMIN` (linux/capability.h).
const SYS_ADMIN: u64 = 1 << 21;
/// How long an app or one of its handlers has to end after SIGTERM, in seconds, unless annotations say otherwise.
const STOP_SECONDS: u32 = 10;
/// How long a post-stop handler may run before it gets SIGTERM, in seconds, unless annotations say otherwise.
const POST_STOP_SECONDS: u32 = 60;
/// The delay before an app is started again, in seconds.
const RESTART_SECONDS: u32 = 1;
/// The capabilities that a launcher has beside its app's, until it is in the app's root (linux/capability.h).
///
/// `CAP_SYS_ADMIN` and `CAP_SYS_CHROOT` are for entering that root, the first for setting a filter as well.
/// `CAP_SETGID` is for setting the app's groups, and `CAP_SETPCAP` for losing all of these again. `CAP_SYS_PTRACE`
/// protects the launcher until then: without it, a process of an app's could have the same capabilities.
const LAUNCHERS: u64 = SYS_ADMIN | 1 << 18 | 1 << 6 | 1 << 8 | 1 << 19;

/// Which of an app's services a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    PreStart,
    App,
    PostStop,
}

impl Role {
    fn service(self, app: &AppName) -> String {
        let prefix = match self {
            Self::PreStart => status::PRE_START,
            Self::App => status::APP,
            Self::PostStop => status::POST_STOP,
        };
        format!("{prefix}-{app}")
    }

    pub(super) fn unit(self, app: &AppName) -> String {
        format!("{}.service", self.service(app))
    }

    /// Returns the launch file's path in stage1.
    pub(super) fn launch(self, app: &AppName) -> String {
        format!("{}/{}", super::LAUNCH, self.service(app))
    }
}

/// Returns the name of the slice that all services of an app are in, if the app is limited.
///
/// A slice's parent is named by the part of its name before the last `-` (systemd.slice(5)), so each `-` in the app's
/// name is escaped.
pub(super) fn slice(app: &AppName) -> String {
    format!("app-{}.slice", app.as_str().replace('-', r"\x2d"))
}

/// Returns the slice's unit.
pub(super) fn slice_unit(app: &AppName, limits: &Limits) -> Unit {
    let unit = Unit::default().section("Unit").set("Description", format_args!("limits of app {app}"));
    let unit = unit.set("DefaultDependencies", "no").section("Slice");
    limits.resources.iter().fold(unit, |unit, (name, value)| unit.set(name, value))
}

/// Returns the capabilities that an app may have.
pub(super) fn capabilities(app: &App) -> CapabilitySet {
    app.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT)
}

/// Tells whether an app may do what requires `CAP_SYS_ADMIN`.
pub(super) fn may_administer(app: &App) -> bool {
    CapabilitySet::from_bits(SYS_ADMIN).without(capabilities(app)).is_empty()
}

/// Returns the capabilities that launchers need from the caller.
pub(crate) fn launchers_capabilities() -> CapabilitySet {
    CapabilitySet::from_bits(LAUNCHERS)
}

/// Returns the launcher's capabilities that the app may not have.
pub(super) fn dropped_capabilities(app: &App) -> CapabilitySet {
    launchers_capabilities().without(capabilities(app))
}

/// Returns the unit of one of an app's services.
pub(super) fn unit(role: Role, app: &App, credentials: &Credentials, limits: &Limits) -> Unit {
    let unit = match role {
        Role::App => app_unit(app),
        Role::PreStart => pre_start_unit(app),
        Role::PostStop => post_stop_unit(app),
    };
    run_as(unit, role, app, credentials, limits)
}

fn app_unit(app: &App) -> Unit {
    let unit = stopped(after_post_stop(app, after_pre_start(app, starts(app, "app", "Requires"))));
    let unit = vital(unit, Role::App, app).section("Service").set("Type", "simple");
    let of = if app.restart == Restart::No { status::APP } else { status::RESTARTED_APP };
    let unit = begins(app, unit).set("ExecStopPost", writes_status(app, of));
    let unit = match app.restart {
        Restart::No => return unit,
        // Exit code 0 is no failure, whatever the app left behind.
        Restart::OnFailure => unit.set("Restart", "on-failure").set("RestartPreventExitStatus", 0),
        Restart::Always => unit.set("Restart", "always"),
    };
    unit.set("RestartSec", RESTART_SECONDS)
}

fn pre_start_unit(app: &App) -> Unit {
    let unit = stopped(after_post_stop(app, starts(app, "pre-start handler of app", "Requires")));
    begins(app, vital(unit, Role::PreStart, app).section("Service").set("Type", "oneshot"))
        .set("ExecStopPost", writes_status(app, status::PRE_START))
}

fn post_stop_unit(app: &App) -> Unit {
    // If the pod is not up, nothing began, and the pod must not be set up only to end.
    starts(app, "post-stop handler of app", "Requisite")
        .set("ConditionPathExists", format_args!("/run/{}", status::begun(&app.name)))
        .section("Service")
        .set("Type", "oneshot")
        .set("ExecStopPost", writes_status(app, status::POST_STOP))
        .set("TimeoutStartSec", app.post_stop_timeout.unwrap_or(POST_STOP_SECONDS))
}

/// Returns a unit that needs the pod; the pod does not end before it.
fn starts(app: &App, what: &str, needs: &'static str) -> Unit {
    Unit::default()
        .section("Unit")
        .set("Description", format_args!("{what} {}", app.name))
        .set("DefaultDependencies", "no")
        // Handlers start as often as their app. A service that reaches a start limit takes its socket down, and with it
        // all of the pod's stdio.
        .set("StartLimitIntervalSec", 0)
        .set(needs, "gantry-pod.target")
        .set("After", "gantry-pod.target")
        .set("Before", "exit.target gantry-exit.service")
}

/// Lets an app start only once its pre-start handler has ended well, at each start.
fn after_pre_start(app: &App, unit: Unit) -> Unit {
    if app.pre_start.is_none() {
        return unit;
    }
    let handler = Role::PreStart.unit(&app.name);
    unit.set("Wants", &handler)
        .set("After", handler)
        .set("ConditionPathExists", status::ended_well(&Role::PreStart.service(&app.name)))
}

/// Makes an app that is started again wait until its last run is cleaned up.
///
/// This also makes the handler wait for the app's end: of two ordered units, the one being stopped goes before the one
/// being started, whichever way the order (systemd.unit(5), `After=`).
fn after_post_stop(app: &App, unit: Unit) -> Unit {
    match app.post_stop {
        Some(_) => unit.set("After", Role::PostStop.unit(&app.name)),
        None => unit,
    }
}

/// Leaves a directory that tells the post-stop handler that there is something to clean up after.
fn begins(app: &App, unit: Unit) -> Unit {
    match app.post_stop {
        Some(_) => {
            unit.set("RuntimeDirectory", status::begun(&app.name)).set("RuntimeDirectoryPreserve", "yes")
        }
        None => unit,
    }
}

/// Makes the pod's end stop the unit.
fn stopped(unit: Unit) -> Unit {
    unit.set("Conflicts", "exit.target")
}

/// Makes the unit's failure end the pod. An app's end, however it comes, starts its post-stop handler.
fn vital(unit: Unit, role: Role, app: &App) -> Unit {
    let then = app.post_stop.as_ref().filter(|_| role == Role::App).map(|_| Role::PostStop.unit(&app.name));
    let failed = format!("gantry-failed@{}.target", role.service(&app.name));
    let on_failure = [failed].into_iter().chain(then.clone()).collect::<Vec<_>>().join(" ");
    let unit = unit.set("OnFailure", on_failure).set("OnFailureJobMode", "replace-irreversibly");
    match then {
        Some(then) => unit.set("OnSuccess", then),
        None => unit,
    }
}

/// Sets what a service runs, as which user and with which limits.
///
/// The launcher enters the app's root. systemd would do so by chroot(2), which an app that may call chroot(2) itself
/// can leave.
fn run_as(unit: Unit, role: Role, app: &App, credentials: &Credentials, limits: &Limits) -> Unit {
    let unit = unit
        .set("ExecStart", Command::new(helpers::LAUNCH_PATH, vec![]))
        .set("TimeoutStopSec", app.stop_timeout.unwrap_or(STOP_SECONDS))
        .set("Sockets", "gantry-stdio.socket")
        .set("StandardInput", format_args!("file:/{}", role.launch(&app.name)))
        .set("StandardOutput", "null")
        .set("StandardError", "null")
        // The manifest decides what an app may use, not systemd's defaults.
        .set("TasksMax", "infinity")
        .set("OOMPolicy", "continue")
        .set("User", credentials.uid)
        .set("Group", credentials.gid);
    let launchers = launchers_capabilities();
    let unit = unit
        .set("CapabilityBoundingSet", limits.capabilities.union(launchers))
        .set("AmbientCapabilities", launchers);
    let no_new_privileges = app.isolators.no_new_privileges == Some(true);
    let unit = if no_new_privileges { unit.set("NoNewPrivileges", "yes") } else { unit };
    let unit = limits.directives.iter().fold(unit, |unit, (name, value)| unit.set(name, value));
    unit.set("IgnoreSIGPIPE", "no").set("UMask", "0022")
}

fn writes_status(app: &App, of: &'static str) -> Command {
    Command::privileged(helpers::STATUS_PATH, vec![of.into(), app.name.to_string()])
}
