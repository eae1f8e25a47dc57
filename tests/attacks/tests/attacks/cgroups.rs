// SPDX-License-Identifier: Apache-2.0
//! Apps mount hierarchies of cgroup v1 that the host has: a process that mounts one can write to the caller's cgroup.

use std::fs;

use gate::root_test;

use crate::subject::{
    THROUGH, assert_said, attackers, in_pod, undefended, with_capabilities, with_hosts_users,
};

/// In a user namespace of the app's own, and without one.
const ATTACKS: [&str; 2] = ["cgroup-v1", "cgroup-v1-as-is"];

/// Returns the outcome where nothing stops the attacks: they get what the host has.
fn on_this_host() -> &'static str {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let has_v1 = own.lines().any(|line| !line.starts_with("0::"));
    if has_v1 { THROUGH } else { "the host has no cgroup v1" }
}

#[root_test]
fn no_app_mounts_cgroups_of_v1_without_the_capability() {
    let as_is = if on_this_host() == THROUGH { "mount cgroup: EPERM" } else { on_this_host() };
    assert_said(&in_pod(&attackers(), &ATTACKS, "overlay"), |_, attack| match attack {
        "cgroup-v1" => "unshare: EPERM".into(),
        _ => as_is.into(),
    });
}

/// Where an app may mount them, they are the host's, and nothing in them is the app's to write.
#[root_test]
fn an_app_with_the_capability_can_not_write_to_cgroups_of_v1() {
    let attacker = with_capabilities("admin", 0, "CAP_SYS_ADMIN");
    assert_said(&in_pod(&[attacker], &ATTACKS, "overlay"), |_, _| match on_this_host() {
        THROUGH => "open cgroup.procs: EACCES".into(),
        other => other.into(),
    });
}

/// This is what docs/security.md says of pods with the host's users.
#[root_test]
fn with_the_hosts_users_an_app_with_the_capability_mounts_cgroups_of_v1() {
    let attacker = with_capabilities("admin", 0, "CAP_SYS_ADMIN");
    assert_said(&with_hosts_users(&[attacker], &ATTACKS, "overlay"), |_, _| on_this_host().into());
}

#[root_test]
fn where_nothing_is_defended_user_namespaces_mount_cgroups_of_v1() {
    assert_said(&undefended(0, &ATTACKS), |_, _| on_this_host().into());
}
