// SPDX-License-Identifier: Apache-2.0
//! Checks the house's rules (ARCHITECTURE.md, "Code map"): which crate may use which, and what none may do.
//!
//! It reads the crates' manifests by `cargo metadata`, and their sources as text.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod circles;
mod nevers;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The crates of this workspace that each crate may use outside of its tests.
const ARROWS: [(&str, &[&str]); 27] = [
    ("pod", &[]),
    ("filter", &[]),
    ("sys", &["pod"]),
    ("network", &["pod", "sys"]),
    ("registry", &["pod"]),
    ("report", &["pod"]),
    ("archive", &["pod", "sys"]),
    ("store", &["archive", "pod", "report", "sys"]),
    ("image", &["archive", "pod", "report", "store", "sys"]),
    ("prepare", &["archive", "image", "pod", "registry", "report", "store", "sys"]),
    ("pods", &["pod", "report", "store", "sys"]),
    ("terminal", &["pod", "report", "sys"]),
    ("installer", &["archive", "image", "pod", "pods", "prepare", "report", "store", "sys", "terminal"]),
    ("manual", &["installer"]),
    ("onefile", &["installer", "sys"]),
    ("stage1-init", &["filter", "network", "pod", "sys"]),
    ("rootfs-build", &["archive", "pod", "report", "terminal"]),
    ("gate", &["gate-attribute", "network", "sys"]),
    ("gate-attribute", &[]),
    ("testing", &["gate", "pod", "rootfs-build"]),
    ("syscall-faults", &["pod", "testing"]),
    ("conformance", &[]),
    ("attacks", &[]),
    ("bench", &["pod", "testing"]),
    ("mutation-check", &["testing"]),
    ("house", &[]),
    ("e2e", &[]),
];

/// Crates that must not be linked into `/init`, which is in every stage1: decompressors, a parser of arguments, HTTP,
/// TLS.
const NEVER_IN_INIT: [&str; 12] = [
    "bzip2", "clap", "flate2", "hyper", "liblzma", "openssl", "reqwest", "rustls", "tar", "tokio", "ureq",
    "zstd",
];

/// The crates, apart from those of tests, that may use nix: for what rustix has no safe function for. Their manifests say
/// what that is.
const WITH_NIX: [&str; 3] = ["installer", "stage1-init", "sys"];

/// The workspace as cargo sees it.
struct Workspace {
    /// The package ids of the workspace's own crates, by name.
    own: BTreeMap<String, String>,
    /// The directories of these crates, from the repository's root.
    directories: Vec<String>,
    /// The package ids that a package depends on outside of tests.
    needs: BTreeMap<String, BTreeSet<String>>,
    /// Package names by id.
    names: BTreeMap<String, String>,
}

impl Workspace {
    fn read() -> Self {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .arg(format!("--filter-platform={}-unknown-linux-musl", std::env::consts::ARCH))
            .current_dir(testing::repository())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members: BTreeSet<_> = all["workspace_members"].as_array().unwrap().iter().map(text).collect();
        let packages = all["packages"].as_array().unwrap();
        let names: BTreeMap<_, _> =
            packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let manifest = |package: &Value| {
            let path = text(&package["manifest_path"]);
            let path = Path::new(&path).strip_prefix(testing::repository()).unwrap().parent().unwrap();
            path.to_str().unwrap().to_owned()
        };
        let is_own = |package: &&Value| members.contains(package["id"].as_str().unwrap());
        let directories = packages.iter().filter(is_own).map(manifest).collect();
        let own = members.iter().map(|id| (names[id].clone(), id.clone())).collect();
        let nodes = all["resolve"]["nodes"].as_array().unwrap();
        let needs = nodes.iter().map(|node| (text(&node["id"]), needs(node))).collect();
        Self { own, directories, needs, names }
    }

    /// Returns the names of all crates that a crate depends on, directly or through others.
    fn all_needs(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut ids = vec![&self.own[name]];
        while let Some(id) = ids.pop() {
            ids.extend(self.needs[id].iter().filter(|need| found.insert(self.names[*need].as_str())));
        }
        found
    }
}

/// Returns the dependencies of a node that are neither for tests nor for building.
fn needs(node: &Value) -> BTreeSet<String> {
    let kinds = |dependency: &Value| {
        dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
    };
    let all = node["deps"].as_array().unwrap().iter();
    all.filter(|one| kinds(one)).map(|one| one["pkg"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn crates_use_what_is_below_them() {
    let workspace = Workspace::read();
    for (name, allowed) in ARROWS {
        let direct = workspace.needs[&workspace.own[name]].iter().map(|id| workspace.names[id].as_str());
        let wrong: Vec<_> =
            direct.filter(|used| workspace.own.contains_key(*used) && !allowed.contains(used)).collect();
        assert_eq!(wrong, Vec::<&str>::new(), "{name} must not use these");
    }
    let known: BTreeSet<_> = ARROWS.iter().map(|(name, _)| *name).chain(["fuzz"]).collect();
    let found: BTreeSet<_> = workspace.own.keys().map(String::as_str).collect();
    assert_eq!(found, known, "each crate has a line in ARROWS");
}

#[test]
fn init_links_no_decoder_no_http_and_no_parser_of_arguments() {
    let workspace = Workspace::read();
    let linked = workspace.all_needs("stage1-init");
    assert!(linked.contains("rustix"), "what it links is found: {linked:?}");
    let wrong: Vec<_> = NEVER_IN_INIT.iter().filter(|name| linked.contains(**name)).collect();
    assert_eq!(wrong, Vec::<&&str>::new());
}

#[test]
fn http_is_spoken_by_one_crate() {
    let workspace = Workspace::read();
    let speaks = |id: &String| {
        let mut names = workspace.needs[id].iter().map(|need| workspace.names[need].as_str());
        names.any(|name| ["rustls", "ureq"].contains(&name))
    };
    let found: Vec<_> =
        workspace.own.iter().filter(|(_, id)| speaks(id)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, ["registry"]);
}

#[test]
fn what_speaks_to_the_network_decodes_nothing() {
    let workspace = Workspace::read();
    let linked = workspace.all_needs("registry");
    assert!(linked.contains("rustls"), "what it links is found: {linked:?}");
    let decoders = ["archive", "brotli", "bzip2", "flate2", "liblzma", "ruzstd", "tar", "xz2", "zstd"];
    let wrong: Vec<_> = decoders.into_iter().filter(|name| linked.contains(name)).collect();
    assert_eq!(wrong, Vec::<&str>::new());
}

#[test]
fn nix_is_where_rustix_has_nothing() {
    let workspace = Workspace::read();
    let uses = |name: &str| {
        let mut needs = workspace.needs[&workspace.own[name]].iter();
        needs.any(|need| workspace.names[need] == "nix")
    };
    let shipped = ARROWS.iter().map(|(name, _)| *name).take_while(|name| *name != "gate");
    let mut found: Vec<_> = shipped.filter(|name| uses(name)).collect();
    found.sort_unstable();
    assert_eq!(found, WITH_NIX);
}

#[test]
fn sys_does_not_use_anyhow() {
    let workspace = Workspace::read();
    assert!(!workspace.all_needs("sys").contains("anyhow"), "sys must not use anyhow");
}
