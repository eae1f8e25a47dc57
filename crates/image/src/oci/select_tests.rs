// SPDX-License-Identifier: Apache-2.0
//! Named cases of selecting an image in indices.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Documents in memory, by digest.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<BlobDigest, Vec<u8>>>);

impl Documents for Memory {
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        Ok(self.0.borrow()[&descriptor.digest].clone())
    }
}

impl Memory {
    fn add(&self, kind: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = BlobDigest::sha256(&bytes);
        let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        self.0.borrow_mut().insert(digest, bytes);
        descriptor
    }

    /// An image that is called `name` by an annotation of its manifest.
    fn image(&self, name: &str) -> Value {
        let config = json!({"mediaType": CONFIG, "digest": BlobDigest::sha256(b""), "size": 0});
        let annotations = json!({"name": name});
        self.add(
            MANIFEST,
            &json!({"schemaVersion": 2, "config": config, "layers": [], "annotations": annotations}),
        )
    }

    fn index(&self, manifests: &[Value]) -> Value {
        self.add(INDEX, &json!({"schemaVersion": 2, "manifests": manifests}))
    }

    fn selected(&self, index: &Value, platform: &str) -> Result<String, Error> {
        let descriptor: Descriptor = serde_json::from_value(index.clone()).unwrap();
        let selected = select(self, &descriptor, &platform.parse().unwrap())?;
        Ok(selected.manifest.annotations["name"].clone())
    }
}

fn of(mut descriptor: Value, platform: &str) -> Value {
    let parts: Vec<_> = platform.split('/').collect();
    descriptor["platform"] = json!({"os": parts[0], "architecture": parts[1]});
    if let Some(variant) = parts.get(2) {
        descriptor["platform"]["variant"] = json!(variant);
    }
    descriptor
}

#[test]
fn the_best_for_the_platform() {
    let all = Memory::default();
    let image = |platform: &str| of(all.image(platform), platform);
    let entries = [
        "windows/amd64",
        "linux/amd64/v3",
        "linux/amd64",
        "linux/amd64/v2",
        "linux/arm/v5",
        "linux/arm/v7",
        "linux/arm/v6",
        "linux/arm64",
        "linux/arm64/v8",
        "linux/386",
    ];
    let index = all.index(&entries.map(image));
    for (wanted, expected) in [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/amd64/v4", "linux/amd64/v3"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/v8", "linux/arm/v7"),
        ("linux/arm64", "linux/arm64/v8"),
        ("linux/arm64/v9", "linux/arm64/v8"),
        ("linux/386", "linux/386"),
    ] {
        assert_eq!(all.selected(&index, wanted).unwrap(), expected, "{wanted}");
    }
    let error = all.selected(&index, "linux/riscv64").unwrap_err();
    assert!(
        error.to_string().contains("no image for linux/riscv64: expected it among \"windows/amd64\""),
        "{error}"
    );
}

#[test]
fn what_is_no_image_is_never_chosen() {
    let all = Memory::default();
    let mut attestation = of(all.image("attestation"), "linux/amd64");
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let mut artifact = of(all.image("artifact"), "linux/amd64");
    artifact["artifactType"] = json!("application/x");
    let unknown = of(all.image("unknown"), "unknown/unknown");
    let mut other = of(all.image("other"), "linux/amd64");
    other["mediaType"] = json!("application/x");
    let none = all.index(&[attestation.clone(), artifact.clone(), unknown.clone(), other.clone()]);
    assert!(matches!(all.selected(&none, "linux/amd64"), Err(Error::NoPlatform { .. })));
    let image = of(all.image("image"), "linux/amd64");
    let index = all.index(&[attestation, artifact, unknown, other, image]);
    assert_eq!(all.selected(&index, "linux/amd64").unwrap(), "image");
}

#[test]
fn a_manifest_that_turns_out_to_be_an_artifact_is_passed_over() {
    let all = Memory::default();
    let config = json!({"mediaType": "application/x", "digest": BlobDigest::sha256(b""), "size": 0});
    let chart = all.add(MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": []}));
    let index = all.index(&[of(chart.clone(), "linux/amd64"), all.image("image")]);
    assert_eq!(all.selected(&index, "linux/amd64").unwrap(), "image");
    assert!(matches!(
        all.selected(&all.index(std::slice::from_ref(&chart)), "linux/amd64"),
        Err(Error::Artifact { .. })
    ));
    assert!(matches!(all.selected(&chart, "linux/amd64"), Err(Error::Artifact { .. })));
}

#[test]
fn nested_indices_are_followed_up_to_a_bound() {
    let all = Memory::default();
    let other = all.index(&[of(all.image("other"), "linux/arm64")]);
    let mut nested = all.index(&[of(all.image("image"), "linux/amd64")]);
    for depth in 0..8 {
        nested = all.index(&[other.clone(), nested]);
        match all.selected(&nested, "linux/amd64") {
            Ok(found) => assert!(found == "image" && depth < 4, "{depth}"),
            Err(error) => {
                assert!(error.to_string().contains("too many nested") && depth > 1, "{depth}: {error}")
            }
        }
    }
    let many: Vec<_> =
        (0..40).map(|number| all.index(&[of(all.image(&number.to_string()), "linux/arm64")])).collect();
    assert!(
        all.selected(&all.index(&many), "linux/amd64").unwrap_err().to_string().contains("too many nested")
    );
}

#[test]
fn a_manifest_for_the_platform_comes_before_one_that_names_none() {
    let all = Memory::default();
    let index = all.index(&[all.image("none"), of(all.image("named"), "linux/amd64")]);
    assert_eq!(all.selected(&index, "linux/amd64").unwrap(), "named");
    assert_eq!(all.selected(&index, "linux/arm64").unwrap(), "none");
    let empty = all.add(INDEX, &json!({"schemaVersion": 2, "manifests": null}));
    assert!(matches!(all.selected(&empty, "linux/amd64"), Err(Error::NoPlatform { .. })));
    assert_eq!(all.selected(&all.image("alone"), "linux/amd64").unwrap(), "alone");
}

#[test]
fn the_way_is_kept() {
    let all = Memory::default();
    let inner = all.index(&[all.image("image")]);
    let outer = all.index(std::slice::from_ref(&inner));
    let descriptor: Descriptor = serde_json::from_value(outer.clone()).unwrap();
    let selected = select(&all, &descriptor, &Platform::host()).unwrap();
    assert_eq!(json!(selected.indices), json!([outer["digest"], inner["digest"]]));
}
