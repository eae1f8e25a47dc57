// SPDX-License-Identifier: Apache-2.0
//! Golden trees: a pod's manifests in, the plan out, compared file by file with `golden/CASE/expected`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p stage1-init --test golden` writes what is found; read the diff before it is kept.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pod::digest::Digest;
use pod::layout;
use pod::manifest::Manifest;
use stage1_init::load;
use stage1_init::plan::{Plan, plan};

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A pod directory with the case's manifests: `image-N.json` is the image that the pod names Nth.
fn pod_directory(case: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let manifest = fs::read(case.join("pod.json")).unwrap();
    fs::write(dir.path().join(layout::MANIFEST), &manifest).unwrap();
    let images: Vec<Digest> = Manifest::parse(&manifest).unwrap().images();
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

/// The plan as a tree of files.
fn tree(plan: &Plan) -> BTreeMap<String, String> {
    let mut tree = plan.files.clone();
    let links = plan.links.iter().map(|(path, target)| format!("{path} -> {target}\n"));
    tree.insert("LINKS".into(), links.collect());
    let mounts = plan.mounts.iter().map(|(rootfs, mount)| {
        format!("{rootfs} {} <- {}{}\n", mount.target, mount.source, if mount.read_only { " ro" } else { "" })
    });
    tree.insert("MOUNTS".into(), mounts.collect());
    tree.insert("NSPAWN".into(), plan.nspawn.iter().map(|word| format!("{word}\n")).collect());
    tree.insert("STDIN".into(), format!("{}\n", plan.stdin));
    tree
}

fn read_tree(root: &Path, below: &Path, into: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else { return };
    for entry in entries {
        let path = below.join(entry.unwrap().file_name());
        if root.join(&path).is_dir() {
            read_tree(root, &path, into);
        } else {
            into.insert(path.to_str().unwrap().to_owned(), fs::read_to_string(root.join(&path)).unwrap());
        }
    }
}

fn check(name: &str) {
    let case = cases().join(name);
    let directory = pod_directory(&case);
    let loaded = load(File::open(directory.path()).unwrap(), ID.parse().unwrap()).unwrap();
    let found = tree(&plan(&loaded, false));
    let expected_dir = case.join("expected");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let _ = fs::remove_dir_all(&expected_dir);
        for (path, content) in &found {
            fs::create_dir_all(expected_dir.join(path).parent().unwrap()).unwrap();
            fs::write(expected_dir.join(path), content).unwrap();
        }
    }
    let mut expected = BTreeMap::new();
    read_tree(&expected_dir, Path::new(""), &mut expected);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}: other files");
    for (path, content) in &found {
        assert_eq!(content, &expected[path], "{name}: {path} differs");
    }
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
