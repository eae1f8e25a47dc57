// SPDX-License-Identifier: Apache-2.0
//! Golden plans: a pod's manifests in, the plan out as `--dry-run` prints it, compared with `golden/CASE/expected`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p stage1-init --test golden` writes what is found; read the diff before it is kept.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pod::digest::Digest;
use pod::isolators::CapabilitySet;
use pod::layout;
use pod::manifest::Manifest;
use stage1_init::dry_run::text;
use stage1_init::host::{Controllers, Host};
use stage1_init::load;
use stage1_init::plan::plan;

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A pod directory with the case's manifests: `image-N.json` is the Nth image that the pod names.
fn pod_directory(case: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let manifest = fs::read(case.join("pod.json")).unwrap();
    fs::write(dir.path().join(layout::MANIFEST), &manifest).unwrap();
    let mut images: Vec<Digest> = Manifest::parse(&manifest).unwrap().images();
    images.dedup();
    for (index, image) in images.iter().enumerate() {
        let stage1 = dir.path().join(layout::STAGE1);
        let etc = stage1.join(layout::image_rootfs(image)).join("etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("passwd"), "root:x:0:0:::\nredis:x:101:102:::\n").unwrap();
        fs::write(etc.join("group"), "root:x:0:\nredis:x:102:\n").unwrap();
        let image_manifest = case.join(format!("image-{}.json", index + 1));
        fs::copy(image_manifest, stage1.join(layout::image_manifest(image))).unwrap();
    }
    dir
}

/// A host that can do everything.
fn host() -> Host {
    Host {
        controllers: Controllers { cpu: true, memory: true },
        capabilities: CapabilitySet::from_bits(u64::MAX),
        oom_score_adjust: 0,
        resolv_conf: Some("nameserver 192.0.2.1\n".into()),
    }
}

fn check_on(name: &str, expected: &str, host: &Host) {
    let case = cases().join(name);
    let directory = pod_directory(&case);
    let loaded = load(File::open(directory.path()).unwrap(), ID.parse().unwrap()).unwrap();
    let found = text(&plan(&loaded, host, false));
    let expected = case.join(expected);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&expected).unwrap(), "{} differs", expected.display());
}

fn check(name: &str) {
    check_on(name, "expected", &host());
}

#[test]
fn two_apps_with_handlers_and_a_volume() {
    check("two-apps");
}

#[test]
fn words_that_systemd_would_expand() {
    check("hostile-words");
}

#[test]
fn a_pod_manifest_of_0_8() {
    check("pod-0.8");
}

#[test]
fn everything_that_isolators_and_annotations_ask_for() {
    check("isolators");
}

#[test]
fn a_host_that_can_do_little_is_told_of() {
    check_on("isolators", "expected-on-a-poor-host", &Host::default());
}
