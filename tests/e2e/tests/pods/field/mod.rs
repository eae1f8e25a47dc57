// SPDX-License-Identifier: Apache-2.0
//! Pods as people have them: ordinary images that run at the first try, and callers with habits of their own. What is
//! imported or refused without a pod that runs is in the suite `data-directory`, in `field`.

mod descriptors;
mod hosts;
mod images;
mod notify;
mod runs;
mod sockets;

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

/// Returns a manifest whose app is a shell script that root runs.
fn roots(script: &str) -> Value {
    manifest("field", &["/bin/sh", "-c", script])
}

/// Runs a pod of busybox with this manifest to its end.
fn run(gantry: &Gantry, manifest: &Value, arguments: &[&str]) -> Output {
    run_tree(gantry, &Rootfs::busybox().unwrap(), manifest, arguments)
}

fn run_tree(gantry: &Gantry, tree: &Rootfs, manifest: &Value, arguments: &[&str]) -> Output {
    let image = gantry.image("field", tree, manifest);
    run_images(gantry, &[&image], arguments)
}

fn run_images(gantry: &Gantry, images: &[&Path], arguments: &[&str]) -> Output {
    let output = gantry.with_images("run", images, arguments).output().unwrap();
    gantry.wait_all();
    output
}

/// Checks that a pod ended well and has written this.
#[track_caller]
fn wrote(output: &Output, expected: &str) {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), out.as_str()), (Some(0), expected), "{error}");
}

/// Adds an app's annotation.
fn annotate(manifest: &mut Value, name: &str, value: &str) {
    let one = json!({"name": name, "value": value});
    match &mut manifest["app"]["annotations"] {
        Value::Array(all) => all.push(one),
        none => *none = json!([one]),
    }
}
