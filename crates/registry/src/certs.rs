// SPDX-License-Identifier: Apache-2.0
//! Certificates: the roots that a registry's certificate is checked against, and the client's own for registries that ask
//! for one.
//!
//! Roots are those of the host's bundle; a host without one gets those of Mozilla's list that are linked.
//! `certs.d/HOST[:PORT]` adds roots (`*.crt`) and may have a client's certificate (`*.cert`) with its key (`*.key`) for
//! that host alone (containers-certs.d(5)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::document;
use crate::error::Error;

mod unverified;

/// The places where certificates are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The bundle that `SSL_CERT_FILE` names. It must exist, and no other bundle is read then.
    pub bundle: Option<PathBuf>,
    /// The host's bundles. The first one that exists is used.
    pub bundles: Vec<PathBuf>,
    /// Directories with a subdirectory for each host. The first one that has a subdirectory for the host is used.
    pub hosts: Vec<PathBuf>,
    /// A directory with certificates for all hosts (`--cert-dir`). `hosts` is ignored then.
    pub all_hosts: Option<PathBuf>,
    /// The bundle, if it was read ahead.
    pub ahead: Option<Bundle>,
}

/// A bundle of certificates that was read.
#[derive(Clone, Debug)]
pub struct Bundle(Arc<Vec<CertificateDer<'static>>>);

/// Whether a server has to prove that it is the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    Full,
    None,
}

impl Sources {
    /// Returns how TLS is spoken with a host.
    pub(crate) fn config(&self, host: &str, verification: Verification) -> Result<Arc<ClientConfig>, Error> {
        let own = self.directory(host).map(|path| Directory::read(&path)).transpose()?.unwrap_or_default();
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.expect("ring has the cipher suites of TLS 1.2 and 1.3");
        let builder = match verification {
            Verification::Full => builder.with_root_certificates(self.roots(&own)?),
            Verification::None => {
                let verifier = Arc::new(unverified::Anybody(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let config = match own.identity {
            None => builder.with_no_client_auth(),
            Some((path, certificates, key)) => builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| document::problem(&path, format!("does not fit its key: {error}")))?,
        };
        Ok(Arc::new(config))
    }

    /// Returns the directory of a host's certificates.
    fn directory(&self, host: &str) -> Option<PathBuf> {
        let hosts = self.hosts.iter().map(|hosts| hosts.join(host));
        self.all_hosts.clone().or_else(|| hosts.into_iter().find(|directory| directory.is_dir()))
    }

    fn roots(&self, own: &Directory) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        let bundle = self.bundle()?;
        if bundle.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        // rustls may not accept every certificate in a bundle; the others are still used.
        roots.add_parsable_certificates(bundle);
        for (path, certificate) in &own.roots {
            let added = roots.add(certificate.clone());
            added.map_err(|error| document::problem(path, format!("expected a certificate: {error}")))?;
        }
        Ok(roots)
    }

    /// Reads the host's bundle. A process that gives up the right to read it calls this first.
    ///
    /// # Errors
    /// Fails if it can't be read or understood.
    pub fn read_ahead(&mut self) -> Result<(), Error> {
        self.ahead = Some(Bundle(Arc::new(self.bundle()?)));
        Ok(())
    }

    /// Returns the certificates in the host's bundle, or none if it has no bundle.
    fn bundle(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        if let Some(Bundle(ahead)) = &self.ahead {
            return Ok(ahead.to_vec());
        }
        if let Some(path) = &self.bundle {
            return certificates(path);
        }
        let found = self.bundles.iter().find(|path| path.is_file());
        found.map_or(Ok(Vec::new()), |path| certificates(path))
    }
}

/// The content of a host's directory.
#[derive(Default)]
struct Directory {
    roots: Vec<(PathBuf, CertificateDer<'static>)>,
    /// The certificate's file, the chain, and the key.
    identity: Option<(PathBuf, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Directory {
    fn read(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Read { path: path.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(fail)? {
            files.push(entry.map_err(fail)?.path());
        }
        files.sort();
        let mut found = Self::default();
        for file in &files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    found.roots.extend(certificates(file)?.into_iter().map(|one| (file.clone(), one)))
                }
                Some("cert") if found.identity.is_none() => found.identity = Some(identity(file)?),
                Some("key") if !files.contains(&file.with_extension("cert")) => {
                    return Err(document::problem(
                        file,
                        "expected its certificate beside it, with the ending .cert",
                    ));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn identity(path: &Path) -> Result<(PathBuf, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let key_path = path.with_extension("key");
    let key = existing(&key_path)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| document::problem(&key_path, "expected a private key as PEM"))?;
    Ok((path.to_owned(), certificates(path)?, key))
}

/// Reads the certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&existing(path)?).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| document::problem(path, "expected certificates as PEM"))
}

fn existing(path: &Path) -> Result<Vec<u8>, Error> {
    let missing = || Error::Read { path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
    document::read(path)?.ok_or_else(missing)
}

#[cfg(test)]
#[path = "certs_tests.rs"]
mod tests;
