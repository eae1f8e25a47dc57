// SPDX-License-Identifier: Apache-2.0
//! Signatures by keys of the tests' own, whole and altered.

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SigningKey,
};

use super::*;
use crate::key::Key;

const IMAGE: &str = "quay.io/a/b:1";

fn digest() -> BlobDigest {
    BlobDigest::sha256(b"manifest")
}

fn payload(reference: &str, digest: &str, kind: &str) -> Vec<u8> {
    let identity = format!(r#"{{"docker-reference":"{reference}"}}"#);
    let image = format!(r#"{{"docker-manifest-digest":"{digest}"}}"#);
    format!(
        r#"{{"critical":{{"identity":{identity},"image":{image},"type":"{kind}"}},"optional":{{"x":1}}}}"#
    )
    .into_bytes()
}

fn signed(key: &KeyPair, payload: Vec<u8>) -> Signature {
    let signature = BASE64_STANDARD.encode(key.sign(&payload).unwrap());
    Signature { payload, signature }
}

fn by(keys: &[&KeyPair], identity: Identity) -> SignedBy {
    let keys = keys.iter().map(|key| Key::parse(key.public_key_pem().as_bytes()).unwrap()).collect();
    SignedBy { keys, identity }
}

fn image() -> Reference {
    Reference::parse(IMAGE).unwrap()
}

#[test]
fn a_signature_by_a_key_of_each_kind_is_good_and_altered_it_is_not() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let (key, other) =
            (KeyPair::generate_for(algorithm).unwrap(), KeyPair::generate_for(algorithm).unwrap());
        let good = signed(&key, payload(IMAGE, &digest().to_string(), TYPE));
        let required = by(&[&other, &key], Identity::Exact);
        good.check(&required, &image(), &[BlobDigest::sha256(b"index"), digest()]).unwrap();
        let error = good.check(&by(&[&other], Identity::Exact), &image(), &[digest()]).unwrap_err();
        assert_eq!(error, "a signature is not of one of its keys");
        for at in [0, 20, good.payload.len() - 1] {
            let mut altered = good.clone();
            altered.payload[at] ^= 1;
            assert!(altered.check(&required, &image(), &[digest()]).is_err());
        }
        let mut altered = good.clone();
        altered.signature.replace_range(20..21, if &good.signature[20..21] == "A" { "B" } else { "A" });
        assert!(altered.check(&required, &image(), &[digest()]).is_err());
    }
}

#[test]
fn what_is_signed_has_to_be_this_image() {
    let key = KeyPair::generate().unwrap();
    let required = by(&[&key], Identity::Exact);
    let good = digest().to_string();
    let cases = [
        (payload(IMAGE, &BlobDigest::sha256(b"other").to_string(), TYPE), "another manifest is signed"),
        (payload("quay.io/a/c:1", &good, TYPE), "it is signed as quay.io/a/c:1"),
        (payload("quay.io/a/b", &good, TYPE), "it is signed as quay.io/a/b"),
        (payload("b", &good, TYPE), "is not an image's name"),
        (payload(IMAGE, &good, "atomic container signature"), "not an image's signature by cosign"),
        (payload(IMAGE, "sha256:0", TYPE), "the signed digest is none"),
        (b"{}".to_vec(), "is not about an image"),
        (
            String::from_utf8(payload(IMAGE, &good, TYPE))
                .unwrap()
                .replace("\"type\"", "\"x\":1,\"type\"")
                .into_bytes(),
            "is not about an image",
        ),
    ];
    for (payload, expected) in cases {
        let error = signed(&key, payload).check(&required, &image(), &[digest()]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn one_good_signature_is_needed_for_each_requirement() {
    let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let good = |key| signed(key, payload(IMAGE, &digest().to_string(), TYPE));
    let required = [by(&[&one], Identity::Exact), by(&[&two], Identity::Exact)];
    let check = |signatures: &[Signature]| check_all(signatures, &required, &image(), &[digest()]);
    check(&[good(&two), good(&one)]).unwrap();
    assert_eq!(check(&[good(&one)]).unwrap_err(), "a signature is not of one of its keys");
    assert_eq!(check(&[]).unwrap_err(), "it has no signature");
}

#[test]
fn keys_are_public_keys_of_known_kinds() {
    assert!(
        Key::parse(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().public_key_pem().as_bytes())
            .is_ok()
    );
    let key = KeyPair::generate().unwrap();
    assert!(!key.subject_public_key_info().is_empty());
    for pem in [key.serialize_pem(), "junk".to_owned(), String::new(), key.public_key_pem().replace('A', "B")]
    {
        assert!(Key::parse(pem.as_bytes()).is_err(), "{pem}");
    }
}
