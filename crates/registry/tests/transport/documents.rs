// SPDX-License-Identifier: Apache-2.0
//! Manifests: what arrives is what was asked for.

use super::*;

fn pinned(server: &Server, digest: BlobDigest) -> Plan {
    let plan = plan(&[server]);
    Plan { reference: plan.reference.at_digest(digest), ..plan }
}

#[test]
fn what_is_accepted_is_said() {
    let server = Server::start(just_manifests);
    manifest(options(), &plan(&[&server])).unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v2/a/b/manifests/1");
    assert!(seen.header("accept").starts_with("application/vnd.oci.image.index.v1+json, "), "{seen:?}");
    assert_eq!(seen.header("accept-encoding"), "identity");
    assert!(seen.header("user-agent").starts_with("gantry/"));
}

#[test]
fn a_digest_is_kept_to() {
    let server = Server::start(just_manifests);
    let digest = BlobDigest::sha256(MANIFEST.as_bytes());
    manifest(options(), &pinned(&server, digest)).unwrap();
    assert_eq!(server.paths(), [format!("/v2/a/b/manifests/{digest}")]);
    let error = manifest(options(), &pinned(&server, BlobDigest::sha256(b"x"))).unwrap_err();
    assert!(error.contains(&format!("its bytes have the digest {digest}, expected")), "{error}");
    let long: BlobDigest = format!("sha512:{}", "00".repeat(64)).parse().unwrap();
    let error = manifest(options(), &pinned(&server, long)).unwrap_err();
    assert!(error.contains("its bytes have the digest sha512:"), "{error}");
}

#[test]
fn a_registry_has_to_keep_to_its_own_digest() {
    let said = BlobDigest::sha256(b"x").to_string();
    let server = Server::start(move |seen| just_manifests(seen).with("Docker-Content-Digest", said.clone()));
    let error = manifest(options(), &plan(&[&server])).unwrap_err();
    assert!(error.contains("its bytes have the digest"), "{error}");
}

#[test]
fn the_current_digest_needs_no_body() {
    let digest = BlobDigest::sha256(MANIFEST.as_bytes());
    for said in [Some(digest.to_string()), None] {
        let count = if said.is_some() { 1 } else { 2 };
        let server = Server::start(move |seen| match &said {
            Some(said) => just_manifests(seen).with("Docker-Content-Digest", said.clone()),
            None => just_manifests(seen),
        });
        let notes = Notes::default();
        let client = Client::new(options(), &notes);
        assert_eq!(client.pull(&plan(&[&server])).current_digest().unwrap(), digest);
        let methods: Vec<_> = server.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, &["HEAD", "GET"][..count]);
    }
}

#[test]
fn wrong_types_and_sizes_are_refused() {
    let cases = [
        (Reply::new(200, MANIFEST).with("Content-Type", "text/html"), "not \"text/html\""),
        (Reply::new(200, "<html>").with("Content-Type", "text/html"), "expected a manifest"),
        (Reply::new(200, vec![b' '; (4 << 20) + 1]), "expected at most 4194304"),
        (Reply::new(200, MANIFEST).with("Content-Encoding", "gzip"), "it encodes"),
        (Reply::new(206, MANIFEST), "status 206"),
        (Reply::new(304, ""), "status 304"),
    ];
    for (reply, expected) in cases {
        let server = Server::start(move |_| reply.clone());
        let error = manifest(options(), &plan(&[&server])).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_no_http_is_refused() {
    let server = Server::start(|_| Reply::new(200, "x").with("X", "y".repeat(200_000)));
    let error = manifest(options(), &plan(&[&server])).unwrap_err();
    assert!(error.contains("its answer"), "{error}");
}
