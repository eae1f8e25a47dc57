// SPDX-License-Identifier: Apache-2.0
//! Debian's docker-registry on loopback, and the installer as a host that knows it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pod::blob::BlobDigest;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use registry::registries::Registries;
use registry::{Client, Name, Options, Silent, auth, certs};
use tempfile::TempDir;
use testing::packages;
use testing::pods::Gantry;

/// `user:secret`, as an auth file and as docker-registry's file of users have it.
const AUTH: &str = "dXNlcjpzZWNyZXQ=";
const USERS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// Lays out what docker-registry stores: the image `REPOSITORY:1` of these blobs, of which the last is its manifest.
fn store(root: &Path, repository: &str, blobs: &[&[u8]]) {
    let root = root.join("docker/registry/v2");
    let write = |path: String, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
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
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    directory: TempDir,
}

impl Server {
    /// Starts it with the image `a/b:1` of these blobs.
    pub(crate) fn start(blobs: &[&[u8]]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        store(&path("store"), "a/b", blobs);
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path("cert.pem"), cert.pem()).unwrap();
        fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
        fs::write(path("users"), USERS).unwrap();
        let at = directory.path().display();
        let configuration = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {at}/store}}}}\n\
             http:\n  addr: 127.0.0.1:0\n  tls: {{certificate: {at}/cert.pem, key: {at}/key.pem}}\n\
             auth: {{htpasswd: {{realm: test, path: {at}/users}}}}\n"
        );
        fs::write(path("config.yml"), configuration).unwrap();
        let mut child = Command::new(program(&path("docker-registry")))
            .args(["serve".into(), path("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| port(&line)).expect("docker-registry says where it listens");
        // It must not be held up by a pipe that nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port, directory }
    }

    /// Adds the image `REPOSITORY:1` of these blobs.
    pub(crate) fn add(&self, repository: &str, blobs: &[&[u8]]) {
        store(&self.directory.path().join("store"), repository, blobs);
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn options(&self) -> Options {
        let path = |name: &str| self.directory.path().join(name);
        let host = format!("localhost:{}", self.port);
        fs::create_dir_all(path("certs").join(&host)).unwrap();
        fs::copy(path("cert.pem"), path("certs").join(&host).join("ca.crt")).unwrap();
        fs::write(path("auth.json"), format!(r#"{{"auths":{{"{host}/a":{{"auth":"{AUTH}"}}}}}}"#)).unwrap();
        Options {
            credentials: auth::Sources { files: vec![path("auth.json")], ..auth::Sources::default() },
            certificates: certs::Sources { hosts: vec![path("certs")], ..certs::Sources::default() },
            ..Options::default()
        }
    }

    pub(crate) fn manifest(&self, options: Options, image: &str) -> Result<Vec<u8>, String> {
        let client = Client::new(options, &Silent);
        let name = Name::parse(&format!("localhost:{}/{image}", self.port)).unwrap();
        let registries = Registries::default();
        let plan = registries.plan(&registries.resolve(&name).unwrap()).unwrap();
        client.pull(&plan).manifest().map(|manifest| manifest.bytes).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Takes docker-registry out of its package.
fn program(path: &Path) -> PathBuf {
    let debs = packages::fetch("docker-registry").unwrap();
    let deb = debs.iter().find(|deb| deb.name == "docker-registry").unwrap();
    let program = |path: &Path, _: &tar::Header| path == Path::new("usr/bin/docker-registry");
    deb.visit(program, |entry| fs::write(path, entry.contents).unwrap()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// The port of `… listening on 127.0.0.1:PORT, tls …`.
fn port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Runs the installer with these words, as a host that knows the registry, its certificate and a user of it.
pub(crate) fn installer(gantry: &Gantry, server: &Server, words: &[&str]) -> Output {
    let path = |name: &str| server.directory.path().join(name);
    server.options();
    fs::write(path("registries.conf"), "").unwrap();
    let mut command = gantry.installer();
    command.env("REGISTRY_AUTH_FILE", path("auth.json")).env("SSL_CERT_FILE", path("cert.pem"));
    command.env("CONTAINERS_REGISTRIES_CONF", path("registries.conf"));
    command.args(words).output().unwrap()
}

/// The files that docker-registry would hand out for this blob.
pub(crate) fn data(server: &Server, blob: &[u8]) -> PathBuf {
    let hex = BlobDigest::sha256(blob).hex();
    server.directory.path().join(format!("store/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
}
