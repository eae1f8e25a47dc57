// SPDX-License-Identifier: Apache-2.0
//! A pod → what is written into its stage1 and what is mounted: plain data, a pure function of the manifests.
//!
//! An app is up to three services, which share how they are run:
//! - `app-NAME`: the app.
//! - `pre-start-NAME`: its handler, required by the app; its failure fails the app.
//! - `post-stop-NAME`: its handler, which the app's end starts, however that came.
//!
//! They are services of their own because systemd passes the stdio socket to `ExecStart=` alone. The first two are
//! stopped by `exit.target`; all are done before `gantry-exit.service`, which ends the pod (see `units/`). What a manifest says reaches a unit only as words of the launcher's command line: the
//! environment and the working directory too, since systemd's own directives can't carry all of appc's values.

use std::collections::{BTreeMap, BTreeSet};

use pod::arch::Arch;
use pod::exec::{Exec, Word};
use pod::name::AppName;
use pod::path::AbsolutePath;
use pod::{App, Mount, layout};

use crate::in_pod;
use crate::load::{Credentials, Loaded};
use crate::nspawn;
use crate::unit::{Command, Unit};

/// An app's PATH unless its manifest says otherwise (appc spec, execution environment).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long an app has to end after SIGTERM, in seconds.
const STOP_SECONDS: u32 = 10;
/// How long a post-stop handler may run, in seconds.
const POST_STOP_SECONDS: u32 = 60;
/// What apps may do beside what any process may (appc spec, `os/linux/capabilities-remove-set`: the default set).
const CAPABILITIES: &str = "CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FSETID CAP_FOWNER CAP_KILL CAP_MKNOD \
                            CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_SETFCAP \
                            CAP_SYS_CHROOT";

/// The apps' units that make up the pod, in stage1; `WANTS` is below [`layout::UNITS`].
pub(crate) const WANTS: &str = "etc/systemd/system/default.target.wants";

/// What makes a stage1 tree this pod's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files to write, by path in stage1.
    pub files: BTreeMap<String, String>,
    /// Symbolic links to make, by path in stage1.
    pub links: BTreeMap<String, String>,
    /// Volumes to mount into the apps' trees, by the tree's path in stage1.
    pub mounts: Vec<(String, Mount)>,
    /// Whether the caller's stdin goes to the apps: there is one.
    pub stdin: bool,
    /// What is executed: the bundled loader, with nspawn and its arguments.
    pub nspawn: Vec<String>,
}

/// Which of an app's services a unit is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    PreStart,
    App,
    PostStop,
}

impl Role {
    fn unit(self, app: &AppName) -> String {
        let prefix = match self {
            Self::PreStart => "pre-start",
            Self::App => "app",
            Self::PostStop => "post-stop",
        };
        format!("{prefix}-{app}.service")
    }
}

/// The app whose unit this is.
pub(crate) fn app_of(unit: &str) -> Option<&str> {
    unit.strip_prefix("app-")?.strip_suffix(".service")
}

/// Plans a pod; with `debug`, one whose nspawn and systemd say what they do.
pub fn plan(loaded: &Loaded, debug: bool) -> Plan {
    let pod = &loaded.pod;
    let mut plan = Plan {
        files: BTreeMap::from([("etc/machine-id".into(), format!("{}\n", pod.id.machine_id()))]),
        links: BTreeMap::new(),
        mounts: Vec::new(),
        stdin: pod.apps.len() == 1,
        nspawn: nspawn::words(Arch::current(), pod.id, debug),
    };
    for app in &pod.apps {
        plan.add_app(app, loaded.credentials[&app.name]);
    }
    let (passwd, group) = accounts(loaded);
    plan.files.insert("etc/passwd".into(), passwd);
    plan.files.insert("etc/group".into(), group);
    plan
}

/// The pod's own account files. systemd takes numbers for `User=` and `Group=` only where it can look them up
/// (measured with 252); the names are nobody's, and no app sees these files.
fn accounts(loaded: &Loaded) -> (String, String) {
    let uids: BTreeSet<_> = loaded.credentials.values().map(|credentials| credentials.uid).collect();
    let own = loaded.credentials.values().map(|credentials| credentials.gid);
    let supplementary = loaded.pod.apps.iter().flat_map(|app| app.supplementary_gids.iter().copied());
    let gids: BTreeSet<_> = own.chain(supplementary).collect();
    let user = |uid| format!("gantry-{uid}:x:{uid}:0::/:/\n");
    let group = |gid| format!("gantry-{gid}:x:{gid}:\n");
    (uids.into_iter().map(user).collect(), gids.into_iter().map(group).collect())
}

impl Plan {
    fn add_app(&mut self, app: &App, credentials: Credentials) {
        self.add_unit(&Role::App.unit(&app.name), app_unit(app, credentials));
        if let Some(handler) = &app.pre_start {
            self.add_unit(&Role::PreStart.unit(&app.name), pre_start_unit(app, handler, credentials));
        }
        if let Some(handler) = &app.post_stop {
            self.add_unit(&Role::PostStop.unit(&app.name), post_stop_unit(app, handler, credentials));
        }
        let name = Role::App.unit(&app.name);
        self.links.insert(format!("{WANTS}/{name}"), format!("../{name}"));
        let rootfs = layout::image_rootfs(&app.image);
        self.mounts.extend(app.mounts.iter().map(|mount| (rootfs.clone(), mount.clone())));
    }

    fn add_unit(&mut self, name: &str, unit: Unit) {
        self.files.insert(format!("{}/{name}", layout::UNITS), unit.into_text());
    }
}

fn app_unit(app: &App, credentials: Credentials) -> Unit {
    let pre_start = app.pre_start.as_ref().map(|_| Role::PreStart.unit(&app.name));
    let post_stop = app.post_stop.as_ref().map(|_| Role::PostStop.unit(&app.name));
    let unit = vital(stopped(starts(app, "app", pre_start.as_deref())), post_stop.as_deref())
        .section("Service")
        .set("Type", "simple")
        .set("ExecStart", launch(app, &app.exec))
        .set("ExecStop", Command::privileged(in_pod::STOPPING_PATH, vec![app.name.to_string()]))
        .set("ExecStopPost", status(app, in_pod::status::APP))
        .set("KillMode", "mixed")
        .set("TimeoutStopSec", STOP_SECONDS);
    run_as(unit, app, credentials)
}

fn pre_start_unit(app: &App, handler: &Exec, credentials: Credentials) -> Unit {
    let unit = vital(stopped(starts(app, "pre-start handler of app", None)), None)
        .section("Service")
        .set("Type", "oneshot")
        .set("ExecStart", launch(app, handler))
        .set("ExecStopPost", status(app, in_pod::status::PRE_START))
        .set("TimeoutStopSec", STOP_SECONDS);
    run_as(unit, app, credentials)
}

fn post_stop_unit(app: &App, handler: &Exec, credentials: Credentials) -> Unit {
    let unit = starts(app, "post-stop handler of app", None)
        .section("Service")
        .set("Type", "oneshot")
        .set("ExecStart", launch(app, handler))
        .set("TimeoutStartSec", POST_STOP_SECONDS);
    run_as(unit, app, credentials)
}

/// A unit that needs the pod and, if there is one, `after`; the pod does not end before it.
fn starts(app: &App, what: &str, after: Option<&str>) -> Unit {
    let requires = ["gantry-pod.target"].into_iter().chain(after).collect::<Vec<_>>().join(" ");
    Unit::default()
        .section("Unit")
        .set("Description", format_args!("{what} {}", app.name))
        .set("DefaultDependencies", "no")
        .set("Requires", &requires)
        .set("After", &requires)
        .set("Before", "exit.target gantry-exit.service")
}

/// The pod's end stops it.
fn stopped(unit: Unit) -> Unit {
    unit.set("Conflicts", "exit.target")
}

/// Its failure ends the pod; its end, however it comes, starts `then`.
fn vital(unit: Unit, then: Option<&str>) -> Unit {
    let on_failure = ["exit.target"].into_iter().chain(then).collect::<Vec<_>>().join(" ");
    let unit = unit.set("OnFailure", on_failure).set("OnFailureJobMode", "replace-irreversibly");
    match then {
        Some(then) => unit.set("OnSuccess", then),
        None => unit,
    }
}

/// Where a service runs, and as whom.
fn run_as(unit: Unit, app: &App, credentials: Credentials) -> Unit {
    let groups: Vec<_> = app.supplementary_gids.iter().map(u32::to_string).collect();
    let unit = unit
        .set("Sockets", "gantry-stdio.socket")
        .set("StandardInput", "null")
        .set("StandardOutput", "null")
        .set("StandardError", "null")
        .set("RootDirectory", format_args!("/{}", layout::image_rootfs(&app.image)))
        // For ExecStart alone: the status is written outside of it.
        .set("RootDirectoryStartOnly", "yes")
        .set("MountAPIVFS", "no")
        .set("User", credentials.uid)
        .set("Group", credentials.gid);
    let unit = if groups.is_empty() { unit } else { unit.set("SupplementaryGroups", groups.join(" ")) };
    unit.set("CapabilityBoundingSet", CAPABILITIES).set("IgnoreSIGPIPE", "no").set("UMask", "0022")
}

/// The launcher's command line: the app's name, its working directory, its environment, `--`, its words.
fn launch(app: &App, exec: &Exec) -> Command {
    let mut words = vec![app.name.to_string(), app.working_directory.as_str().to_owned()];
    words.extend(environment(app).into_iter().map(|(name, value)| format!("{name}={value}")));
    words.push("--".into());
    words.extend(exec.words().iter().map(|word| word.as_str().to_owned()));
    Command::new(in_pod::LAUNCH_PATH, words)
}

/// What the executor supplies, and over it the manifest's own.
fn environment(app: &App) -> BTreeMap<&str, &str> {
    let supplied = [("AC_APP_NAME", app.name.as_str()), ("PATH", PATH), ("container", "gantry")];
    let own = app.environment.iter().map(|(name, value)| (name.as_str(), Word::as_str(value)));
    supplied.into_iter().chain(own).collect()
}

fn status(app: &App, of: &'static str) -> Command {
    Command::privileged(in_pod::STATUS_PATH, vec![of.into(), app.name.to_string()])
}

/// Where a volume goes, for messages.
pub(crate) fn describe(target: &AbsolutePath, rootfs: &str) -> String {
    format!("mount at {target} in {rootfs}")
}
