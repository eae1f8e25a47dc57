// SPDX-License-Identifier: Apache-2.0
//! TLS with a certificate authority of the test's own.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use registry::certs;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::*;

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        parameters.extended_key_usages = vec![usage];
        (parameters.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server called `name`; with `clients`, it wants a client's certificate of this authority.
    fn server(&self, name: &str, clients: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap(),
            )
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

fn secure(server: &Server) -> Plan {
    let plan = plan(&[]);
    Plan { endpoints: vec![endpoint(server, "a/b", false)], ..plan }
}

fn trusting(directory: &Path) -> Options {
    let certificates = certs::Sources { hosts: vec![directory.to_owned()], ..certs::Sources::default() };
    Options { certificates, ..options() }
}

#[test]
fn a_hosts_directory_says_whom_to_trust() {
    let authority = Authority::new();
    let server = Server::start_with(Some(authority.server("localhost", false)), just_manifests);
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join(server.host());
    fs::create_dir(&own).unwrap();
    fs::write(own.join("ca.crt"), authority.0.pem()).unwrap();
    assert_eq!(manifest(trusting(directory.path()), &secure(&server)).unwrap(), MANIFEST.as_bytes());
}

#[test]
fn nobody_else_is_trusted_and_nothing_is_tried_again() {
    let authority = Authority::new();
    for (name, expected) in [("localhost", "UnknownIssuer"), ("other.example", "UnknownIssuer")] {
        let server = Server::start_with(Some(authority.server(name, false)), just_manifests);
        let error = manifest(options(), &secure(&server)).unwrap_err();
        assert!(error.contains(&format!("{}: TLS: ", server.host())) && error.contains(expected), "{error}");
        assert_eq!((server.connections(), server.paths().len()), (1, 0));
    }
    let server = Server::start_with(Some(authority.server("other.example", false)), just_manifests);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.crt"), authority.0.pem()).unwrap();
    let certificates =
        certs::Sources { all_hosts: Some(directory.path().to_owned()), ..certs::Sources::default() };
    let error = manifest(Options { certificates, ..options() }, &secure(&server)).unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[test]
fn a_server_without_tls_is_not_asked_without_it() {
    let server = Server::start(just_manifests);
    let error = manifest(options(), &secure(&server)).unwrap_err();
    assert!(error.contains(&server.host()), "{error}");
    assert_eq!(server.paths().len(), 0);
}

#[test]
fn an_insecure_registry_may_have_any_certificate() {
    let authority = Authority::new();
    let server = Server::start_with(Some(authority.server("other.example", false)), just_manifests);
    manifest(options(), &plan(&[&server])).unwrap();
}

#[test]
fn the_bundle_is_believed_and_a_client_shows_its_certificate() {
    let authority = Authority::new();
    let server = Server::start_with(Some(authority.server("localhost", true)), just_manifests);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("bundle.pem"), authority.0.pem()).unwrap();
    let bundle = certs::Sources { bundle: Some(path("bundle.pem")), ..certs::Sources::default() };
    let without =
        manifest(Options { certificates: bundle.clone(), ..options() }, &secure(&server)).unwrap_err();
    assert!(without.contains("CertificateRequired") || without.contains("TLS"), "{without}");
    let own = path("hosts").join(server.host());
    fs::create_dir_all(&own).unwrap();
    let (certificate, key) = authority.issue("client", ExtendedKeyUsagePurpose::ClientAuth);
    fs::write(own.join("client.cert"), certificate.pem()).unwrap();
    fs::write(own.join("client.key"), key.serialize_pem()).unwrap();
    let certificates = certs::Sources { hosts: vec![path("hosts")], ..bundle };
    manifest(Options { certificates, ..options() }, &secure(&server)).unwrap();
}

#[test]
fn a_redirect_does_not_lead_away_from_tls() {
    let authority = Authority::new();
    let plain = Server::start(just_manifests);
    let location = format!("http://{}/v2/a/b/manifests/1", plain.host());
    let server = Server::start_with(Some(authority.server("localhost", false)), move |_| {
        Reply::new(302, "").with("Location", location.clone())
    });
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.crt"), authority.0.pem()).unwrap();
    let certificates =
        certs::Sources { all_hosts: Some(directory.path().to_owned()), ..certs::Sources::default() };
    let error = manifest(Options { certificates, ..options() }, &secure(&server)).unwrap_err();
    assert!(error.contains("it leads away from TLS"), "{error}");
    assert_eq!(plain.connections(), 0);
}
