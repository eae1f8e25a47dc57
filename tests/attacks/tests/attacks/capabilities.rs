// SPDX-License-Identifier: Apache-2.0
//! What each capability reaches: an app for each, which has it and no other, tries everything that some capability permits.
//! docs/capabilities.md is written from what is measured here.
//!
//! No try does harm: permission is asked for before anything happens, and then the arguments are wrong, or what happens
//! is over with the process, or with the test's own files and namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use gate::root_test;
use serde_json::{Value, json};
use testing::repository;

use crate::documents::check;
use crate::kinds::{self, App, Pod};
use crate::probes::{ALL, CAPABILITIES, OPTIONAL, PROBES, Probe, Reach};
use crate::subject::{THROUGH, undefended};

const PAGE: &str = "docs/capabilities.md";
/// A capability that only a security module asks for which this suite doesn't need. An app that has it has none.
const NONE: &str = "CAP_MAC_OVERRIDE";

/// What is permitted by capability, and what needs none.
struct Permitted {
    by: BTreeMap<&'static str, BTreeSet<&'static str>>,
    anyway: BTreeSet<&'static str>,
}

fn is_permitted(probe: &Probe, outcome: &str) -> bool {
    let counts = |error: &&str| outcome == format!("{}: {error}", probe.name);
    outcome == THROUGH || probe.counts.iter().any(counts)
}

/// Runs an app for each of these capabilities.
fn measure(annotations: &Value, capabilities: &[&'static str]) -> Permitted {
    let names: Vec<_> = capabilities.iter().map(|name| name.to_lowercase().replace('_', "-")).collect();
    let retain = |name: &str| json!({"name": "os/linux/capabilities-retain-set", "value": {"set": [name]}});
    let apps = capabilities.iter().zip(&names);
    let apps: Vec<_> =
        apps.map(|(name, app)| App { name: app, isolators: vec![retain(name)], ..kinds::root() }).collect();
    let probes: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
    // The victim's user is none of the apps'.
    let said = Pod::start(annotations, 7, &apps, &probes).end();
    let permitted = |app: &String| -> BTreeSet<_> {
        let is = |probe: &&Probe| is_permitted(probe, &said[&(app.clone(), probe.name.to_owned())]);
        PROBES.iter().filter(is).map(|probe| probe.name).collect()
    };
    let mut by: BTreeMap<_, _> =
        capabilities.iter().zip(&names).map(|(name, app)| (*name, permitted(app))).collect();
    let anyway = by[NONE].clone();
    by.values_mut().for_each(|set| set.retain(|probe| !anyway.contains(probe)));
    Permitted { by, anyway }
}

/// What a capability permits, by how far it reaches: ``pod: `kill` ``.
fn shown(permitted: &BTreeSet<&str>, reach: impl Fn(&Probe) -> Reach) -> String {
    let mut parts = Vec::new();
    for (is, called) in [(Reach::App, "app"), (Reach::Pod, "pod"), (Reach::Host, "**host**")] {
        let all = PROBES.iter().filter(|probe| permitted.contains(probe.name) && reach(probe) == is);
        let names: Vec<_> = all.map(|probe| format!("`{}`", probe.name)).collect();
        if !names.is_empty() {
            parts.push(format!("{called}: {}", names.join(", ")));
        }
    }
    if parts.is_empty() { "nothing".into() } else { parts.join("; ") }
}

/// Returns tries that this machine has nothing for.
fn missing() -> Vec<&'static str> {
    let names: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
    let outside = undefended(0, &names);
    let stopped =
        PROBES.iter().filter(|probe| !is_permitted(probe, &outside[&("-".into(), probe.name.into())]));
    let stopped: Vec<_> = stopped.map(|probe| probe.name).collect();
    let wrong: Vec<_> = stopped.iter().filter(|name| !OPTIONAL.iter().any(|(one, _)| one == *name)).collect();
    assert!(wrong.is_empty(), "control: root outside of pods can't do {wrong:?}: {outside:#?}");
    stopped
}

#[root_test]
fn every_capability_reaches_what_the_page_says() {
    let missing = missing();
    let (own, host) = (json!([]), json!([{"name": "gantry/users", "value": "host"}]));
    let all: Vec<_> = CAPABILITIES.iter().map(|(name, _)| *name).collect();
    let (own, host) = (measure(&own, &all), measure(&host, &all));
    // In a network of the pod's own, every user binds every port.
    assert_eq!(own.anyway, BTreeSet::from(["bind-low-port"]));
    assert_eq!(host.anyway, own.anyway);
    let mut table =
        String::from("| capability | is for | usual pod | with `--userns=host` |\n|---|---|---|---|\n");
    for (name, what) in CAPABILITIES {
        let not = OPTIONAL.iter().filter(|(probe, of)| of == name && missing.contains(probe));
        let not: String = not.map(|(probe, _)| format!("; not measured: `{probe}`")).collect();
        let own = shown(&own.by[name], |probe| probe.own);
        let host = shown(&host.by[name], |probe| probe.host);
        writeln!(table, "| {name} | {what} | {own} | {host}{not} |").unwrap();
    }
    // Another machine than this one may have measured more, or less.
    let page = fs::read_to_string(repository().join(PAGE)).unwrap();
    let is_other =
        |probe: &str| missing.contains(&probe) != page.contains(&format!("not measured: `{probe}`"));
    let depends = |row: &str| OPTIONAL.iter().any(|(probe, of)| *of == row && is_other(probe));
    check(PAGE, "capabilities", &table, depends);
    for (probe, of) in OPTIONAL.iter().filter(|(probe, _)| !missing.contains(probe)) {
        assert!(host.by[of].contains(probe), "{of}: {probe}");
    }
}

/// The network is the host's for every app then; what it permits is still a matter of whose the users are.
#[root_test]
fn capabilities_over_the_hosts_network_need_the_hosts_users() {
    let of_network = ["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW", NONE];
    let net = json!({"name": "gantry/net", "value": "host"});
    let own = measure(&json!([net]), &of_network);
    let host = measure(&json!([net, {"name": "gantry/users", "value": "host"}]), &of_network);
    let mut table =
        String::from("| capability | with `--net=host` | with `--net=host --userns=host` |\n|---|---|---|\n");
    for name in &of_network[..3] {
        let [own, host] = [&own, &host].map(|one| shown(&one.by[name], |_| Reach::Host));
        writeln!(table, "| {name} | {own} | {host} |").unwrap();
    }
    check(PAGE, "network", &table, |_| false);
}

#[test]
fn every_capability_is_in_the_table_once() {
    let names: BTreeSet<_> = CAPABILITIES.iter().map(|(name, _)| *name).collect();
    assert_eq!((names.len(), CAPABILITIES.len()), (ALL, ALL));
}
