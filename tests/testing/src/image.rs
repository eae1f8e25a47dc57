// SPDX-License-Identifier: Apache-2.0
//! Image manifests, as JSON that a test can change.

use serde_json::{Value, json};

/// Returns a manifest of this name, whose app runs `exec` as root.
pub fn manifest(name: &str, exec: &[&str]) -> Value {
    json!({
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": format!("example.com/{name}"),
        "labels": [{"name": "os", "value": "linux"}],
        "app": {"exec": exec, "user": "0", "group": "0"},
    })
}

/// Returns a manifest whose app is a shell script, run by busybox as the user `app`.
pub fn script(name: &str, script: &str) -> Value {
    let mut manifest = manifest(name, &["/bin/sh", "-c", script]);
    manifest["app"]["user"] = json!("app");
    manifest["app"]["group"] = json!("app");
    manifest
}

/// Adds a handler to the app that is a shell script.
#[must_use]
pub fn with_handler(mut manifest: Value, event: &str, script: &str) -> Value {
    let handler = json!({"name": event, "exec": ["/bin/sh", "-c", script]});
    match &mut manifest["app"]["eventHandlers"] {
        Value::Array(handlers) => handlers.push(handler),
        none => *none = json!([handler]),
    }
    manifest
}
