// SPDX-License-Identifier: Apache-2.0
//! Checks what apps see from within, with the conformance app as main app, its handlers and a sidekick, in pods of both
//! kinds of manifest.
//!
//! Every check has a negative control: a pod, or an expectation, that differs in one thing, so that just this check
//! must fail. So no check passes because it examines nothing.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]
#![recursion_limit = "256"] // json! recurses on what the apps are to see

mod controls;
mod pod_0_1;
mod pod_0_8;
mod subject;
mod validator;

use gate::root_test;
use testing::users;

#[root_test]
fn a_pod_of_0_8_is_as_its_manifest_says() {
    pod_0_8::subject().passes();
}

/// The suites pass with the host's users, too (`testing::users`); this is one of them, for every run.
#[root_test]
fn a_pod_with_the_hosts_users_is_as_its_manifest_says() {
    let mut subject = pod_0_8::subject();
    pod_0_8::give_hosts_users(&mut subject);
    subject.passes();
}

#[root_test]
fn a_pod_of_0_1_is_as_its_manifest_says() {
    pod_0_1::subject().passes();
}

#[root_test]
fn every_check_can_fail() {
    controls::of_0_8();
}

#[root_test]
fn every_check_of_0_1_can_fail() {
    // An option about users makes it a pod of 0.8, which has a control for each check, too.
    if !users::are_own("every_check_of_0_1_can_fail") {
        return;
    }
    controls::of_0_1();
}

#[root_test]
fn pods_of_both_versions_pass_what_stands_in_for_the_specifications_validator() {
    if !users::are_own("pods_of_both_versions_pass_what_stands_in_for_the_specifications_validator") {
        return;
    }
    for layout in ["overlay", "copy"] {
        for new in [validator::of_0_8, validator::of_0_1] {
            let mut subject = new();
            subject.arguments.extend(["--layout".to_owned(), layout.to_owned()]);
            subject.passes();
        }
    }
}

#[root_test]
fn every_check_of_the_validator_can_fail() {
    if !users::are_own("every_check_of_the_validator_can_fail") {
        return;
    }
    controls::of_validator();
    controls::of_attacker();
}

#[root_test]
fn an_app_can_neither_keep_the_metadata_service_from_others_nor_look_into_it() {
    for users in ["own", "shared", "host"] {
        validator::attacker(users).passes();
    }
}

#[root_test]
fn the_metadata_service_answers_in_each_network() {
    for network in ["none", "host"] {
        let mut subject = validator::of_0_8();
        validator::give_network(&mut subject, network);
        subject.passes();
    }
}

#[root_test]
fn on_a_terminal_an_app_has_the_terminal() {
    let mut subject = pod_0_1::subject();
    for role in ["main", "pre-start", "post-stop"] {
        subject.expect(role, "terminals", serde_json::json!([false, true, true]));
    }
    subject.passes_on_a_terminal();
}
