// SPDX-License-Identifier: Apache-2.0
//! A program of an app's has exactly what the pod's manifest says: capabilities, ids, groups, no-new-privileges, filters,
//! limits. Pods are generated, run, and compared with what their apps read in /proc about themselves.

mod expect;
mod generate;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use fastrand::Rng;
use gate::root_test;
use testing::chance::seed;
use testing::image::manifest;
use testing::pods::{Gantry, image_id, text};
use testing::rootfs::Rootfs;

use expect::Host;
use generate::App;

const PODS: usize = 12;
const APPS: usize = 8;
/// How many pods run at a time.
const THREADS: usize = 3;

fn everybodys(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    fs::set_permissions(directory, Permissions::from_mode(0o777)).unwrap();
}

/// Runs a pod, and returns what its programs have in another way than expected.
fn differences(gantry: &Gantry, image: &Path, apps: &[App], number: usize, host: &Host) -> Vec<String> {
    let out = gantry.beside(&format!("out-{number}"));
    for app in apps {
        ["app", "pre-start"].iter().for_each(|program| everybodys(&out.join(&app.name).join(program)));
    }
    let written = generate::manifest(apps, &image_id(image), &out);
    let path = gantry.beside(&format!("pod-{number}.json"));
    fs::write(&path, written.to_string()).unwrap();
    let init = testing::changed_init();
    let mut arguments = vec!["--pod-manifest", path.to_str().unwrap()];
    arguments.extend(init.iter().map(String::as_str));
    let pod = gantry.prepare(&[image], &arguments);
    let (code, output) = gantry.start(&pod).wait();
    let mut all = Vec::new();
    if code != 0 {
        all.push(format!("code {code}: {}", text(&output.stderr)));
    }
    for (index, app) in apps.iter().enumerate() {
        let expected = expect::expected(app, index, apps.len(), host);
        for program in ["app"].into_iter().chain(app.has_handler.then_some("pre-start")) {
            let found = expect::found(&out.join(&app.name).join(program));
            let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
            let different = names.filter(|name| expected.get(*name) != found.get(*name));
            let line =
                |name: &String| format!("{name}: {:?}, expected {:?}", found.get(name), expected.get(name));
            let lines: Vec<_> = different.map(line).collect();
            if !lines.is_empty() {
                all.push(format!(
                    "{program} of {app:#?} has\n{}\n{}",
                    lines.join("\n"),
                    text(&output.stderr)
                ));
            }
        }
    }
    all
}

#[root_test]
fn programs_have_exactly_what_manifests_say() {
    let seed = seed("exact");
    let gantry = Gantry::new();
    let image = gantry.image("exact", &Rootfs::busybox().unwrap(), &manifest("exact", &["true"]));
    let host = Host::look();
    let run = |number: usize| {
        let mut rng = Rng::with_seed(seed.wrapping_add(number as u64));
        let apps = generate::pod(&mut rng, APPS);
        let found = differences(&gantry, &image, &apps, number, &host);
        found.into_iter().map(move |found| format!("pod {number}: {found}")).collect::<Vec<_>>()
    };
    let found: Vec<_> = thread::scope(|scope| {
        let run = &run;
        let share =
            |first| scope.spawn(move || (first..PODS).step_by(THREADS).flat_map(run).collect::<Vec<_>>());
        let threads: Vec<_> = (0..THREADS).map(share).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    gantry.wait_all();
    assert!(found.is_empty(), "GANTRY_SEED={seed}: {} differences: {}", found.len(), found[0]);
}
