// SPDX-License-Identifier: Apache-2.0
//! Every attack by every kind of app, and what options open: docs/attacks.md is written from what is measured here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use gate::root_test;
use serde_json::{Value, json};
use testing::pods::{Gantry, text, wait_gone};

use crate::documents::check;
use crate::kinds::{self, App, Host, Pod};
use crate::probes::CAPABILITIES;
use crate::subject::{Said, THROUGH, parse, root, undefended};
use crate::terminals::{at_a_terminal, said};

const PAGE: &str = "docs/attacks.md";

/// An attack: the row of the threat list that it belongs to, its name, and what it does.
type Attack = (&'static str, &'static str, &'static str);

/// Attacks that processes make wherever they are.
const ATTACKS: [Attack; 45] = [
    ("S1", "clone", "makes a user namespace"),
    ("S1", "clone3", "the same"),
    ("S1", "unshare", "the same"),
    ("S1", "i386-clone", "the same by a 32-bit program's call"),
    ("S1", "i386-clone3", "the same"),
    ("S1", "i386-unshare", "the same"),
    ("S1", "fresh-proc", "mounts a /proc without masks in namespaces of its own"),
    ("S1", "sysctl", "opens the sysctl there that names a program for the host's root"),
    ("S1", "fresh-sysfs", "mounts a /sys without masks in namespaces of its own"),
    ("S1", "beneath", "looks for what its root was mounted on"),
    ("S2", "cgroup-v1", "mounts a hierarchy of cgroup v1 in namespaces of its own"),
    ("S2", "cgroup-v1-as-is", "mounts one where it is"),
    ("S6", "device", "makes a device, in its volume if it has one"),
    ("S7", "loopback", "connects to the host's loopback"),
    ("S7", "abstract-socket", "connects to an abstract socket of the host's"),
    ("S7", "packets", "opens a socket for all packets"),
    ("S7", "raw-socket", "opens a raw socket"),
    ("S7", "uevents", "hears of the host's devices"),
    ("S8", "victim-environment", "reads the environment of the app beside it"),
    ("S8", "victim-root", "opens that app's root"),
    ("S8", "victim-descriptors", "lists what that app has open"),
    ("S8", "victim-memory", "opens that app's memory"),
    ("S8", "victim-signal", "signals that app"),
    ("S8", "victim-trace", "traces that app"),
    ("S8", "victim-take-descriptor", "takes a descriptor of that app's"),
    ("S8", "victim-mounts", "enters that app's mount namespace"),
    ("S9", "processes", "starts more processes than it may have"),
    ("S11", "io_uring", "makes a ring"),
    ("S11", "userfaultfd", "handles its own page faults"),
    ("S11", "kcmp", "compares processes"),
    ("S11", "vmsplice", "gives pages away"),
    ("S11", "join_keyring", "joins a keyring"),
    ("S11", "i386-join_keyring", "the same by a 32-bit program's call"),
    ("S11", "personality", "turns random addresses off"),
    ("S11", "i386-personality", "the same by a 32-bit program's call"),
    ("S11", "syslog", "asks for the kernel's log"),
    ("S11", "audit", "opens the audit log"),
    ("", "handle", "opens a directory by its handle"),
    ("", "systemd-environment", "reads the environment of the pod's systemd"),
    ("", "systemd-signal", "signals systemd"),
    ("", "systemd-root", "opens systemd's root"),
    ("", "systemd-memory", "opens systemd's memory"),
    ("", "systemd-trace", "traces systemd"),
    ("", "systemd-take-descriptor", "takes a descriptor of systemd's"),
    ("", "stage1-init", "opens `/init` of stage1 for writing"),
];
/// Attacks on what a careless change of the root leaves.
const ON_ROOTS: [Attack; 4] = [
    ("S1", "own-sysctl", "opens a sysctl of the host's in its own /proc"),
    ("", "descriptors", "looks for a descriptor that was left open"),
    ("", "working-directory", "climbs from its working directory"),
    ("", "second-chroot", "climbs out by a second chroot"),
];
/// Attacks by a terminal that the app writes to.
const AT_TERMINALS: [Attack; 3] = [
    ("S3", "terminal-read", "reads what is typed through what it writes to"),
    ("S3", "terminal-reopen", "opens that terminal again"),
    ("", "type", "types for the person at the terminal"),
];

/// Outcomes by attack.
type Outcomes = BTreeMap<String, String>;

fn names(attacks: &[Attack]) -> Vec<&'static str> {
    attacks.iter().map(|(_, name, _)| *name).collect()
}

/// Attacks that a process makes in a pod without a terminal.
pub(crate) fn without_terminal() -> Vec<&'static str> {
    [names(&ATTACKS), names(&ON_ROOTS)].concat()
}

fn of(said: &Said, app: &str) -> Outcomes {
    let own = said.iter().filter(|((who, _), _)| who == app);
    own.map(|((_, attack), outcome)| (attack.clone(), outcome.clone())).collect()
}

/// Enters a root by chroot(2), with a descriptor and a working directory outside of it.
const CHROOTED: &str = r#"
set -e
mount --bind /proc "$1/proc"
root=$1
shift
exec 7</
exec nsenter --root="$root" --wd=/ /attack "$@""#;

/// Makes attacks in a root that old programs would have made.
fn chrooted(attacks: &[&str]) -> Said {
    let gantry = Gantry::new();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", CHROOTED, "sh"]).arg(root(&gantry));
    let output = unshare.args(attacks).env_remove("AC_APP_NAME").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    parse(&text(&output.stdout))
}

/// Makes attacks by the terminal of a pod in the background.
fn at_pods_terminal(apps: &[App<'_>], attacks: &[&str]) -> Said {
    let gantry = Gantry::new();
    let pod = kinds::prepare(&gantry, "overlay", &json!([]), None, apps, attacks);
    let mut terminal = at_a_terminal(&pod);
    terminal.tell(&["start", "./stage1/init"]);
    let outcomes = said(&mut terminal, apps.len() * attacks.len());
    assert_eq!(terminal.tell(&["wait"]), "exited 0");
    wait_gone(&pod);
    outcomes
}

fn at_no_pods_terminal(attacks: &[&str]) -> Said {
    let gantry = Gantry::new();
    let mut terminal = at_a_terminal(&root(&gantry));
    terminal.tell(&[&["start", "setsid", "./attack"], attacks].concat());
    said(&mut terminal, attacks.len())
}

/// Tells whether there is nothing to attack: a host without cgroup v1 mounts none.
fn is_absent(attack: &str) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    attack.trim_matches('`').starts_with("cgroup-v1") && own.lines().all(|line| line.starts_with("0::"))
}

/// Tells whether the outcome depends on what this host has: hierarchies of cgroup v1, or Yama, which keeps processes of one
/// user from tracing each other.
fn depends(attack: &str) -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_else(|_| "0".into());
    let is_traced = ["`victim-trace`", "`victim-memory`"].contains(&attack);
    is_absent(attack) || is_traced && scope.trim() != "0"
}

/// The control: where nothing is defended, every attack gets through.
#[root_test]
fn every_attack_gets_through_where_nothing_is_defended() {
    let _host = Host::new();
    let outside = [
        undefended(0, &names(&ATTACKS)),
        chrooted(&names(&ON_ROOTS)),
        at_no_pods_terminal(&names(&AT_TERMINALS)),
    ];
    let outside: Outcomes = outside.iter().flat_map(|said| of(said, "-")).collect();
    let stopped: Vec<_> = outside.iter().filter(|(_, outcome)| *outcome != THROUGH).collect();
    let stopped: Vec<_> = stopped.iter().filter(|(attack, _)| !is_absent(attack)).collect();
    assert!(stopped.is_empty(), "attacks that can't succeed: {stopped:#?}");
    assert_eq!(outside.len(), ATTACKS.len() + ON_ROOTS.len() + AT_TERMINALS.len());
}

/// A program beside an app, which `enter` runs, is stopped by what stops the app.
#[root_test]
fn no_attack_of_any_kind_of_app_gets_through() {
    let _host = Host::new();
    let (apps, attacks) = (kinds::all(), without_terminal());
    let pod = Pod::start(&json!([]), 0, &apps, &attacks);
    for app in &apps {
        assert_eq!(of(&pod.entered(app.name, &attacks), app.name), of(&pod.said, app.name), "entered");
    }
    let mut said = pod.end();
    let copies = Pod::start_in("copy", &json!([]), 0, &apps, &attacks).end();
    assert!(copies == said, "with copies: {copies:#?}");
    said.extend(at_pods_terminal(&apps, &names(&AT_TERMINALS)));
    let through: Vec<_> = said.iter().filter(|(_, outcome)| *outcome == THROUGH).collect();
    assert!(through.is_empty(), "{through:#?}");
    let columns: Vec<_> = apps.iter().map(|app| of(&said, app.name)).collect();
    let head = "| attack | row | what it does | root | user 1000 | root, beside the first app | root, read-only | root, with a volume |\n";
    let attacks = [&ATTACKS[..], &ON_ROOTS, &AT_TERMINALS].concat();
    check(PAGE, "kinds", &table(head, &attacks, &columns), depends);
}

/// Each column is a pod whose manifest says more, and an app of root's in it.
#[root_test]
fn what_options_open_is_documented() {
    let _host = Host::new();
    let annotation = |name: &str, value: &str| json!({"name": format!("gantry/{name}"), "value": value});
    let (users, net) = (annotation("users", "host"), annotation("net", "host"));
    let known: Vec<_> = CAPABILITIES.iter().map(|(name, _)| *name).collect();
    let all = json!({"name": "os/linux/capabilities-retain-set", "value": {"set": known}});
    let unfiltered = json!({"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}});
    let given = |isolators: &[&Value]| App {
        isolators: kinds::root()
            .isolators
            .into_iter()
            .chain(isolators.iter().map(|one| (*one).clone()))
            .collect(),
        ..kinds::root()
    };
    let pods = [
        (json!([annotation("users", "shared")]), given(&[])),
        (json!([net]), given(&[])),
        (json!([users]), given(&[])),
        (json!([]), given(&[&unfiltered])),
        (json!([]), given(&[&all, &unfiltered])),
        (json!([users, net]), given(&[&all, &unfiltered])),
    ];
    let attacks = [&ATTACKS[..], &ON_ROOTS].concat();
    let columns: Vec<_> = pods
        .into_iter()
        .map(|(annotations, app)| of(&Pod::start(&annotations, 0, &[app], &names(&attacks)).end(), "root"))
        .collect();
    let head = "| attack | row | what it does | `--userns=shared` | `--net=host` | `--userns=host` | no filter | all capabilities, no filter | these, `--userns=host`, `--net=host` |\n";
    // A controller of processes is what cgroups have, or not.
    let depends = |attack: &str| depends(attack) || attack == "`processes`";
    check(PAGE, "options", &table(head, &attacks, &columns), depends);
}

/// An account of the host's whose number is that of an app's user.
#[root_test]
fn an_account_of_the_hosts_has_no_power_over_an_app_with_its_number() {
    let attacks: Vec<_> = names(&ATTACKS).into_iter().filter(|name| name.starts_with("victim-")).collect();
    let user = [App { user: kinds::USER, ..kinds::root() }];
    let by_account = |annotations: &Value| {
        let pod = Pod::start(annotations, 0, &user, &[]);
        let outcomes = of(&pod.by_account("root", &attacks), "-");
        pod.end();
        outcomes
    };
    let own = by_account(&json!([]));
    let through: Vec<_> = own.iter().filter(|(_, outcome)| *outcome == THROUGH).collect();
    assert!(through.is_empty(), "{through:#?}");
    let hosts = by_account(&json!([{"name": "gantry/users", "value": "host"}]));
    let head = "| attack | row | what it does | usual pod | `--userns=host` |\n";
    let shown: Vec<_> = ATTACKS.into_iter().filter(|(_, name, _)| attacks.contains(name)).collect();
    check(PAGE, "accounts", &table(head, &shown, &[own, hosts]), depends);
}

/// A table: a line for each attack, with a column for each of `columns`.
fn table(head: &str, attacks: &[Attack], columns: &[Outcomes]) -> String {
    let mut table = format!("{head}|{}\n", "---|".repeat(columns.len() + 3));
    let mut attacks = attacks.to_vec();
    // Stable: attacks of a row keep their order. Those without one are last.
    attacks.sort_by_key(|(row, ..)| row.trim_start_matches('S').parse().unwrap_or(u32::MAX));
    for (row, attack, does) in attacks {
        write!(table, "| `{attack}` | {row} | {does} |").unwrap();
        for column in columns {
            let outcome = match &column[attack] {
                through if through == THROUGH => "**gets through**".into(),
                stopped => shown(stopped),
            };
            write!(table, " {outcome} |").unwrap();
        }
        table.push('\n');
    }
    table
}

/// `kill: EPERM` → ``kill: `EPERM` ``.
fn shown(outcome: &str) -> String {
    match outcome.rsplit_once(": ") {
        Some((step, error)) if error.starts_with('E') => format!("{step}: `{error}`"),
        _ => outcome.to_owned(),
    }
}
