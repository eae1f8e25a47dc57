// SPDX-License-Identifier: Apache-2.0
//! Negative controls: for every check, one thing is changed, and the check must fail.

mod of_0_1;
mod of_0_8;
mod of_validator;

use std::collections::BTreeSet;

use serde_json::Value;
use testing::rootfs::Node;

use crate::subject::{Ground, Subject};
use crate::{pod_0_1, pod_0_8, validator};

/// The roles and the check that must fail there, and the change.
type Control = (&'static [&'static str], &'static str, fn(&mut Subject));

const MAIN: &[&str] = &["main"];
const SIDEKICK: &[&str] = &["sidekick"];
const PRE_START: &[&str] = &["pre-start"];
const POST_STOP: &[&str] = &["post-stop"];
const HANDLERS: &[&str] = &["pre-start", "post-stop"];

pub(crate) fn of_0_8() {
    let ground = Ground::new();
    run(&ground, pod_0_8::subject, of_0_8::CONTROLS);
}

pub(crate) fn of_0_1() {
    let ground = Ground::new();
    run(&ground, pod_0_1::subject, of_0_1::CONTROLS);
    for (roles, found, change) in of_0_1::ENVIRONMENT {
        let mut subject = pod_0_1::subject();
        change(&mut subject);
        fails(&ground, subject, roles, "environment", found);
    }
}

pub(crate) fn of_validator() {
    let ground = Ground::new();
    let with = |controls: &[Control]| [of_validator::OF_BOTH, controls].concat();
    run(&ground, validator::of_0_8, &with(of_validator::OF_0_8));
    run(&ground, validator::of_0_1, &with(of_validator::OF_0_1));
}

pub(crate) fn of_attacker() {
    let ground = Ground::new();
    for (roles, check, change) in of_validator::OF_ATTACKER {
        let mut subject = validator::attacker("shared");
        change(&mut subject);
        fails(&ground, subject, roles, check, "");
    }
}

/// Runs every control, and finds checks that have none.
fn run(ground: &Ground, new: fn() -> Subject, controls: &[Control]) {
    let checks = |subject: Subject| -> BTreeSet<(String, String)> {
        let roles = subject.expectations.as_object().unwrap().iter();
        roles
            .flat_map(|(role, checks)| {
                checks.as_object().unwrap().keys().map(|check| (role.clone(), check.clone()))
            })
            .collect()
    };
    let checks = checks(new());
    let controlled: BTreeSet<(String, String)> = controls
        .iter()
        .flat_map(|(roles, check, _)| roles.iter().map(|role| ((*role).to_owned(), (*check).to_owned())))
        .collect();
    let names = |all: &BTreeSet<(String, String)>| {
        all.iter().map(|(_, check)| check.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&checks), names(&controlled), "checks, and those with a control");
    // Handlers are distinguished from their app: they don't get everything that the app gets.
    let without = checks.difference(&controlled).filter(|(role, _)| HANDLERS.contains(&role.as_str()));
    assert_eq!(
        without.collect::<Vec<_>>(),
        Vec::<&(String, String)>::new(),
        "checks of handlers without a control"
    );
    for (roles, check, change) in controls {
        let mut subject = new();
        change(&mut subject);
        fails(ground, subject, roles, check, "");
    }
}

/// Checks that the check fails in these roles with `found` in its line, and that the pod fails with it.
fn fails(ground: &Ground, mut subject: Subject, roles: &[&str], check: &str, found: &str) {
    // Handlers that are not concerned check only the log, and leave what others look for: a pre-start handler that fails
    // would keep its app from running.
    for handler in HANDLERS.iter().filter(|handler| !roles.contains(handler)) {
        let checks = subject.expectations[handler].as_object_mut().unwrap();
        checks.retain(|check, _| check.starts_with("log") || check == "make");
    }
    let said = subject.run(ground);
    for role in roles {
        let failed = format!("not ok {role} {check}: ");
        assert!(
            said.output.lines().any(|line| line.starts_with(&failed) && line.contains(found))
                // Of a post-stop handler's failure the pod only warns.
                && (said.code != Some(0) || roles == POST_STOP),
            "{role} {check} {found} should fail, and the pod with it ({:?}):\n{}",
            said.code,
            said.output
        );
    }
}

fn app(subject: &mut Subject) -> &mut Value {
    &mut subject.images[0]["app"]
}

fn handlers(subject: &mut Subject) -> impl Iterator<Item = &mut Value> {
    app(subject)["eventHandlers"].as_array_mut().unwrap().iter_mut()
}

fn expect_of_handlers(subject: &mut Subject, check: &str, value: &Value) {
    for handler in HANDLERS {
        subject.expect(handler, check, value.clone());
    }
}

fn with_file(subject: &mut Subject, path: &str, content: &str) {
    subject.rootfs = subject.rootfs.clone().with(path, Node::File(0o644, content.into()));
}
