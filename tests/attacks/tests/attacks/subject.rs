// SPDX-License-Identifier: Apache-2.0
//! Attackers: the program `attack` in pods, as apps of every kind, and in a root that defends nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use testing::image::manifest;
use testing::launcher::{Launcher, Pods};
use testing::pods::{Gantry, image_id};
use testing::rootfs::{Node, Rootfs};

use crate::programs::programs;

/// A user that no attacker is.
const OTHER: u32 = 7;
/// The outcome of an attack that got through.
pub(crate) const THROUGH: &str = "got through";

/// An app that attacks.
#[derive(Clone, Debug)]
pub(crate) struct Attacker {
    /// Its name, by which its outcomes are found in [`Said`].
    pub(crate) name: String,
    /// Its user and group.
    pub(crate) user: u32,
    /// Its isolators, as in a manifest.
    pub(crate) isolators: Vec<Value>,
    /// Whether its root is read-only.
    pub(crate) read_only: bool,
}

/// The outcomes by app and attack.
pub(crate) type Said = BTreeMap<(String, String), String>;

/// Returns attackers as users 0 and 1000; with appc's default capabilities, with CAP_KILL alone, and without new
/// privileges; with a writable and with a read-only root.
pub(crate) fn attackers() -> Vec<Attacker> {
    let no_new_privileges = json!({"name": "os/linux/no-new-privileges", "value": true});
    let isolators =
        [("default", vec![]), ("kill", vec![retain("CAP_KILL")]), ("no-new", vec![no_new_privileges])];
    let mut attackers = Vec::new();
    for user in [0, 1000] {
        for (kind, isolators) in &isolators {
            for (root, read_only) in [("rw", false), ("ro", true)] {
                let name = format!("u{user}-{kind}-{root}");
                attackers.push(Attacker { name, user, isolators: isolators.clone(), read_only });
            }
        }
    }
    attackers
}

/// Returns an attacker with exactly these capabilities, separated by blanks.
pub(crate) fn with_capabilities(name: &str, user: u32, capabilities: &str) -> Attacker {
    Attacker { name: name.into(), user, isolators: vec![retain(capabilities)], read_only: false }
}

fn retain(capabilities: &str) -> Value {
    let set: Vec<_> = capabilities.split(' ').collect();
    json!({"name": "os/linux/capabilities-retain-set", "value": {"set": set}})
}

/// Runs attackers side by side in one pod. Each makes all attacks, one after the other.
pub(crate) fn in_pod(attackers: &[Attacker], attacks: &[&str], layout: &str) -> Said {
    in_pod_with(&json!([]), attackers, attacks, layout)
}

/// Does the same in a pod whose users are the host's.
pub(crate) fn with_hosts_users(attackers: &[Attacker], attacks: &[&str], layout: &str) -> Said {
    let host = json!([{"name": "gantry/users", "value": "host"}]);
    in_pod_with(&host, attackers, attacks, layout)
}

fn in_pod_with(annotations: &Value, attackers: &[Attacker], attacks: &[&str], layout: &str) -> Said {
    let (gantry, pod) = pod_with(annotations, attackers, attacks, layout);
    let (code, output) = gantry.start(&pod).wait();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    // Warned of: an attacker that is given more than an app's own users can have, and whose processes nothing limits.
    let is_known =
        |line: &str| line.contains("only the pod's own users") || line.contains("no pids controller");
    let others: Vec<_> = errors.lines().filter(|line| !is_known(line)).collect();
    assert!(code == 0 && others.is_empty(), "{code}: {errors}{said}");
    let said = parse(&said);
    assert_eq!(said.len(), attackers.len() * attacks.len(), "outcomes that were said: {said:#?}");
    said
}

/// Prepares the pod for [`in_pod`].
pub(crate) fn pod_of(attackers: &[Attacker], attacks: &[&str], layout: &str) -> (Gantry, PathBuf) {
    pod_with(&json!([]), attackers, attacks, layout)
}

fn pod_with(
    annotations: &Value,
    attackers: &[Attacker],
    attacks: &[&str],
    layout: &str,
) -> (Gantry, PathBuf) {
    let gantry = Gantry::new();
    let image = gantry.image("attack", &rootfs(), &manifest("attack", &["/attack"]));
    let id = image_id(&image);
    let exec: Vec<_> = ["/attack"].iter().chain(attacks).collect();
    let apps = attackers.iter().map(|attacker| {
        let Attacker { name, user, isolators, read_only } = attacker;
        let user = user.to_string();
        json!({
            "name": name, "image": {"id": id}, "readOnlyRootFS": read_only,
            "app": {"exec": exec, "user": user, "group": user, "isolators": isolators},
        })
    });
    let apps: Vec<Value> = apps.collect();
    let pod = gantry.beside("pod.json");
    let manifest =
        json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps, "annotations": annotations});
    fs::write(&pod, manifest.to_string()).unwrap();
    let arguments = ["--layout", layout, "--pod-manifest", pod.to_str().unwrap()];
    let prepared = gantry.prepare(&[&image], &arguments);
    (gantry, prepared)
}

/// Moves a root over the host's, which stays below it as it is, as pods' roots once were. Its own /proc and /sys are
/// masked. It has processes, IPC and a name of its own, and no terminal, lest an attack harms the host. If attacks look
/// for a victim, there is one.
const UNDEFENDED: &str = r#"
set -e
mount --bind "$1" /mnt
mount --rbind /dev /mnt/dev
mount -t proc proc /mnt/proc
mount --bind /sys /mnt/sys
mount --bind /mnt/proc/sys /mnt/proc/sys
mount -o remount,bind,ro /mnt/proc/sys
mount -o remount,bind,ro /mnt/sys
cd /mnt
mount --move . /
user=$2
shift 2
[ -z "$ATTACK_VICTIM" ] || chroot . /attack --as "$ATTACK_VICTIM" --stay >/dev/null &
exec setsid --wait chroot --userspec=$user:$user --groups= . /attack "$@""#;

/// Makes the attacks in a root that defends nothing, as the control.
pub(crate) fn undefended(user: u32, attacks: &[&str]) -> Said {
    let gantry = Gantry::new();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--ipc", "--uts"])
        .args(["sh", "-c", UNDEFENDED, "sh"])
        .arg(root(&gantry))
        .arg(user.to_string())
        .args(attacks)
        .env_remove("AC_APP_NAME")
        .env("ATTACK_VICTIM", "victim")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8(output.stdout).unwrap())
}

/// Makes the attacks as an app of the user 1000 that the launcher starts outside of any pod, with the pod's root where
/// `pods` says. `beside` is added to the launch file.
pub(crate) fn launched(pods: Pods, beside: &Value, attacks: &[&str]) -> Said {
    let gantry = Gantry::new();
    let output = gantry.beside("output");
    let launcher = Launcher::start_where(pods, &root(&gantry), &File::create(&output).unwrap());
    let exec: Vec<_> = ["/attack"].iter().chain(attacks).collect();
    let mut launch = json!({
        "app": "a", "root": Launcher::ROOT, "exec": exec, "directory": "/", "environment": {},
        "users": "shared", "user": Launcher::USER, "group": Launcher::USER,
    });
    launch.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    let code = launcher.launch(&launch);
    let said = fs::read_to_string(output).unwrap();
    assert_eq!(code, Some(0), "{pods:?}: {said}");
    parse(&said)
}

/// Writes the tree to disk, with mount points.
pub(crate) fn root(gantry: &Gantry) -> PathBuf {
    let root = gantry.beside("root");
    for (name, node, owner) in nodes() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = match node {
            Node::Directory(mode) => {
                fs::create_dir_all(&path).unwrap();
                mode
            }
            Node::File(mode, content) => {
                fs::write(&path, content).unwrap();
                mode
            }
            Node::Link(_) => unreachable!(),
        };
        chown(&path, Some(owner), Some(owner)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    for name in ["dev", "proc", "sys"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    root
}

/// Parses lines of the form `APP ATTACK: OUTCOME`.
pub(crate) fn parse(said: &str) -> Said {
    let line = |line: &str| {
        let (who, outcome) = line.split_once(": ")?;
        let (app, attack) = who.split_once(' ')?;
        Some(((app.to_owned(), attack.to_owned()), outcome.to_owned()))
    };
    said.lines().map(|text| line(text).unwrap_or_else(|| panic!("not an outcome: {text:?}"))).collect()
}

/// Fails with all outcomes that are not `expected`.
pub(crate) fn assert_said(said: &Said, expected: impl Fn(&str, &str) -> String) {
    let wrong: Vec<_> = said
        .iter()
        .map(|((app, attack), outcome)| (app, attack, outcome, expected(app, attack)))
        .filter(|(_, _, outcome, expected)| *outcome != expected)
        .collect();
    assert!(wrong.is_empty(), "app, attack, what came of it, what was expected: {wrong:#?}");
}

pub(crate) fn rootfs() -> Rootfs {
    nodes().into_iter().fold(Rootfs::default(), |tree, (name, node, owner)| tree.owned(&name, node, owner))
}

/// Returns the tree: the program `attack`, programs that it runs, and files for it, each with its path and owner.
fn nodes() -> Vec<(String, Node, u32)> {
    let attack = fs::read(testing::program("attack")).unwrap();
    let file = |mode| Node::File(mode, b"content".into());
    let named = |(name, node, owner): (&str, Node, u32)| (name.to_owned(), node, owner);
    let nodes = [
        ("tmp", Node::Directory(0o1777), 0),
        ("attack", Node::File(0o755, attack.clone()), 0),
        ("other", Node::File(0o4755, attack), OTHER),
        // What the host's root would execute, if this were stage1.
        ("init", file(0o755), 0),
        ("files/own", file(0o644), 0),
        ("files/closed", file(0), OTHER),
        ("files/others", file(0o444), OTHER),
        ("files/shared", Node::Directory(0o2777), OTHER),
    ];
    let calls = programs().into_iter();
    let calls = calls.map(|(name, content)| (format!("calls/{name}"), Node::File(0o755, content), 0));
    nodes.map(named).into_iter().chain(calls).collect()
}
