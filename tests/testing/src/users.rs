// SPDX-License-Identifier: Apache-2.0
//! Whose users the apps of tests' pods have: their own, as is usual, or with `GANTRY_TEST_USERS=host` the host's, unless a
//! test asks for others. The variable is for tests alone: no program of Gantry's reads it.

use std::fs;

use serde_json::{Value, json};

/// The variable.
const VARIABLE: &str = "GANTRY_TEST_USERS";
/// The annotation that says whose users a pod's are.
const ANNOTATION: &str = "gantry/users";
/// The options that say what a pod is made of, or whose users it has.
const MANIFEST: &str = "--pod-manifest";
const USERS: &str = "--userns";

/// Tells whether pods have the host's users.
///
/// A test whose meaning is that users are not the host's returns at once then; [`are_own`] says so.
///
/// # Panics
/// Panics if the variable asks for anything else.
pub fn are_hosts() -> bool {
    match std::env::var_os(VARIABLE) {
        None => false,
        Some(value) => {
            assert_eq!(value, "host", "{VARIABLE}: expected host, or nothing");
            true
        }
    }
}

/// Tells whether pods have users of their own. Elsewhere, a test that is about these has no meaning: it is skipped, which
/// it says on stderr.
pub fn are_own(test: &str) -> bool {
    if are_hosts() {
        crate::chance::say(&format!("skipped: {test} is about pods with users of their own"));
    }
    !are_hosts()
}

/// Adds to the options of a pod whose users it has, if tests ask for that and the options don't say it.
pub(crate) fn asked_for(options: &[&str]) -> Vec<String> {
    let mut all: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
    if !are_hosts() || options.iter().any(|option| option.starts_with(USERS)) {
        return all;
    }
    match options.iter().position(|option| *option == MANIFEST) {
        None => all.extend([USERS.to_owned(), "host".to_owned()]),
        // A caller that adds the path itself has the manifest as it is.
        Some(at) => all.get_mut(at + 1).into_iter().for_each(|manifest| *manifest = annotated(manifest)),
    }
    all
}

/// Writes a copy of a pod manifest that says whose users the pod has, and returns the path. A manifest that says it, or that
/// is none, stays as it is.
fn annotated(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let Ok(mut manifest) = serde_json::from_str::<Value>(&text) else { return path.to_owned() };
    let Some(object) = manifest.as_object_mut().filter(|_| !text.contains(ANNOTATION)) else {
        return path.to_owned();
    };
    let annotations = object.entry("annotations").or_insert_with(|| json!([]));
    let Some(annotations) = annotations.as_array_mut() else { return path.to_owned() };
    annotations.push(json!({"name": ANNOTATION, "value": "host"}));
    let copy = format!("{path}.host");
    fs::write(&copy, manifest.to_string()).expect("a manifest can be written");
    copy
}
