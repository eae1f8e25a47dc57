// SPDX-License-Identifier: Apache-2.0
//! Golden plans: a pod's manifests in, the plan out as `--dry-run` prints it, compared with `golden/CASE/expected`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p stage1-init --test golden` writes what is found; read the diff before it is kept.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use pod::id::TreeId;
use pod::isolators::CapabilitySet;
use pod::layers::Layers;
use pod::layout;
use pod::manifest::Manifest;
use pod::network::Mode;
use pod::path::RelativePath;
use stage1_init::dry_run::text;
use stage1_init::host::{Controllers, Host};
use stage1_init::ids::Ids;
use stage1_init::load;
use stage1_init::metadata::{Access, Form};
use stage1_init::network::Network;
use stage1_init::plan::{Options, plan};
use stage1_init::{Zone, ZoneLink};

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Where a case's trees are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// In the pod directory, one of each image.
    OneCopy,
    /// In the pod directory, each app with its own.
    Copies,
    /// In the store.
    Store,
}

/// The tree that the Nth image, or with 0 stage1, is in the store.
fn tree(index: usize) -> TreeId {
    TreeId::of_tar([0xe0 + u8::try_from(index).unwrap(); 32].into())
}

fn accounts(root: &Path, redis: u32) {
    let etc = root.join("etc");
    fs::create_dir_all(&etc).unwrap();
    // Somebody else has the same number, and is not who the manifests name.
    let passwd = format!("root:x:0:0:::\nother:x:{redis}:102::/other:\nredis:x:{redis}:102:::\n");
    fs::write(etc.join("passwd"), passwd).unwrap();
    fs::write(etc.join("group"), "root:x:0:\nredis:x:102:\n").unwrap();
}

/// A directory with the case's pod and images: `image-N.json` is the Nth image that the pod names.
fn home(case: &Path, layout: Layout) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let pod = home.path().join("containers").join(ID);
    fs::create_dir_all(pod.join(layout::STAGE1)).unwrap();
    let manifest = fs::read(case.join("pod.json")).unwrap();
    fs::write(pod.join(layout::MANIFEST), &manifest).unwrap();
    let in_store = |index| home.path().join(layout::TREES).join(tree(index).to_string()).join(layout::TREE);
    let mut images = Vec::new();
    for image in Manifest::parse(&manifest).unwrap().images() {
        if !images.contains(&image) {
            images.push(image);
        }
    }
    for (index, image) in images.iter().enumerate() {
        let directory = match layout {
            Layout::Store => in_store(index + 1),
            _ => pod.join(layout::STAGE1).join(layout::image(image)),
        };
        accounts(&directory.join(layout::IMAGE_ROOTFS), 101);
        let image_manifest = case.join(format!("image-{}.json", index + 1));
        fs::copy(image_manifest, directory.join(layout::IMAGE_MANIFEST)).unwrap();
    }
    if layout == Layout::Copies {
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        for app in manifest["apps"].as_array().unwrap() {
            let name = app["name"].as_str().unwrap().parse().unwrap();
            // What the app itself has changed counts for it alone.
            accounts(&pod.join(layout::STAGE1).join(layout::own_root(&name)), 201);
        }
    }
    if layout == Layout::Store {
        fs::create_dir_all(in_store(0)).unwrap();
        let images = images.iter().enumerate().map(|(index, image)| (*image, tree(index + 1))).collect();
        let layers = Layers::Overlay { stage1: tree(0), images };
        fs::write(pod.join(layout::LAYERS), layers.to_json()).unwrap();
    }
    home
}

/// A host that can do everything.
fn host() -> Host {
    Host {
        controllers: Controllers { cpu: true, memory: true, pids: true, io: true },
        capabilities: CapabilitySet::from_bits(u64::MAX),
        oom_score_adjust: 0,
        ids: None,
        network: Network { resolv_conf: Some("nameserver 192.0.2.1\n".into()), ..Network::default() },
        metadata: None,
        zone: Some(Zone {
            content: b"TZif2".to_vec(),
            link: Some(ZoneLink {
                target: "../usr/share/zoneinfo/Europe/Berlin".into(),
                file: RelativePath::from_bytes(b"usr/share/zoneinfo/Europe/Berlin").unwrap(),
            }),
        }),
        block_devices: vec!["8:0".into(), "254:0".into()],
    }
}

/// The network of a pod that is the first one of a host.
fn connected(pod: &pod::Pod) -> network::plan::Plan {
    network::plan::Plan {
        pod: pod.id,
        number: 9,
        v4: [10, 177, 0, 10].into(),
        v6: Some(network::addresses::v6(pod.id)),
        mtu: 1500,
        published: pod.published.clone(),
        is_known: !pod.network.aliases.is_empty(),
        forwards_v6: false,
        rate: pod.network_bandwidth.map(pod::isolators::Quantity::units),
    }
}

fn check_on(name: &str, expected: &str, host: &Host, layout: Layout, options: &Options) {
    let case = cases().join(name);
    let home = home(&case, layout);
    let pod = File::open(home.path().join("containers").join(ID)).unwrap();
    let loaded = load(pod, ID.parse().unwrap()).unwrap();
    // Only a host that can do everything has ids to give away.
    let can_give = host.network.resolv_conf.is_some();
    let ids = (can_give && !loaded.pod.has_hosts_users).then(|| Ids::new(0x4000_0000, loaded.pod.apps.len()));
    let is_connected = can_give && loaded.pod.network.mode == Mode::Private;
    let own = is_connected.then(|| connected(&loaded.pod));
    let network = Network { plan: own, ..host.network.clone() };
    // 0.1's form is the conventional address; a host that can do little gives the pod no service.
    let form = match loaded.documents.is_0_1 {
        true => Form::Conventional,
        false => Form::Token { token: "00112233445566778899aabbccddeeff".into(), on_host: false },
    };
    let metadata = can_give.then_some(Access { port: 16_925, form });
    let found = text(&plan(&loaded, &Host { ids, network, metadata, ..host.clone() }, options));
    let expected = case.join(expected);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&expected).unwrap(), "{} differs", expected.display());
}

fn check(name: &str) {
    check_on(name, "expected", &host(), Layout::OneCopy, &Options::default());
}

#[test]
fn two_apps_with_handlers_and_a_volume() {
    check("two-apps");
}

#[test]
fn names_that_only_0_1_has() {
    check("names-of-0.1");
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
    let options = Options { debug: true, failure_code: Some(254), ..Options::default() };
    check_on("isolators", "expected-on-a-poor-host", &Host::default(), Layout::OneCopy, &options);
}

#[test]
fn apps_of_one_image_in_each_layout() {
    for (expected, layout) in [
        ("expected", Layout::OneCopy),
        ("expected-with-copies", Layout::Copies),
        ("expected-with-a-store", Layout::Store),
    ] {
        check_on("shared-image", expected, &host(), layout, &Options::default());
    }
}
