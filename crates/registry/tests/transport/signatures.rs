// SPDX-License-Identifier: Apache-2.0
//! Signed images: the policy's keys against what stands in the repository.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use registry::policy::Image;
use registry::{Decision, Error, Policy, Signatures};

use super::*;

/// A registry with a manifest and cosign's signature of `signed` by `key`, as the image `a/b:1`.
fn signing(key: &KeyPair, signed: BlobDigest) -> Server {
    let image = format!(r#"{{"docker-manifest-digest":"{signed}"}}"#);
    let identity = r#"{"docker-reference":"registry.example/a/b:1"}"#;
    let critical =
        format!(r#"{{"identity":{identity},"image":{image},"type":"cosign container image signature"}}"#);
    let payload = format!(r#"{{"critical":{critical},"optional":null}}"#);
    let signature = BASE64_STANDARD.encode(key.sign(payload.as_bytes()).unwrap());
    let digest = BlobDigest::sha256(payload.as_bytes());
    let layer = format!(
        r#"{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"{digest}","size":{},
        "annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}}}}"#,
        payload.len()
    );
    let document = format!(r#"{{"schemaVersion":2,"config":{{}},"layers":[{layer}]}}"#);
    let tag = format!("/v2/a/b/manifests/sha256-{}.sig", BlobDigest::sha256(MANIFEST.as_bytes()).hex());
    Server::start(move |seen| {
        if seen.path == tag {
            return Reply::new(200, document.clone()).with("Content-Type", OCI);
        }
        if seen.path == format!("/v2/a/b/blobs/{digest}") {
            return Reply::new(200, payload.clone());
        }
        if seen.path == "/v2/a/b/manifests/1" { just_manifests(seen) } else { Reply::new(404, "") }
    })
}

/// What a policy with this key asks for.
fn required(key: &KeyPair) -> Signatures {
    assert!(!key.der_bytes().is_empty());
    let data = BASE64_STANDARD.encode(key.public_key_pem());
    let text = format!(r#"{{"default":[{{"type":"sigstoreSigned","keyData":"{data}"}}]}}"#);
    let policy = Policy::parse("policy.json".as_ref(), text.as_bytes()).unwrap();
    let reference = plan(&[]).reference;
    match policy.decide(&Image::Registry(&reference)).unwrap() {
        Decision::Signed(signatures) => signatures,
        Decision::Accept => panic!("a signature is needed"),
    }
}

fn verify(server: &Server, required: &Signatures) -> Result<(), Error> {
    let notes = Notes::default();
    let client = Client::new(options(), &notes);
    let plan = plan(&[server]);
    let pull = client.pull(&plan);
    let manifest = pull.manifest().unwrap();
    pull.verify(required, &[manifest.digest])
}

#[test]
fn a_signed_image_is_accepted() {
    let key = KeyPair::generate().unwrap();
    let server = signing(&key, BlobDigest::sha256(MANIFEST.as_bytes()));
    verify(&server, &required(&key)).unwrap();
}

#[test]
fn another_key_another_manifest_and_no_signature_are_rejected() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let digest = BlobDigest::sha256(MANIFEST.as_bytes());
    let unsigned =
        Server::start(
            |seen| if seen.path.ends_with("/1") { just_manifests(seen) } else { Reply::new(404, "") },
        );
    let cases = [
        (signing(&other, digest), "a signature is not of one of its keys"),
        (signing(&key, BlobDigest::sha256(b"other")), "another manifest is signed, sha256:"),
        (unsigned, "it has no signature"),
    ];
    for (server, expected) in cases {
        let error = verify(&server, &required(&key)).unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error}");
        let error = error.to_string();
        assert!(error.starts_with("registry.example/a/b:1: policy.json does not allow it: "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn signatures_that_can_not_be_fetched_are_no_signatures_that_are_missing() {
    let key = KeyPair::generate().unwrap();
    let server =
        Server::start(
            |seen| if seen.path.ends_with("/1") { just_manifests(seen) } else { Reply::new(403, "") },
        );
    let error = verify(&server, &required(&key)).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().starts_with("cannot fetch the manifest sha256-"), "{error}");
}
