// SPDX-License-Identifier: Apache-2.0
//! Tables of documents: what they are known for, and which are refused.

use super::*;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn index(media_type: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[]}}"#)
}

fn manifest(media_type: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{}},"layers":[]}}"#)
}

#[test]
fn documents_are_known_by_their_types_and_fields() {
    let bare_index = r#"{"schemaVersion":2,"manifests":[],"x":[1]}"#;
    let bare = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let cases = [
        (OCI, manifest(OCI), OCI, Kind::Manifest),
        (DOCKER, manifest(DOCKER), DOCKER, Kind::Manifest),
        (OCI_INDEX, index(OCI_INDEX), OCI_INDEX, Kind::Index),
        (DOCKER_LIST, index(DOCKER_LIST), DOCKER_LIST, Kind::Index),
        ("", manifest(DOCKER), DOCKER, Kind::Manifest),
        ("text/plain; charset=utf-8", index(OCI_INDEX), OCI_INDEX, Kind::Index),
        ("Application/vnd.oci.image.manifest.v1+JSON; charset=utf-8", manifest(OCI), OCI, Kind::Manifest),
        (OCI, bare.to_owned(), OCI, Kind::Manifest),
        (OCI_INDEX, bare_index.to_owned(), OCI_INDEX, Kind::Index),
        ("application/json", bare.to_owned(), OCI, Kind::Manifest),
        ("", bare_index.to_owned(), OCI_INDEX, Kind::Index),
        (OCI, r#"{"schemaVersion":2,"manifests":null,"layers":[]}"#.to_owned(), OCI, Kind::Manifest),
    ];
    for (header, body, name, kind) in cases {
        assert_eq!(known(header, body.as_bytes()).unwrap(), (name, kind), "{header} {body}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    let twice = format!(r#"{{"mediaType":"{OCI}","mediaType":"{OCI_INDEX}","layers":[]}}"#);
    let cases = [
        (OCI_INDEX, manifest(OCI), "its type is"),
        (DOCKER, manifest(OCI), "its type is"),
        (OCI_INDEX, index(OCI), "its type is"),
        ("", index(OCI), "is not what its type"),
        ("", manifest(OCI_INDEX), "is not what its type"),
        (OCI, both.to_owned(), "at once"),
        ("text/html", manifest(OCI), "its type is"),
        ("text/html", "<html>".to_owned(), "expected a manifest"),
        ("", "{}".to_owned(), "expected an image's manifest"),
        ("", "[]".to_owned(), "expected"),
        ("", String::new(), "expected"),
        (
            "application/vnd.oci.image.config.v1+json",
            "{}".to_owned(),
            "not \"application/vnd.oci.image.config",
        ),
        (OCI, twice, "expected a manifest"),
        (SCHEMA_1[1], "{}".to_owned(), "schema 1"),
        ("", r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "schema 1"),
    ];
    for (header, body, expected) in cases {
        let error = known(header, body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{header}: {error}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!(r#"{{"layers":{}{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(known(OCI, deep.as_bytes()).is_ok());
    assert!(known(OCI, &deep.as_bytes()[..1_000_000]).is_err());
}

#[test]
fn a_type_is_shown_on_one_line() {
    let error = known("text/\u{1b}[2Jhtml\n", b"x").unwrap_err().to_string();
    assert!(!error.contains(['\u{1b}', '\n']), "{error:?}");
}
