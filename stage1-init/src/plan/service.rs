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
use pod::manifest::{Restart, StopMode};
use pod::name::AppName;

use super::limits::Limits;
use super::options::{Manager, Options};
use super::unit::{Command, Unit};
use crate::exchange::launch_file::launchers_capabilities;
use crate::names::{self, Role};

/// How long an app or one of its handlers has to end after SIGTERM, in seconds, unless annotations say otherwise.
const STOP_SECONDS: u32 = 10;
/// How long a post-stop handler may run before it gets SIGTERM, in seconds, unless annotations say otherwise.
const POST_STOP_SECONDS: u32 = 60;
/// The delay before an app is started again, in seconds.
const RESTART_SECONDS: u32 = 1;

/// Returns the unit of the slice that all apps are in.
pub(super) fn apps_slice_unit(tasks: u32) -> Unit {
    let unit = Unit::default().section("Unit").set("Description", "limits of all apps");
    unit.set("DefaultDependencies", "no").section("Slice").set("TasksMax", tasks)
}

/// Returns the unit of an app's slice.
pub(super) fn slice_unit(app: &AppName, limits: &Limits) -> Unit {
    let unit = Unit::default().section("Unit").set("Description", format_args!("limits of app {app}"));
    let unit = unit.set("DefaultDependencies", "no").section("Slice");
    limits.resources.iter().fold(unit, |unit, (name, value)| unit.set(name, value))
}

/// Returns the unit of one of an app's services.
///
/// An app that says when it is up has the time that it takes for that. Where a manager waits for the apps, the
/// launchers of the others say so when they start.
pub(super) fn unit(role: Role, app: &App, limits: &Limits, options: &Options) -> Unit {
    let unit = match role {
        Role::App => app_unit(app, options),
        Role::PreStart => pre_start_unit(app, options),
        Role::PostStop => post_stop_unit(app, options),
    };
    runs(unit, role, app, limits)
}

/// Returns the unit that gives the recorder of the pod's code the word [`names::TIMED`].
pub(super) fn timed_exit() -> Unit {
    let recorder = Command::new(names::EXIT_CODE_PATH, vec![names::TIMED.into()]);
    Unit::default().section("Service").set("ExecStart", "").set("ExecStart", recorder)
}

fn app_unit(app: &App, options: &Options) -> Unit {
    let start = if app.notifies || options.manager == Manager::Waits { "notify" } else { "simple" };
    let unit = stopped(after_post_stop(app, after_pre_start(app, starts(app, "app", "Requires"))));
    let unit = vital(unit, Role::App, app).section("Service").set("Type", start);
    let unit = if app.notifies { unit.set("TimeoutStartSec", "infinity") } else { unit };
    let of = if app.restart == Restart::No { names::OF_APP } else { names::OF_RESTARTED_APP };
    let unit = begins(app, unit).set("ExecStopPost", writes_end(app, of, options));
    let unit = if app.pre_start.is_none() { renews(app, unit) } else { unit };
    let unit = match app.stop_signal {
        Some(signal) => unit.set("KillSignal", signal),
        None => unit,
    };
    let unit = match app.restart {
        Restart::No => return unit,
        // A good end is no failure, whatever the app left behind.
        Restart::OnFailure => {
            let codes = [0].iter().chain(&app.success_codes).map(ToString::to_string);
            unit.set("Restart", "on-failure")
                .set("RestartPreventExitStatus", codes.collect::<Vec<_>>().join(" "))
        }
        Restart::Always => unit.set("Restart", "always"),
    };
    let unit = unit.set("RestartSec", RESTART_SECONDS);
    match app.pre_start {
        // From systemd 254 on, a service that is started again has been activating since, and conditions are for those that
        // were inactive (unit.c, `unit_start`).
        Some(_) => unit.set("ExecCondition", writes_status(app, names::BEFORE_APP, &Options::default())),
        None => unit,
    }
}

fn pre_start_unit(app: &App, options: &Options) -> Unit {
    let unit = stopped(after_post_stop(app, starts(app, "pre-start handler of app", "Requires")));
    let unit = begins(app, vital(unit, Role::PreStart, app).section("Service").set("Type", "oneshot"));
    renews(app, unit).set("ExecStopPost", writes_status(app, names::OF_PRE_START, options))
}

fn post_stop_unit(app: &App, options: &Options) -> Unit {
    // If the pod is not up, nothing began, and the pod must not be set up only to end.
    starts(app, "post-stop handler of app", "Requisite")
        .set("ConditionPathExists", format_args!("/run/{}", names::begun(&app.name)))
        .section("Service")
        .set("Type", "oneshot")
        .set("ExecStopPost", writes_status(app, names::OF_POST_STOP, options))
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
        .set(needs, names::POD_TARGET)
        .set("After", names::POD_TARGET)
        .set("Before", format_args!("{} {}", names::EXIT_TARGET, names::EXIT_SERVICE))
}

/// Lets an app start only once its pre-start handler has ended well, at each start.
fn after_pre_start(app: &App, unit: Unit) -> Unit {
    if app.pre_start.is_none() {
        return unit;
    }
    let handler = Role::PreStart.unit(&app.name);
    unit.set("Wants", &handler)
        .set("After", handler)
        .set("ConditionPathExists", names::ended_well(&Role::PreStart.service(&app.name)))
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
            unit.set("RuntimeDirectory", names::begun(&app.name)).set("RuntimeDirectoryPreserve", "yes")
        }
        None => unit,
    }
}

/// Lets each run of an app that is started again begin with new directories of a run. The unit is the first of a run.
fn renews(app: &App, unit: Unit) -> Unit {
    match app.restart {
        Restart::No => unit,
        Restart::OnFailure | Restart::Always => {
            unit.set("ExecStartPre", writes_status(app, names::RENEW, &Options::default()))
        }
    }
}

/// Makes the pod's end stop the unit.
fn stopped(unit: Unit) -> Unit {
    unit.set("Conflicts", names::EXIT_TARGET)
}

/// Makes the unit's failure end the pod. An app's end, however it comes, starts its post-stop handler.
fn vital(unit: Unit, role: Role, app: &App) -> Unit {
    let then = app.post_stop.as_ref().filter(|_| role == Role::App).map(|_| Role::PostStop.unit(&app.name));
    let failed = role.failed_target(&app.name);
    let on_failure = [failed].into_iter().chain(then.clone()).collect::<Vec<_>>().join(" ");
    let unit = unit.set("OnFailure", on_failure).set("OnFailureJobMode", "replace-irreversibly");
    match then {
        Some(then) => unit.set("OnSuccess", then),
        None => unit,
    }
}

/// Sets what a service runs, and with which limits.
///
/// The launcher enters the app's root and becomes the app's user. systemd would enter the root by chroot(2), which an app
/// that may call chroot(2) itself can leave, and knows no users but the pod's.
fn runs(unit: Unit, role: Role, app: &App, limits: &Limits) -> Unit {
    let unit = unit
        .set("ExecStart", Command::new(names::LAUNCH_PATH, vec![]))
        .set("TimeoutStopSec", app.stop_timeout.unwrap_or(STOP_SECONDS))
        .set("KillMode", if app.stop_mode == StopMode::All { "control-group" } else { "mixed" })
        .set("Sockets", names::STDIO_SOCKET)
        .set("StandardInput", format_args!("file:/{}", role.launch_file(&app.name)))
        .set("StandardOutput", "null")
        .set("StandardError", "null")
        .set("OOMPolicy", "continue")
        .set("CapabilityBoundingSet", limits.capabilities.union(launchers_capabilities()));
    let no_new_privileges = app.isolators.no_new_privileges == Some(true);
    let unit = if no_new_privileges { unit.set("NoNewPrivileges", "yes") } else { unit };
    let unit = limits.directives.iter().fold(unit, |unit, (name, value)| unit.set(name, value));
    unit.set("IgnoreSIGPIPE", "no").set("UMask", "0022")
}

/// Returns the command that writes an app's status, with what is a good end of it beside the usual.
fn writes_end(app: &App, of: &'static str, options: &Options) -> Command {
    let signal = app.stop_signal.map(|signal| format!("{}{}", names::STOPPED_BY, signal.number()));
    let codes: Vec<_> = app.success_codes.iter().map(ToString::to_string).collect();
    let codes = (!codes.is_empty()).then(|| format!("{}{}", names::GOOD_CODES, codes.join(",")));
    let words = [of.to_owned(), app.name.to_string()].into_iter().chain(signal).chain(codes);
    Command::privileged(names::STATUS_PATH, words.chain(timed(options)).collect())
}

fn writes_status(app: &App, of: &'static str, options: &Options) -> Command {
    let words = [of.to_owned(), app.name.to_string()].into_iter();
    Command::privileged(names::STATUS_PATH, words.chain(timed(options)).collect())
}

fn timed(options: &Options) -> Option<String> {
    options.timing.then(|| names::TIMED.into())
}
