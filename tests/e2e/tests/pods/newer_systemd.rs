// SPDX-License-Identifier: Apache-2.0
//! Some of this suite's tests, run again with Debian 13's systemd. `make test CODENAME=trixie` runs all of them.

use std::env;
use std::process::Command;

use gate::root_test;
use testing::newer;
use testing::rootfs::Rootfs;

use testing::pods::text;

/// What differs between versions of systemd and nspawn: how a pod starts, what is mounted and set for its apps, how it
/// ends.
const TESTS: &[&str] = &[
    "apps::an_app_is_started_again_as_its_annotation_says",
    "apps::an_app_that_is_always_started_again_ends_with_the_pod",
    "containment::a_pod_of_an_app_with_every_capability_calls_nothing_that_stage1_leaves_out",
    "containment::stage1_is_read_only_in_the_pod",
    "network::a_published_port_is_reached_and_goes_with_the_pod",
    "run::ends::an_apps_exit_code_is_the_pods",
    "run::ends::handlers_run_around_the_app",
    "run::ends::the_first_failing_app_decides",
    "run::given::limits_are_the_pods_own_and_not_the_callers",
    "run::given::stdio_is_the_callers_own",
    "run::leftovers::an_app_that_fails_and_leaves_a_child_ends_the_pod_with_its_code",
    "run::restarts::nothing_limits_how_often_an_app_and_its_handlers_start",
    "run::places::an_app_has_its_root_user_and_directory",
    "run::places::devices_work_in_dev_alone_and_nothing_is_made_there",
    "run::starts::nothing_is_left_of_a_pod_however_it_ends",
    "run::starts::sigterm_stops_a_pod_in_order_and_it_starts_again",
    "stop::to_ask_again_changes_nothing",
    "users::apps_can_not_reach_each_other_or_systemd",
    "users::users_of_apps_are_nobody_on_the_host_and_to_each_other",
    "users::with_the_hosts_users_root_is_root_and_every_id_there_is",
];

#[root_test]
fn a_pod_is_the_same_with_debian_13s_systemd() {
    // Fetched here: the tests below have no network from which a server is reached.
    Rootfs::busybox().unwrap();
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.env("GANTRY_TEST_STAGE1", newer::stage1().unwrap()).arg("--exact").args(TESTS);
    let output = gate::with_machines_network(|| tests.output()).unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let passed = format!("test result: ok. {} passed; 0 failed; 0 ignored", TESTS.len());
    assert!(said.contains(&passed), "{said}");
}
