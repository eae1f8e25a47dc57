// SPDX-License-Identifier: Apache-2.0
//! Which images of the store a policy allows, by what is known of them.

use super::*;

fn policy(text: &str) -> Policy {
    let text = text
        .replace("REJECT", r#"[{"type":"reject"}]"#)
        .replace("ACCEPT", r#"[{"type":"insecureAcceptAnything"}]"#);
    Policy::parse(Path::new("/etc/containers/policy.json"), text.as_bytes()).unwrap()
}

fn origin(transport: Transport, place: &str) -> Origin {
    Origin { transport, place: place.to_owned(), name: None, signed: Default::default() }
}

fn image(origins: &[Origin], names: &[&str], digests: &[&str]) -> NamedImage {
    let owned = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    NamedImage { names: owned(names), digests: owned(digests), origins: origins.to_vec(), blobs: Vec::new() }
}

fn digest(repository: &str) -> String {
    format!("{repository}@sha256:{}", "0".repeat(64))
}

#[test]
fn a_scope_that_rejects_one_name_rejects_the_image() {
    let narrow = policy(
        r#"{"default":ACCEPT,"transports":{"docker":{"evil.example":REJECT},"oci":{"/evil":REJECT}}}"#,
    );
    let evil = origin(Transport::Docker, "evil.example/a:1");
    let good = origin(Transport::Docker, "good.example/a:1");
    let layout = Origin { name: Some("good.example/a:1".into()), ..origin(Transport::Oci, "/evil/layout") };
    for rejected in [
        image(std::slice::from_ref(&evil), &["localhost/web:latest"], &[]),
        image(&[good.clone(), evil], &["good.example/a:1"], &[]),
        image(std::slice::from_ref(&good), &["good.example/a:1", "evil.example/b:2"], &[]),
        image(std::slice::from_ref(&good), &[], &[&digest("evil.example/c")]),
        image(&[], &[], &[&digest("evil.example/c")]),
        image(&[good.clone(), layout], &[], &[]),
    ] {
        let error = check(&narrow, &rejected, "x").unwrap_err().to_string();
        assert!(error.contains("it says reject"), "{rejected:?}: {error}");
    }
    check(&narrow, &image(&[good], &["localhost/web:latest", "good.example/a:1"], &[]), "x").unwrap();
}

#[test]
fn one_place_must_be_allowed() {
    let strict = policy(
        r#"{"default":REJECT,"transports":{"docker":{"good.example":ACCEPT},"oci-archive":{"":ACCEPT}}}"#,
    );
    let good = origin(Transport::Docker, "good.example/a:1");
    let other = origin(Transport::DockerArchive, "/a.tar");
    let archive = origin(Transport::OciArchive, "/b.tar");
    for allowed in [
        image(std::slice::from_ref(&good), &["localhost/web:latest"], &[]),
        image(&[other.clone(), good], &[], &[]),
        image(&[archive], &["docker.io/library/redis:7"], &[]),
        image(&[], &[], &[&digest("good.example/a")]),
    ] {
        check(&strict, &allowed, "x").unwrap();
    }
    for rejected in [
        image(std::slice::from_ref(&other), &["good.example/a:1"], &[]),
        image(&[], &["good.example/a:1"], &[]),
        image(&[], &[], &[&digest("other.example/a")]),
        image(&[], &[], &[]),
    ] {
        let error = check(&strict, &rejected, "x").unwrap_err().to_string();
        assert!(error.contains("it says reject"), "{rejected:?}: {error}");
    }
}

#[test]
fn a_signature_counts_if_it_was_checked_for_what_the_policy_asks_now() {
    const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUNvd0JRWURLMlZ3QXlFQUdiOUVDV21FemY2RlFickJaOXc3bHNoUWhxb3d0cmJMREZ3NHJYQXhadUU9Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=";
    let signed = |identity: &str| {
        let signed = format!(
            r#"[{{"type":"sigstoreSigned","keyData":"{KEY}","signedIdentity":{{"type":"{identity}"}}}}]"#
        );
        policy(&format!(r#"{{"default":ACCEPT,"transports":{{"docker":{{"a.b":{signed}}}}}}}"#))
    };
    let reference = Reference::parse("a.b/c:1").unwrap();
    let signatures = |policy: &Policy| match policy.decide(&Image::Registry(&reference)).unwrap() {
        Decision::Signed(signatures) => signatures,
        Decision::Accept => panic!("it asks for a signature"),
    };
    let (repository, exact) = (signed("matchRepository"), signed("matchExact"));
    let proof = signatures(&repository).digests().into_iter().collect();
    let seen = Origin { signed: proof, ..origin(Transport::Docker, "a.b/c:1") };
    let seen = image(&[seen], &[], &[]);
    check(&repository, &seen, "x").unwrap();
    assert!(is_signed(Some(&seen), &reference, &signatures(&repository)));
    let error = check(&exact, &seen, "x").unwrap_err().to_string();
    assert!(error.contains("was not checked"), "{error}");
    assert!(!is_signed(Some(&seen), &reference, &signatures(&exact)));
    let other = Reference::parse("a.b/c:2").unwrap();
    assert!(!is_signed(Some(&seen), &other, &signatures(&repository)), "another tag");
    let error = check(&repository, &image(&[], &[], &[&digest("a.b/c")]), "x").unwrap_err().to_string();
    assert!(error.contains("was not checked"), "{error}");
}
