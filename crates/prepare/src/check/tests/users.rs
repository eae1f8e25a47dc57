// SPDX-License-Identifier: Apache-2.0
//! The variables about an app's user in the environment of a pod of 0.1, whose values come from the image.

use serde_json::json;

use super::Case;

fn passwd(line: &str) -> Case {
    Case::new().file("etc/passwd", 0o644, line.as_bytes())
}

#[test]
fn a_user_whose_environment_the_kernel_does_not_take_is_refused() {
    let long = "x".repeat(200_000);
    let entry = |name: &str, home: &str, shell: &str| passwd(&format!("{name}:x:4242:0::{home}:{shell}\n"));
    for (case, variable) in [
        (entry("u", &long, "/sh"), "HOME"),
        (entry("u", "/", &long), "SHELL"),
        (entry(&long, "/", "/sh"), "LOGNAME"),
    ] {
        case.good();
        case.names_user().bad(&[&format!("environment variable \"{variable}\" of 200"), "at most 131071"]);
    }
    let one = entry("u", &long, "/sh").names_user();
    one.app("environment", json!([{"name": "HOME", "value": "/"}])).good();
    let word = "x".repeat(131_000);
    let together = entry("u", &word, &word).names_user();
    let mut exec = vec![word; 14];
    exec.insert(0, "/bin/run".into());
    together.app("exec", json!(exec)).bad(&["arguments and environment of \"/bin/run\" take"]);
}
