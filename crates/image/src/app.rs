// SPDX-License-Identifier: Apache-2.0
//! An image's app with another program or other arguments.
//!
//! | | an OCI image | an image of appc |
//! |---|---|---|
//! | a program | replaces `Entrypoint`, `Cmd` is dropped | replaces `exec` |
//! | arguments | replace `Cmd` | are added to `exec`, or to the program |

use serde_json::{Value, json};
use store::fault::Fault;
use sys::in_root::{InRoot, is_missing};

use crate::manifest;
use crate::oci::app::{Overrides, app};
use crate::oci::{CONFIG, Config, DOCUMENT_MAX, Failure};

/// Returns the app of the image in a tree, as a pod manifest has it; `None` if it has none.
///
/// # Errors
/// If the image's manifest or configuration can't be read.
pub fn app_with(tree: &InRoot, overrides: &Overrides) -> Result<Option<Value>, Failure> {
    match tree.read_file(CONFIG, DOCUMENT_MAX) {
        Ok(bytes) => {
            let config = Config::parse(CONFIG, &bytes)?.config;
            Ok(app("its configuration", &config, overrides)?)
        }
        Err(error) if is_missing(&error) => {
            let text = manifest::bytes(tree)?;
            let invalid = |error| Fault::content(format!("manifest: {error}"));
            let mut manifest: Value = serde_json::from_slice(&text).map_err(invalid)?;
            Ok(of_manifest(manifest["app"].take(), overrides))
        }
        Err(error) => Err(Fault::from(error).at("cannot read the configuration").into()),
    }
}

fn of_manifest(mut app: Value, Overrides { program, arguments }: &Overrides) -> Option<Value> {
    if app.is_null() {
        program.as_ref()?;
        app = json!({"user": "0", "group": "0"});
    }
    if let Some(program) = program {
        app["exec"] = json!(program);
    }
    if let Some(arguments) = arguments {
        if app["exec"].is_null() {
            app["exec"] = json!([]);
        }
        app["exec"].as_array_mut()?.extend(arguments.iter().map(|word| json!(word)));
    }
    Some(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_added_and_a_program_replaces() {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let exec = |app: Value, program: &[&str], arguments: &[&str]| {
            let given = |list: &[&str]| if list.is_empty() { None } else { words(list) };
            let overrides = Overrides { program: given(program), arguments: given(arguments) };
            of_manifest(app, &overrides).map(|app| app["exec"].clone())
        };
        let app = json!({"exec": ["/a", "b"], "user": "7", "group": "0"});
        assert_eq!(exec(app.clone(), &[], &[]), Some(json!(["/a", "b"])));
        assert_eq!(exec(app.clone(), &[], &["c"]), Some(json!(["/a", "b", "c"])));
        assert_eq!(exec(app.clone(), &["/x"], &[]), Some(json!(["/x"])));
        assert_eq!(exec(app, &["/x"], &["c"]), Some(json!(["/x", "c"])));
        assert_eq!(exec(Value::Null, &["/x"], &["c"]), Some(json!(["/x", "c"])));
        assert_eq!(exec(Value::Null, &[], &["c"]), None);
        for none in [json!({"user": "7"}), json!({"exec": null}), json!({"exec": []})] {
            assert_eq!(exec(none.clone(), &["/x"], &["c"]), Some(json!(["/x", "c"])));
            assert_eq!(exec(none, &[], &["/x", "c"]), Some(json!(["/x", "c"])));
        }
    }
}
