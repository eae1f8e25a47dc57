// SPDX-License-Identifier: Apache-2.0
//! Random manifests → rendered units → parsed by the real systemd of stage1 → equal to what was meant.
//!
//! The generator records what it means beside the manifest that it writes, without using any code that renders. What
//! systemd's dump does not show is tested elsewhere: command prefixes (`:`, `+`) in `stage1_init`'s golden plans,
//! `NoNewPrivileges=` and everything else that an app can see in the conformance tests.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "the harness takes what a test says")]

mod compare;
mod generate;
mod oracle;

use std::collections::BTreeMap;
use std::thread;

use fastrand::Rng;
use gate::root_test;
use pod::manifest::{ImageManifest, Manifest};
use pod::user::Person;
use pod::{Accounts, Pod, layout};
use stage1_init::host::{Controllers, Host};
use stage1_init::plan::{Options, Plan, plan};
use stage1_init::{Documents, Loaded, Store, Tree};
use testing::chance::seed;

use generate::Meant;
use oracle::Oracle;

const MANIFESTS: usize = 10_000;
const THREADS: usize = 2;
/// The number of pods in a batch: systemd takes longer to start than to read a unit.
const BATCH: usize = 125;

/// Makes the plan for a generated manifest, as `/init` does.
fn plan_of(meant: &Meant) -> Plan {
    let images = meant.images.iter().map(|(id, image)| {
        let image = ImageManifest::parse(image.to_string().as_bytes());
        (*id, image.unwrap_or_else(|error| panic!("{error}: {meant:#?}")))
    });
    let images: BTreeMap<_, _> = images.collect();
    let manifest = Manifest::parse(meant.manifest.to_string().as_bytes());
    let manifest = manifest.unwrap_or_else(|error| panic!("{error}: {meant:#?}"));
    let pod = Pod::assemble(meant.id, &manifest, &images);
    let pod = pod.unwrap_or_else(|error| panic!("{error}: {meant:#?}"));
    let credentials = meant.apps.iter().map(|app| {
        let person = Person { name: app.uid.to_string(), home: "/".into(), shell: "/bin/sh".into() };
        let person = pod.apps.iter().any(|app| app.names_user).then_some(person);
        let found = pod.apps.iter().find(|found| found.name.as_str() == app.name);
        let supplementary = found.map(|found| found.supplementary_gids.clone()).unwrap_or_default();
        (app.name.parse().unwrap(), Accounts { uid: app.uid, gid: app.gid, supplementary, person })
    });
    let host = Host {
        controllers: Controllers { cpu: true, memory: true, pids: true, io: true },
        capabilities: pod::isolators::CapabilitySet::from_bits(u64::MAX),
        ..Host::default()
    };
    let trees = pod.apps.iter().map(|app| (app.name.clone(), Tree::Own(layout::image_rootfs(&app.image))));
    let trees = trees.collect();
    let (credentials, store) = (credentials.collect(), Store::default());
    plan(
        &Loaded {
            pod,
            credentials,
            stage1: None,
            trees,
            hosts: BTreeMap::new(),
            documents: Documents::default(),
            store,
        },
        &host,
        &Options::default(),
    )
}

/// Generates manifests and compares them. Returns the number of units, and their differences.
fn compare_some(oracle: &Oracle, seed: u64, manifests: usize) -> (usize, Vec<String>) {
    let mut rng = Rng::with_seed(seed);
    let (mut units, mut differences) = (0, Vec::new());
    for _ in 0..manifests / BATCH {
        let mut names = generate::Names::default();
        let batch: Vec<_> = (0..BATCH).map(|_| generate::pod(&mut rng, &mut names)).collect();
        let plans: Vec<_> = batch.iter().map(plan_of).collect();
        let parsed = oracle.parse(&plans);
        differences.extend(parsed.complaints.clone());
        for (meant, plan) in batch.iter().zip(&plans) {
            for app in &meant.apps {
                let (compared, found) = compare::app(app, meant.is_limited(), plan, &parsed);
                units += compared;
                if !found.is_empty() {
                    differences.push(format!("{found:#?}\nof {app:#?}\nin {}", meant.manifest));
                }
            }
        }
    }
    (units, differences)
}

#[root_test]
fn systemd_reads_what_manifests_mean() {
    let seed = seed("round trip");
    let oracle = Oracle::new();
    let (mut units, mut differences) = (0, Vec::new());
    thread::scope(|scope| {
        let share = |number| {
            let oracle = &oracle;
            scope.spawn(move || compare_some(oracle, seed.wrapping_add(number), MANIFESTS / THREADS))
        };
        let threads: Vec<_> = (0..THREADS as u64).map(share).collect();
        for thread in threads {
            let (compared, found) = thread.join().unwrap();
            units += compared;
            differences.extend(found);
        }
    });
    println!("{MANIFESTS} manifests, {units} units, {} differences", differences.len());
    assert!(units > 2 * MANIFESTS, "{units} units");
    assert!(differences.is_empty(), "seed {seed}: {}", differences[0]);
}

/// Makes changes to a rendered unit that the comparison must notice: the oracle really reads it.
#[root_test]
fn systemd_notices_what_was_not_meant() {
    let mut rng = Rng::with_seed(1);
    let oracle = Oracle::new();
    for (directive, otherwise) in [
        ("CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_FLY"),
        ("CapabilityBoundingSet=", "CapabilityBoundingSet="),
        ("TimeoutStopSec=", "TimeoutStopSec=soon"),
        ("TimeoutStopSec=", "TimeoutStopSec=1234567"),
        ("StandardInput=", "StandardInput=file:/etc/passwd"),
        ("ExecStart=", "ExecStart=:/usr/lib/gantry/launch \"x"),
        ("ExecStopPost=", "ExecStopPost=:+/usr/lib/gantry/status app another"),
        ("UMask=", "UMask=0"),
        ("Conflicts=", "Conflicts=halt.target"),
        ("TasksMax=", "TasksMax=all"),
    ] {
        let meant = generate::pod(&mut rng, &mut generate::Names::default());
        let mut plan = plan_of(&meant);
        let path = format!("etc/systemd/system/app-{}.service", meant.apps[0].name);
        let unit = &mut plan.files.get_mut(&path).unwrap().content;
        let lines = unit.lines().map(|line| if line.starts_with(directive) { otherwise } else { line });
        *unit = lines.map(|line| format!("{line}\n")).collect();
        let parsed = oracle.parse(std::slice::from_ref(&plan));
        let (_, found) = compare::app(&meant.apps[0], meant.is_limited(), &plan, &parsed);
        assert!(!found.is_empty() || !parsed.complaints.is_empty(), "{otherwise} went unnoticed");
    }
}
