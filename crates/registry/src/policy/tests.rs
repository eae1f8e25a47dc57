// SPDX-License-Identifier: Apache-2.0
//! Tables of policies: what is decided, and which files are refused.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{KeyPair, PublicKeyData};

use super::scope::Layout;
use super::*;
use crate::reference::Reference;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn policy(text: &str) -> Result<Policy, Error> {
    Policy::parse(Path::new("/etc/containers/policy.json"), text.as_bytes())
}

fn key() -> String {
    let key = KeyPair::generate().unwrap();
    assert!(!key.der_bytes().is_empty());
    BASE64_STANDARD.encode(key.public_key_pem())
}

/// `accept`, `signed`, or the error's end.
fn decided(policy: &Policy, image: &Image<'_>) -> String {
    match policy.decide(image) {
        Ok(Decision::Accept) => "accept".to_owned(),
        Ok(Decision::Signed(signatures)) => format!("signed ({})", signatures.scope),
        Err(error) => {
            let error = error.to_string();
            error.rsplit_once("does not allow it: ").map(|(_, end)| end.to_owned()).unwrap_or(error)
        }
    }
}

#[test]
fn the_narrowest_scope_counts() {
    let (accept, reject) = (r#"[{"type":"insecureAcceptAnything"}]"#, r#"[{"type":"reject"}]"#);
    let signed = format!(r#"[{{"type":"sigstoreSigned","keyData":"{}"}}]"#, key());
    let text = format!(
        r#"{{"default":{reject},"transports":{{
        "docker":{{"docker.io":{accept},"docker.io/library/redis":{reject},"docker.io/library/redis:7":{accept},
            "quay.io/signed":{signed},"quay.io/pgp":[{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}}],
            "quay.io/both":[{{"type":"insecureAcceptAnything"}},{{"type":"reject"}}],
            "*.corp.example":{accept},"*.bad.corp.example":{reject},"a.b/c@sha256:{HEX}":{reject},"a.b/c":{accept},"a.b/d@sha256:{HEX}":{accept},"a.b/d:old":{reject}}},
        "oci":{{"":{reject},"/srv/images":{accept},"/srv/images/x:old":{reject},"/srv/images/signed":{signed}}},
        "docker-archive":{{"":{accept}}}}}}}"#
    );
    let policy = policy(&text).unwrap();
    let digest = format!("a.b/c:1@sha256:{HEX}");
    let pinned = ["old", "new"].map(|tag| format!("a.b/d:{tag}@sha256:{HEX}"));
    let cases = [
        ("docker.io/nginx", "accept"),
        ("docker.io/redis:6", "it says reject (scope docker:docker.io/library/redis)"),
        ("index.docker.io/library/redis:6", "it says reject (scope docker:docker.io/library/redis)"),
        ("DOCKER.io:443/redis", "it says reject (scope docker:docker.io/library/redis)"),
        ("docker.io/redis:7", "accept"),
        ("docker.io/redisx", "accept"),
        ("quay.io/signed/x", "signed (scope docker:quay.io/signed)"),
        (
            "quay.io/pgp/x",
            "it asks for OpenPGP signatures (signedBy), which is not supported (scope docker:quay.io/pgp)",
        ),
        ("quay.io/both", "it says reject (scope docker:quay.io/both)"),
        ("quay.io/other", "it says reject (default)"),
        ("x.corp.example/a", "accept"),
        ("x.bad.corp.example/a", "it says reject (scope docker:*.bad.corp.example)"),
        ("corp.example/a", "it says reject (default)"),
        (&digest, &format!("it says reject (scope docker:a.b/c@sha256:{HEX})")),
        ("a.b/c:1", "accept"),
        (&pinned[0], &format!("it says reject (scope docker:a.b/d@sha256:{HEX} and docker:a.b/d:old)")),
        (&pinned[1], "accept"),
    ];
    for (image, expected) in cases {
        assert_eq!(
            decided(&policy, &Image::Registry(&Reference::parse(image).unwrap())),
            expected,
            "{image}"
        );
    }
    let layout = |path, name| Image::Layout { transport: Layout::Oci, path: Path::new(path), name };
    let cases = [
        (layout("/srv/images/x", Some("new")), "accept"),
        (layout("/srv/images/x", Some("old")), "it says reject (scope oci:/srv/images/x:old)"),
        (layout("/srv/imagesx", None), "it says reject (default of oci)"),
        (
            layout("/srv/images/signed", None),
            "it asks for a signature, and only an image of a registry has one (scope oci:/srv/images/signed)",
        ),
        (Image::DockerArchive(Path::new("/x.tar")), "accept"),
        (Image::Other(Path::new("/x.aci")), "it says reject (default)"),
    ];
    for (image, expected) in cases {
        assert_eq!(decided(&policy, &image), expected, "{image}");
    }
}

#[test]
fn a_refusal_is_one_line_that_names_image_file_and_scope() {
    let policy = policy(r#"{"default":[{"type":"reject"}]}"#).unwrap();
    let error = policy.decide(&Image::Other(Path::new("/a\n\u{1b}b"))).unwrap_err().to_string();
    assert_eq!(
        error,
        "/a\\u{a}\\u{1b}b: /etc/containers/policy.json does not allow it: it says reject (default)"
    );
}

#[test]
fn what_is_not_understood_wholly_is_refused() {
    let accept = r#"{"type":"insecureAcceptAnything"}"#;
    let sigstore = |fields: &str| format!(r#"{{"default":[{{"type":"sigstoreSigned",{fields}}}]}}"#);
    let data = format!(r#""keyData":"{}""#, key());
    let scope = |transport: &str, scope: &str| {
        format!(r#"{{"default":[{accept}],"transports":{{"{transport}":{{"{scope}":[{accept}]}}}}}}"#)
    };
    let all = [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"default":[]}"#.to_owned(),
        r#"{"default":{}}"#.to_owned(),
        format!(r#"{{"default":[{accept}],"new":1}}"#),
        format!(r#"{{"default":[{accept}],"default":[{accept}]}}"#),
        format!(r#"{{"default":[{accept}]}} x"#),
        r#"{"default":[{"type":"maybe"}]}"#.to_owned(),
        r#"{"default":[{}]}"#.to_owned(),
        r#"{"default":["reject"]}"#.to_owned(),
        r#"{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}"#.to_owned(),
        r#"{"default":[{"type":"reject","why":"x"}]}"#.to_owned(),
        r#"{"default":[{"type":"signedBy","keyTyp":"GPGKeys"}]}"#.to_owned(),
        format!(r#"{{"default":[{accept}],"transports":[]}}"#),
        format!(r#"{{"default":[{accept}],"transports":{{"docker":{{"a.b":[]}}}}}}"#),
        scope("docker", "docker://a.b"),
        scope("docker", "a.b/"),
        scope("oci", "relative"),
        scope("oci", "/a/../b"),
        scope("dir", "/a/"),
        scope("docker-archive", "/a"),
        sigstore(r#""x":1"#),
        sigstore(r#""keyData":"junk!""#),
        sigstore(r#""keyPath":"/nonexistent/key""#),
        sigstore(r#""keyPaths":[]"#),
        sigstore(&format!(r#"{data},"keyPath":"/nonexistent/key""#)),
        sigstore(&format!(r#"{data},"signedIdentity":{{"type":"any"}}"#)),
        sigstore(&format!(r#"{data},"signedIdentity":{{"type":"matchExact","x":"y"}}"#)),
        sigstore(&format!(r#"{data},"signedIdentity":{{"type":"exactReference"}}"#)),
        sigstore(&format!(r#"{data},"signedIdentity":{{"type":"exactReference","dockerReference":"x"}}"#)),
        sigstore(&format!(r#"{data},"signedIdentity":{{"type":"remapIdentity","prefix":"x"}}"#)),
    ];
    for text in all {
        let error = policy(&text).expect_err(&text).to_string();
        assert!(error.starts_with("/etc/containers/policy.json: "), "{error}");
    }
}

#[test]
fn known_things_that_can_not_be_checked_refuse_their_images_alone() {
    for (fields, expected) in [
        (r#""fulcio":{"caData":"x"}"#.to_owned(), "Fulcio"),
        (format!(r#""keyData":"{}","rekorPublicKeyData":"x""#, key()), "Rekor"),
        (r#""pki":{}"#.to_owned(), "certificates (pki)"),
    ] {
        let text = format!(
            r#"{{"default":[{{"type":"insecureAcceptAnything"}}],"transports":{{"docker":{{"a.b":[{{"type":"sigstoreSigned",{fields}}}]}}}}}}"#
        );
        let policy = policy(&text).unwrap();
        let (bad, good) = (Reference::parse("a.b/c").unwrap(), Reference::parse("d.e/c").unwrap());
        assert!(decided(&policy, &Image::Registry(&bad)).contains(expected));
        assert_eq!(decided(&policy, &Image::Registry(&good)), "accept");
    }
}

#[test]
fn names_in_signatures_fit_as_the_policy_says() {
    let remap =
        |prefix: &str, signed: &str| Identity::Remap { prefix: prefix.to_owned(), signed: signed.to_owned() };
    let digest = format!("a.b/c@sha256:{HEX}");
    let both = format!("a.b/c:1@sha256:{HEX}");
    let cases = [
        (Identity::Exact, "a.b/c:1", "a.b/c:1", true),
        (Identity::Exact, "a.b/c:1", "a.b/c:2", false),
        (Identity::Exact, "a.b/c:1", "a.b/c", false),
        (Identity::Exact, "docker.io/redis:7", "index.docker.io/library/redis:7", true),
        (Identity::Exact, &digest, &digest, true),
        (Identity::Exact, &digest, "a.b/c", false),
        (Identity::RepositoryDigestOrExact, "a.b/c:1", "a.b/c:1", true),
        (Identity::RepositoryDigestOrExact, "a.b/c:1", "a.b/c", false),
        (Identity::RepositoryDigestOrExact, "a.b/c:1", &digest, false),
        (Identity::RepositoryDigestOrExact, &digest, "a.b/c:9", true),
        (Identity::RepositoryDigestOrExact, &both, "a.b/c", true),
        (Identity::RepositoryDigestOrExact, &digest, "a.b/d:9", false),
        (Identity::Repository, "a.b/c:1", "a.b/c:2", true),
        (Identity::Repository, "a.b/c:1", "a.b/d:1", false),
        (Identity::ExactReference("x.y/z:1".to_owned()), "a.b/c:1", "x.y/z:1", true),
        (Identity::ExactReference("x.y/z:1".to_owned()), "a.b/c:1", "x.y/z:2", false),
        (Identity::ExactRepository("x.y/z".to_owned()), "a.b/c:1", "x.y/z:2", true),
        (Identity::ExactRepository("x.y/z".to_owned()), "a.b/c:1", "a.b/c:1", false),
        (remap("a.b", "x.y/mirror"), "a.b/c:1", "x.y/mirror/c:1", true),
        (remap("a.b/c", "x.y/z"), "a.b/c:1", "x.y/z:1", true),
        (remap("a.b/c", "x.y/z"), "a.b/cc:1", "x.y/zc:1", false),
        (remap("q.r", "x.y"), "a.b/c:1", "a.b/c:1", true),
    ];
    for (identity, image, signed, expected) in cases {
        let (reference, name) = (Reference::parse(image).unwrap(), SignedName::parse(signed).unwrap());
        assert_eq!(identity.accepts(&reference, &name), expected, "{identity:?} {image} {signed}");
    }
}

#[test]
fn the_first_policy_counts_and_none_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("2"), r#"{"default":[{"type":"reject"}]}"#).unwrap();
    assert!(Policy::load(&[path("1")]).unwrap().is_none());
    assert!(Policy::load(&[path("1"), path("2")]).unwrap().is_some());
    std::fs::write(path("1"), "").unwrap();
    assert!(Policy::load(&[path("1"), path("2")]).is_err());
}
