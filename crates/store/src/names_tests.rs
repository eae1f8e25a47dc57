// SPDX-License-Identifier: Apache-2.0
//! Tests of names: what a text means, and which image a name belongs to.

use super::*;

fn id(byte: u8) -> TreeId {
    TreeId::of_tar([byte; 32].into())
}

fn names() -> Names {
    let mut names = Names::default();
    names.give(id(1), "docker.io/library/redis:7");
    names.give(id(1), "docker.io/library/redis:latest");
    names.give(id(2), "quay.io/other/redis:7");
    names.give(id(2), "localhost/web:latest");
    names.of_mut(id(2)).digests.insert("quay.io/other/redis@sha256:00".into());
    names
}

#[test]
fn a_name_means_what_it_is_or_ends_with() {
    let names = names();
    let ids = |text: &str| -> Vec<_> {
        let mut ids: Vec<_> = names.find(text).into_iter().map(|(id, _)| id).collect();
        ids.dedup();
        ids
    };
    assert_eq!(ids("docker.io/library/redis:7"), [id(1)]);
    assert_eq!(ids("docker.io/library/redis"), [id(1)]);
    assert_eq!(ids("library/redis:7"), [id(1)]);
    assert_eq!(ids("redis"), [id(1)], "the tag is latest");
    assert_eq!(ids("redis:7"), [id(1), id(2)], "both");
    assert_eq!(ids("quay.io/other/redis@sha256:00"), [id(2)]);
    assert_eq!(ids("web"), [id(2)]);
    for none in ["eb", "edis:7", "redis:8", "", "docker.io/library/redis:", "/redis:7"] {
        assert_eq!(ids(none), [], "{none}");
    }
}

#[test]
fn a_name_belongs_to_one_image() {
    let mut names = names();
    names.give(id(2), "docker.io/library/redis:7");
    let of = |byte| names.of(id(byte)).unwrap().names.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of(1), ["docker.io/library/redis:latest"]);
    assert_eq!(of(2), ["docker.io/library/redis:7", "localhost/web:latest", "quay.io/other/redis:7"]);
}

#[test]
fn a_file_has_one_meaning() {
    let text = serde_json::to_string(&names()).unwrap();
    assert_eq!(serde_json::from_str::<Names>(&text).unwrap(), names());
    for bad in ["", "{}", r#"{"images": {"x": {}}}"#, r#"{"images": {}, "other": 1}"#] {
        assert!(serde_json::from_str::<Names>(bad).is_err(), "{bad}");
    }
}
