// SPDX-License-Identifier: Apache-2.0
//! Removing pods: never one that runs, never across a mount, and never by halves.

use std::fs;

use gate::root_test;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use testing::image::script;
use testing::pods::Gantry;

use super::{STUBBORN, WAITS, id, prepare, refused, said};

fn is_empty(gantry: &Gantry, part: &str) -> bool {
    fs::read_dir(gantry.dir().join(part)).unwrap().next().is_none()
}

#[root_test]
fn a_running_pod_is_removed_only_by_force() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", WAITS));
    let name = id(&pod);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    refused(&gantry, &["rm", &name], &[&name, "is running", "stop", "rm --force"]);
    assert_eq!(super::status(&gantry, &pod)["state"], "running");
    assert_eq!(said(&gantry, &["rm", "--force", &name]), format!("removed {name}\n"));
    // The directory that it would be waited in is gone.
    assert!(!pod.exists() && is_empty(&gantry, "staging") && is_empty(&gantry, "containers"));
    drop(running);
    refused(&gantry, &["rm", &name], &["no pod", &name]);
}

#[root_test]
fn pods_that_do_not_run_are_removed() {
    let gantry = Gantry::new();
    let manifest = script("lives", "echo ran");
    let [prepared, exited, other] = [(); 3].map(|()| prepare(&gantry, &manifest));
    assert_eq!(gantry.start(&exited).wait().0, 0);
    let [first, second] = [id(&prepared), id(&exited)];
    let output = super::output(&gantry, &["rm", &first, "9999-none", &second]);
    assert_eq!(output.status.code(), Some(1), "one of them is no pod");
    assert_eq!(super::text(&output.stdout), format!("removed {first}\nremoved {second}\n"));
    assert!(!prepared.exists() && !exited.exists() && is_empty(&gantry, "staging"));
    assert_eq!(gantry.start(&other).wait().0, 0, "the others have what they need");
}

#[root_test]
fn nothing_is_removed_across_a_mount() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", STUBBORN));
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let on = pod.join("work");
    mount(Some("tmpfs"), &on, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write(on.join("canary"), "alive").unwrap();
    refused(&gantry, &["rm", &id(&pod)], &[&id(&pod), "work is a mount point"]);
    assert_eq!(fs::read(on.join("canary")).unwrap(), b"alive");
    nix::mount::umount(&on).unwrap();
    assert_eq!(super::status(&gantry, &pod)["state"], "prepared", "it stays as it was");
    said(&gantry, &["rm", &id(&pod)]);
    assert!(!pod.exists());
}
