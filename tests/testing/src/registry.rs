// SPDX-License-Identifier: Apache-2.0
//! Debian's docker-registry on loopback, with TLS and a user, and what a host needs that is to know it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pod::blob::BlobDigest;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::packages;

/// `user:secret`, as an auth file and as docker-registry's file of users have it.
const AUTH: &str = "dXNlcjpzZWNyZXQ=";
const USERS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// Lays out what docker-registry stores: the image `REPOSITORY:1` of these blobs, of which the last is its manifest.
fn store(root: &Path, repository: &str, blobs: &[&[u8]]) {
    let root = root.join("docker/registry/v2");
    let write = |path: String, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a registry can be stored"))
            .expect("a registry can be stored");
        fs::write(path, content).expect("a registry can be stored");
    };
    let manifest = BlobDigest::sha256(blobs[blobs.len() - 1]);
    for content in blobs {
        let digest = BlobDigest::sha256(content);
        let hex = digest.hex();
        write(format!("blobs/sha256/{}/{hex}/data", &hex[..2]), content);
        let link = digest.to_string();
        write(format!("repositories/{repository}/_layers/sha256/{hex}/link"), link.as_bytes());
    }
    let (hex, link) = (manifest.hex(), manifest.to_string());
    for path in
        [format!("revisions/sha256/{hex}"), "tags/1/current".to_owned(), format!("tags/1/index/sha256/{hex}")]
    {
        write(format!("repositories/{repository}/_manifests/{path}/link"), link.as_bytes());
    }
}

/// docker-registry, while it runs.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens, on loopback.
    pub port: u16,
    directory: TempDir,
}

impl Server {
    /// Starts it with the image `a/b:1` of these blobs, the last of which is the manifest.
    ///
    /// # Panics
    /// Panics if the package is unavailable, or it does not start.
    pub fn start(blobs: &[&[u8]]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = |name: &str| directory.path().join(name);
        store(&path("store"), "a/b", blobs);
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        let write = |name: &str, text: &str| fs::write(path(name), text).expect("a file can be written");
        write("cert.pem", &cert.pem());
        write("key.pem", &signing_key.serialize_pem());
        write("users", USERS);
        write("registries.conf", "");
        let at = directory.path().display();
        let configuration = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {at}/store}}}}\n\
             http:\n  addr: 127.0.0.1:0\n  tls: {{certificate: {at}/cert.pem, key: {at}/key.pem}}\n\
             auth: {{htpasswd: {{realm: test, path: {at}/users}}}}\n"
        );
        write("config.yml", &configuration);
        let mut child = Command::new(program(&path("docker-registry")))
            .args(["serve".into(), path("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry can be executed");
        let errors = child.stderr.take().expect("its stderr is piped");
        let mut lines = BufReader::new(errors).lines().map_while(Result::ok);
        let port = lines.find_map(|line| port(&line)).expect("docker-registry says where it listens");
        // It must not be held up by a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        let auth = format!(r#"{{"auths":{{"localhost:{port}/a":{{"auth":"{AUTH}"}}}}}}"#);
        write("auth.json", &auth);
        Self { child, port, directory }
    }

    /// Adds the image `REPOSITORY:1` of these blobs.
    pub fn add(&self, repository: &str, blobs: &[&[u8]]) {
        store(&self.path("store"), repository, blobs);
    }

    /// Stops it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns the full name of the image `REPOSITORY:1`.
    pub fn name(&self, repository: &str) -> String {
        format!("localhost:{}/{repository}:1", self.port)
    }

    /// Returns a file of its own: `cert.pem`, or `auth.json` with its user.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the environment of a program that trusts its certificate and knows its user, and nothing else.
    pub fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("REGISTRY_AUTH_FILE", "auth.json"),
            ("SSL_CERT_FILE", "cert.pem"),
            ("CONTAINERS_REGISTRIES_CONF", "registries.conf"),
        ]
        .map(|(name, file)| (name, self.path(file)))
    }

    /// Returns the file that it would hand out for this blob.
    pub fn data(&self, blob: &[u8]) -> PathBuf {
        let hex = BlobDigest::sha256(blob).hex();
        self.path(&format!("store/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Takes docker-registry out of its package.
fn program(path: &Path) -> PathBuf {
    let debs = packages::fetch("docker-registry").expect("docker-registry can be had");
    let deb = debs.iter().find(|deb| deb.name == "docker-registry").expect("the package is among them");
    let program = |path: &Path, _: &tar::Header| path == Path::new("usr/bin/docker-registry");
    let write = |entry: rootfs_build::deb::Entry| {
        fs::write(path, entry.contents).expect("a program can be written");
    };
    deb.visit(program, write).expect("a package can be read");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    path.to_owned()
}

/// The port of `… listening on 127.0.0.1:PORT, tls …`.
fn port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
