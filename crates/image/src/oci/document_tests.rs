// SPDX-License-Identifier: Apache-2.0
//! Named cases of documents.

use pod::blob::BlobDigest;
use serde_json::{Value, json};

use super::*;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn descriptor(kind: &str) -> Value {
    json!({"mediaType": kind, "digest": BlobDigest::sha256(kind.as_bytes()), "size": 3})
}

fn index() -> Value {
    json!({"schemaVersion": 2, "manifests": [descriptor(OCI_MANIFEST)]})
}

fn manifest() -> Value {
    json!({"schemaVersion": 2, "config": descriptor(OCI_CONFIG), "layers": [descriptor(OCI_LAYER)]})
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

fn parse(document: &Value, announced: Option<&str>) -> Result<Document, Error> {
    Document::parse("document", document.to_string().as_bytes(), announced)
}

#[test]
fn what_is_accepted() {
    let own = |document, kind: &str| with(document, "mediaType", json!(kind));
    for (case, document, announced, is_index) in [
        ("an index by its fields", index(), None, true),
        ("a manifest by its fields", manifest(), None, false),
        ("an index by its own type", own(index(), OCI_INDEX), None, true),
        ("a list of Docker's", own(index(), DOCKER_LIST), Some(DOCKER_LIST), true),
        ("a manifest of Docker's", own(manifest(), DOCKER_MANIFEST), Some(DOCKER_MANIFEST), false),
        ("a type that was announced alone", manifest(), Some(OCI_MANIFEST), false),
        (
            "a type with a parameter",
            own(manifest(), OCI_MANIFEST),
            Some(&format!("{OCI_MANIFEST}; charset=utf-8")),
            false,
        ),
        ("a type that says nothing", own(manifest(), OCI_MANIFEST), Some("application/json"), false),
        ("manifests that are null", with(index(), "manifests", json!(null)), None, true),
        ("layers that are null", with(manifest(), "layers", json!(null)), None, false),
        ("annotations that are null", with(manifest(), "annotations", json!(null)), None, false),
        ("an artifactType that is empty", with(manifest(), "artifactType", json!("")), None, false),
        ("unknown fields", with(manifest(), "subject", descriptor(OCI_MANIFEST)), None, false),
    ] {
        let parsed = parse(&document, announced).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(matches!(parsed, Document::Index(_)), is_index, "{case}");
    }
}

#[test]
fn what_is_refused() {
    let both = with(index(), "config", descriptor(OCI_CONFIG));
    for (case, document, announced, why) in [
        ("index and manifest in one", both.clone(), None, "in one"),
        ("the same with a type", with(both, "mediaType", json!(OCI_INDEX)), Some(OCI_INDEX), "in one"),
        ("manifests null beside layers", with(manifest(), "manifests", json!(null)), None, "in one"),
        (
            "another type than announced",
            with(manifest(), "mediaType", json!(OCI_MANIFEST)),
            Some(DOCKER_MANIFEST),
            "as it was announced",
        ),
        ("a manifest that says index", with(manifest(), "mediaType", json!(OCI_INDEX)), None, "no manifests"),
        ("an index announced as manifest", index(), Some(OCI_MANIFEST), "no config"),
        ("neither", json!({"schemaVersion": 2}), None, "neither"),
        (
            "an unknown type",
            with(manifest(), "mediaType", json!("text/html\u{1b}")),
            None,
            "text/html\\u{1b}",
        ),
        ("schema 1 by its number", json!({"schemaVersion": 1, "fsLayers": []}), None, "schema 1"),
        (
            "schema 1 as announced",
            manifest(),
            Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
            "schema 1",
        ),
        ("fields of schema 1", with(manifest(), "fsLayers", json!([])), None, "another schema"),
        ("schema 3", with(manifest(), "schemaVersion", json!(3)), None, "expected 2"),
        ("no schema", with(manifest(), "schemaVersion", json!(null)), None, "expected 2"),
        ("no config", with(manifest(), "config", json!(null)), None, "no config"),
        ("an artifact", with(manifest(), "artifactType", json!("application/x")), None, "artifact of type"),
        (
            "a config of another type",
            with(manifest(), "config", descriptor("application/vnd.cncf.helm.config.v1+json")),
            None,
            "helm",
        ),
        (
            "an encrypted layer",
            with(manifest(), "layers", json!([descriptor(&format!("{OCI_LAYER}+encrypted"))])),
            None,
            "not encrypted",
        ),
        (
            "a layer that is no tar",
            with(manifest(), "layers", json!([descriptor("text/plain")])),
            None,
            "expected a tar",
        ),
        (
            "a negative size",
            with(manifest(), "config", with(descriptor(OCI_CONFIG), "size", json!(-1))),
            None,
            "u64",
        ),
        (
            "a digest with a path",
            with(manifest(), "config", with(descriptor(OCI_CONFIG), "digest", json!("sha256:../x"))),
            None,
            "invalid digest",
        ),
        (
            "a large config",
            with(manifest(), "config", with(descriptor(OCI_CONFIG), "size", json!(DOCUMENT_MAX + 1))),
            None,
            "at most",
        ),
        (
            "many layers",
            with(manifest(), "layers", json!(vec![descriptor(OCI_LAYER); 1025])),
            None,
            "at most 1024",
        ),
        ("no object", json!([2]), None, "expected an object"),
    ] {
        let error = parse(&document, announced).expect_err(case).to_string();
        assert!(error.contains(why), "{case}: {error}");
        assert!(error.contains("document") && !error.contains(char::is_control), "{case}: {error}");
    }
}

#[test]
fn bytes_that_are_no_document() {
    let long = [b"{\"a\":\"".to_vec(), vec![b'x'; 4 << 20], b"\"}".to_vec()].concat();
    let deep = [b"{\"schemaVersion\":2,\"a\":".to_vec(), vec![b'['; 100_000]].concat();
    for (case, bytes, why) in [
        ("nothing", &b""[..], "invalid JSON"),
        ("a long document", &long, "at most 4194304"),
        ("a deep document", &deep, "recursion"),
        ("a key twice", br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#, "duplicate key"),
        ("more than one", b"{\"schemaVersion\":2}{}", "invalid JSON"),
        ("no UTF-8", b"{\"\xff\":1}", "invalid JSON"),
    ] {
        let error = Document::parse("document", bytes, None).expect_err(case).to_string();
        assert!(error.contains(why), "{case}: {error}");
    }
}
