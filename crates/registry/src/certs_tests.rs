// SPDX-License-Identifier: Apache-2.0
//! Directories of certificates: what is taken from them, and what is refused.

use super::*;

fn sources(directory: &Path) -> Sources {
    Sources { hosts: vec![directory.join("gone"), directory.to_owned()], ..Sources::default() }
}

fn problem(file: &str, content: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let host = directory.path().join("a.b:5000");
    fs::create_dir(&host).unwrap();
    fs::write(host.join(file), content).unwrap();
    let sources = sources(directory.path());
    assert!(sources.config("a.b", Verification::Full).is_ok(), "another host's are not looked at");
    sources.config("a.b:5000", Verification::Full).unwrap_err().to_string()
}

#[test]
fn what_can_not_be_used_is_named() {
    assert!(problem("ca.crt", "junk").ends_with("a.b:5000/ca.crt: expected certificates as PEM"));
    assert!(problem("client.key", "junk").contains("client.key: expected its certificate beside it"));
    assert!(problem("client.cert", "junk").contains("client.key: "));
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(problem("ca.crt", pem).contains("ca.crt: expected a certificate"));
}

#[test]
fn a_bundle_that_is_named_has_to_be_there_and_others_need_not_be() {
    let gone = PathBuf::from("/nonexistent/bundle.pem");
    let named = Sources { bundle: Some(gone.clone()), ..Sources::default() };
    assert!(named.config("a.b", Verification::Full).unwrap_err().to_string().contains("bundle.pem"));
    let known = Sources { bundles: vec![gone], ..Sources::default() };
    assert!(known.config("a.b", Verification::Full).is_ok(), "the linked roots are left");
}

#[test]
fn a_certificate_has_to_fit_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let make = || rcgen::generate_simple_self_signed(["a.b".to_owned()]).unwrap();
    let (one, other) = (make(), make());
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    write("x.cert", one.cert.pem());
    write("x.key", other.signing_key.serialize_pem());
    let sources = Sources { all_hosts: Some(directory.path().to_owned()), ..Sources::default() };
    let error = sources.config("a.b", Verification::Full).unwrap_err().to_string();
    assert!(error.contains("x.cert: does not fit its key"), "{error}");
    write("x.key", one.signing_key.serialize_pem());
    assert!(sources.config("a.b", Verification::Full).is_ok());
}
