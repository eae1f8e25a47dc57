// SPDX-License-Identifier: Apache-2.0
//! Every name in a running pod: its directories, units, launch files, marker files and helpers, each defined once.
//!
//! Names in the pod directory that the installer knows too are in [`pod::layout`]. The fixed units, in
//! `stage1-init/units`, spell out some of the names here; a test compares them.
//!
//! # Marker files
//!
//! All are in the pod's /run, which disappears with the pod, and out of the apps' reach.
//!
//! | file | written by | read by | means |
//! |---|---|---|---|
//! | [`FAILED`] | the status writer | the status writer, `exit-code` | an app has failed, the first one; has its status |
//! | [`TERMINATED`] | the status writer | the status writer, `exit-code` | an app, the first to fail, was ended by a SIGTERM that nobody had asked for until then; has its status |
//! | [`begun`] | systemd (`RuntimeDirectory=`) | post-stop units (`ConditionPathExists=`) | the app or its pre-start handler has begun, so there is something to clean up after; the status writer removes it when the post-stop handler has ended |
//! | [`ended_well`] | the status writer | the status writer, app units (`ConditionPathExists=`), `gantry-failed@.target` | the service's program ended well, whatever systemd says of the service, or systemd starts it again |
//! | [`TO_TELL`] | the status writer | `exit-code` | messages for the caller, printed at the pod's end |
//!
//! # The outcome
//!
//! A directory in memory that `/init` and the helpers share ([`crate::exchange::outcome`]). The installer reads it, too, from
//! outside: what a pod has begun, been asked and recorded (`pods::state`, `pods::up`).
//!
//! | file | written by | read by | means |
//! |---|---|---|---|
//! | [`METADATA_KEY`] | `/init` | `metadata` | the pod's key for signatures, 64 random bytes |
//! | [`APPS`] | `/init` | `/init`, `exit-code` | the names of the pod's apps, a line each |
//! | [`BEGAN`] | `boot` | `/init` | apps may have started |
//! | [`ASKED`] | `/init` | the status writer, `exit-code` | `/init` was asked to stop the pod; its time is that of the request |
//! | [`READY`] | `/init` | `boot`, `exit-code` | a socket: `/init` answers once apps may start, and hears of the end ([`crate::exchange::ready`]) |
//! | [`lost`] | the status writer | `exit-code` | why an app's status could not be written into the pod directory |
//! | [`CODE`] | `exit-code` | `/init` | the pod's exit code, decimal and newline |
//! | [`TIMING`] | all of them | `/init` | when each step was done, if `--timing` asks for it |
//! | [`FAILURE`] | `boot`, `exit-code`, `/init` | `/init`, the status writer | why no app decides the exit code: the number of a step and what failed there, a line each |

use pod::layout;
use pod::name::AppName;

/// The mount point of stage1 in the private root.
pub(crate) const POD: &str = "/pod";
/// The outcome's directory in the private root.
pub(crate) const OUTCOME: &str = "outcome";
/// The outcome as `/init` sees it, in the private root.
pub(crate) const OUTCOME_OF_INIT: &str = "/outcome";
/// The outcome as the helpers see it, in the pod ([`layout::OUTCOME`]).
pub(crate) const OUTCOME_OF_HELPERS: &str = "/rkt/outcome";
/// The socket that carries the caller's stdio: `ListenDatagram=` in `gantry-stdio.socket`, by which systemd recognises
/// it.
pub(crate) const STDIO: &str = "/run/gantry-stdio";

/// The socket, in the private root, by which nspawn tells `/init` that the pod's systemd has started the apps.
pub(crate) const UP: &str = "/run/gantry-up";

/// The directory of the apps' own user namespaces, in the pod: a file by each app's name.
pub(crate) const NAMESPACES: &str = "/run/gantry/users";

/// The helper that becomes a program of an app's.
pub(crate) const LAUNCH: &str = "launch";
/// The helper that becomes a program beside an app, when a person enters the pod.
pub(crate) const ENTER: &str = "enter";
/// The pod's first process, which becomes systemd.
pub(crate) const BOOT: &str = "boot";
/// The helper that writes how an app ended.
pub(crate) const STATUS: &str = "status";
/// The helper that exits with the pod's exit code.
pub(crate) const EXIT_CODE: &str = "exit-code";
/// The helper that answers apps' questions about their pod.
pub(crate) const METADATA: &str = "metadata";
/// The pod's first process, in the pod's root.
pub(crate) const BOOT_PATH: &str = "/usr/lib/gantry/boot";
/// The pod's systemd, in the pod's root.
pub(crate) const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// The helper that records the pod's code, in the pod's root.
pub(crate) const EXIT_CODE_PATH: &str = "/usr/lib/gantry/exit-code";
/// The launcher, in the pod's root.
pub(crate) const LAUNCH_PATH: &str = "/usr/lib/gantry/launch";
/// The status writer, in the pod's root.
pub(crate) const STATUS_PATH: &str = "/usr/lib/gantry/status";

/// The metadata service, in the pod's root.
pub(crate) const METADATA_PATH: &str = "/usr/lib/gantry/metadata";

/// The status writer's first word: the status is that of the app.
pub(crate) const OF_APP: &str = "app";
/// What the status writer's last words begin with: the number of the signal that asks the app to stop, if it is not
/// SIGTERM's, and the codes that are good ends, with commas between them.
pub(crate) const STOPPED_BY: &str = "stop=";
pub(crate) const GOOD_CODES: &str = "good=";

/// The status is that of an app that is started again: only its end when the pod stops counts for the pod.
pub(crate) const OF_RESTARTED_APP: &str = "restarted-app";
/// The status is that of the app's pre-start handler. If the handler failed, it is the app's status as well.
pub(crate) const OF_PRE_START: &str = "pre-start";
/// The status is that of the app's post-stop handler, whose failure leads only to a warning.
pub(crate) const OF_POST_STOP: &str = "post-stop";
/// No status is written: the app's directories of a run begin anew ([`crate::exchange::fresh`]).
pub(crate) const RENEW: &str = "renew";
/// No status is written: it fails if the app's pre-start handler hasn't ended well.
pub(crate) const BEFORE_APP: &str = "before";

/// The argument that makes a helper record when it does what ([`crate::exchange::timing`]).
pub(crate) const TIMED: &str = "timed";

/// The target that every app's service requires. When it is stopped, the pod ends.
pub(crate) const POD_TARGET: &str = "gantry-pod.target";
/// The pod's end.
pub(crate) const EXIT_TARGET: &str = "exit.target";
/// The service that ends the pod with its code.
pub(crate) const EXIT_SERVICE: &str = "gantry-exit.service";
/// The unit of the socket [`STDIO`].
pub(crate) const STDIO_SOCKET: &str = "gantry-stdio.socket";

/// The socket that starts the metadata service with the first connection.
pub(crate) const METADATA_SOCKET: &str = "gantry-metadata.socket";
/// The unit of the metadata service.
pub(crate) const METADATA_SERVICE: &str = "gantry-metadata.service";

/// The directory of links to units that are started with the pod, before its apps, in stage1.
pub(crate) const POD_WANTS: &str = "etc/systemd/system/gantry-pod.target.wants";
/// The drop-in that makes systemd load the metadata service's socket before it hands sockets out, in stage1.
pub(crate) const METADATA_LOADED: &str = "etc/systemd/system/-.slice.d/metadata.conf";
/// The drop-in that gives [`EXIT_SERVICE`]'s program an argument, in stage1.
pub(crate) const EXIT_TIMED: &str = "etc/systemd/system/gantry-exit.service.d/timing.conf";
/// The directory of links to the apps' units that make up the pod, in stage1; it is below [`layout::UNITS`].
pub(crate) const WANTS: &str = "etc/systemd/system/default.target.wants";
/// The directory of links to the units that the pod's end starts, in stage1.
pub(crate) const EXIT_WANTS: &str = "etc/systemd/system/exit.target.wants";
/// The directory of launch files, in stage1.
const LAUNCH_FILES: &str = "etc/gantry/launch";
/// The machine id of the pod's systemd (machine-id(5)), in stage1.
pub(crate) const MACHINE_ID: &str = "etc/machine-id";
/// The file that lists the apps with users of their own, in stage1, a line each: name, first id in the
/// pod, number of ids, and how many processes and threads there may be.
pub(crate) const USERS: &str = "etc/gantry/users";
/// The file of the metadata service's answers ([`crate::exchange::metadata_file`]), in stage1.
pub(crate) const METADATA_FILE: &str = "etc/gantry/metadata";
/// The time zone (localtime(5)), in stage1 and in the apps' roots.
pub(crate) const LOCALTIME: &str = "etc/localtime";
/// The directory of the zones that [`LOCALTIME`] may be a link to.
pub(crate) const ZONEINFO: &str = "usr/share/zoneinfo";

/// The marker file of the first app's failure.
pub(crate) const FAILED: &str = "/run/gantry-failed";
/// The marker file of the first app's end by SIGTERM that was not asked for.
pub(crate) const TERMINATED: &str = "/run/gantry-terminated";
/// The file of messages for the caller.
pub(crate) const TO_TELL: &str = "/run/gantry-to-tell";
/// The directory, in /run, of the marker files of what has begun.
const BEGUN: &str = "gantry-begun";
/// The directory of the marker files of good ends; `gantry-failed@.target` names it, too.
pub(crate) const WELL: &str = "/run/gantry-well";

/// The file of the outcome that lists the apps.
pub(crate) const APPS: &str = "apps";
/// The file of the outcome that shows that apps may have started.
pub(crate) const BEGAN: &str = "began";
/// The file of the outcome that shows a request to stop.
pub(crate) const ASKED: &str = "asked";
/// The socket of the outcome by which the pod tells `/init` that apps are about to start, and that it has ended.
pub(crate) const READY: &str = "ready";
/// The file of the outcome with the key for signatures. Only the pod's root can read it.
pub(crate) const METADATA_KEY: &str = "metadata-key";
/// The file of the outcome with the exit code.
pub(crate) const CODE: &str = "code";
/// The file of the outcome with the reason why there is no exit code.
pub(crate) const FAILURE: &str = "failure";

/// The file of the outcome with the times of each step (`exchange::timing`).
pub(crate) const TIMING: &str = "timing";

/// Returns the marker file, relative to /run, that exists once an app has begun.
pub(crate) fn begun(app: &AppName) -> String {
    format!("{BEGUN}/{app}")
}

/// Returns the marker file that exists once a service's program has ended well.
pub(crate) fn ended_well(service: &str) -> String {
    format!("{WELL}/{service}")
}

/// Returns the file of the outcome with the reason why an app has no status.
pub(crate) fn lost(app: &AppName) -> String {
    format!("lost-{app}")
}

/// The cgroup slice that the slices of all apps are in.
pub(crate) const APPS_SLICE: &str = "app.slice";

/// Returns the name of the cgroup slice that all services of an app are in, if the app is limited.
///
/// A slice's parent is named by the part of its name before the last `-` (systemd.slice(5)), here [`APPS_SLICE`], so each
/// `-` in the app's name is escaped.
pub(crate) fn slice(app: &AppName) -> String {
    format!("app-{}.slice", app.as_str().replace('-', r"\x2d"))
}

/// Returns the path of a unit, in stage1.
pub(crate) fn unit_file(unit: &str) -> String {
    format!("{}/{unit}", layout::UNITS)
}

/// The service of an app that a unit or launch file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The handler before the app.
    PreStart,
    /// The app itself.
    App,
    /// The handler after the app.
    PostStop,
}

impl Role {
    /// Returns the service's name, without the unit's suffix.
    pub(crate) fn service(self, app: &AppName) -> String {
        let prefix = match self {
            Self::PreStart => OF_PRE_START,
            Self::App => OF_APP,
            Self::PostStop => OF_POST_STOP,
        };
        format!("{prefix}-{app}")
    }

    /// Returns the unit's name.
    pub(crate) fn unit(self, app: &AppName) -> String {
        format!("{}.service", self.service(app))
    }

    /// Returns the name of the target that the unit's failure starts.
    pub(crate) fn failed_target(self, app: &AppName) -> String {
        format!("gantry-failed@{}.target", self.service(app))
    }

    /// Returns the launch file's path in stage1.
    pub(crate) fn launch_file(self, app: &AppName) -> String {
        format!("{LAUNCH_FILES}/{}", self.service(app))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_fixed_units_have_the_same_names() {
        let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("units");
        let unit = |name: &str| fs::read_to_string(units.join(name)).unwrap();
        for (name, line) in [
            (STDIO_SOCKET, format!("ListenDatagram={STDIO}\n")),
            ("gantry-failed@.target", format!("ConditionPathExists=!{}\n", ended_well("%i"))),
            (EXIT_TARGET, format!("Requires={EXIT_SERVICE}\n")),
            (EXIT_SERVICE, format!("ExecStart={EXIT_CODE_PATH}\n")),
            (POD_TARGET, format!("Requires={STDIO_SOCKET} gantry-stdio.service\n")),
        ] {
            assert!(unit(name).contains(&line), "{name}: {line}");
        }
        assert_eq!(BOOT_PATH, format!("/usr/lib/gantry/{BOOT}"));
        assert_eq!(LAUNCH_PATH, format!("/usr/lib/gantry/{LAUNCH}"));
        assert_eq!(STATUS_PATH, format!("/usr/lib/gantry/{STATUS}"));
        assert_eq!(METADATA_PATH, format!("/usr/lib/gantry/{METADATA}"));
        assert_eq!(EXIT_CODE_PATH, format!("/usr/lib/gantry/{EXIT_CODE}"));
        assert_eq!(EXIT_TIMED, unit_file(&format!("{EXIT_SERVICE}.d/timing.conf")));
        assert_eq!(POD_WANTS, unit_file(&format!("{POD_TARGET}.wants")));
        assert_eq!(OUTCOME_OF_INIT, format!("/{OUTCOME}"));
        assert_eq!(OUTCOME_OF_HELPERS, format!("/{}", layout::OUTCOME));
    }
}
