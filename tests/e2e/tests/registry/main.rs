// SPDX-License-Identifier: Apache-2.0
//! The client of registries against Debian's docker-registry, with TLS and a user, on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use gate::root_test;
use pod::blob::BlobDigest;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use registry::registries::Registries;
use registry::{Blob, Client, Name, Options, Silent, Sink, Wanted, auth, certs};
use tempfile::TempDir;
use testing::oci::OciImage;
use testing::packages;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

/// `user:secret`, as an auth file and as docker-registry's file of users have it.
const AUTH: &str = "dXNlcjpzZWNyZXQ=";
const USERS: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Larger than what is sent at once.
fn layer() -> Vec<u8> {
    (0..3_000_000_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect()
}

fn document(layer: &[u8]) -> String {
    let (config, size) = (BlobDigest::sha256(b"{}"), layer.len());
    let layer = BlobDigest::sha256(layer);
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#
    )
}

/// Lays out what docker-registry stores: the image `a/b:1` of these blobs, of which the last is its manifest.
fn store(root: &Path, blobs: &[&[u8]]) {
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
        write(format!("repositories/a/b/_layers/sha256/{hex}/link"), link.as_bytes());
    }
    let (hex, link) = (manifest.hex(), manifest.to_string());
    for path in
        [format!("revisions/sha256/{hex}"), "tags/1/current".to_owned(), format!("tags/1/index/sha256/{hex}")]
    {
        write(format!("repositories/a/b/_manifests/{path}/link"), link.as_bytes());
    }
}

/// docker-registry, while it runs.
struct Server {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Server {
    /// Starts it with the image `a/b:1` of these blobs.
    fn start(blobs: &[&[u8]]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        store(&path("store"), blobs);
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

    fn options(&self) -> Options {
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

    fn manifest(&self, options: Options, image: &str) -> Result<Vec<u8>, String> {
        let client = Client::new(options, &Silent);
        let name = Name::parse(&format!("localhost:{}/{image}", self.port)).unwrap();
        let registries = Registries::default();
        let plan = registries.plan(&registries.resolve(&name).unwrap()).unwrap();
        client.pull(&plan).manifest().map(|manifest| manifest.bytes).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

#[root_test]
fn images_come_from_docker_registry() {
    let layer = layer();
    let server = Server::start(&[b"{}", &layer, document(&layer).as_bytes()]);

    // Whom it does not know gets nothing, and it is not believed without its certificate.
    let stranger = Options { credentials: auth::Sources::default(), ..server.options() };
    let error = server.manifest(stranger, "a/b:1").unwrap_err();
    assert!(error.contains("401: it asks for credentials"), "{error}");
    let error =
        server.manifest(Options { certificates: certs::Sources::default(), ..server.options() }, "a/b:1");
    assert!(error.unwrap_err().contains("TLS: "));
    let error = server.manifest(server.options(), "a/b:2").unwrap_err();
    assert!(error.contains("404: it has no such image"), "{error}");

    assert_eq!(server.manifest(server.options(), "a/b:1").unwrap(), document(&layer).as_bytes());
    let digest = BlobDigest::sha256(document(&layer).as_bytes());
    assert_eq!(
        server.manifest(server.options(), &format!("a/b@{digest}")).unwrap(),
        document(&layer).as_bytes()
    );

    // Half of the layer is there from an earlier try.
    let client = Client::new(server.options(), &Silent);
    let name = Name::parse(&format!("localhost:{}/a/b:1", server.port)).unwrap();
    let registries = Registries::default();
    let plan = registries.plan(&registries.resolve(&name).unwrap()).unwrap();
    let pull = client.pull(&plan);
    assert_eq!(pull.current_digest().unwrap(), digest);
    let half = layer[..layer.len() / 2].to_vec();
    let wanted = [(half, layer.as_slice()), (Vec::new(), b"{}")].map(|(sink, content)| {
        let blob = Blob { digest: BlobDigest::sha256(content), size: content.len() as u64 };
        Wanted { blob, sink: Counted { sink, appended: 0 } }
    });
    let complete = Mutex::new(Vec::new());
    let keep = |_: Blob, sink: Counted| {
        complete.lock().unwrap().push(sink);
        Ok(())
    };
    pull.blobs(wanted.into(), 2, &keep).unwrap();
    let mut complete = complete.into_inner().unwrap();
    complete.sort_by_key(|counted| counted.sink.len());
    assert_eq!(complete[0].sink, b"{}");
    assert!(complete[1].sink == layer, "the layer's bytes");
    assert_eq!(complete[1].appended, layer.len() - layer.len() / 2, "the rest alone was sent");
}

/// Runs the installer with these words, as a host that knows the registry, its certificate and a user of it.
fn installer(gantry: &Gantry, server: &Server, words: &[&str]) -> Output {
    let path = |name: &str| server.directory.path().join(name);
    server.options();
    fs::write(path("registries.conf"), "").unwrap();
    let mut command = gantry.installer();
    command.env("REGISTRY_AUTH_FILE", path("auth.json")).env("SSL_CERT_FILE", path("cert.pem"));
    command.env("CONTAINERS_REGISTRIES_CONF", path("registries.conf"));
    command.args(words).output().unwrap()
}

/// The files that docker-registry would hand out for this blob.
fn data(server: &Server, blob: &[u8]) -> PathBuf {
    let hex = BlobDigest::sha256(blob).hex();
    server.directory.path().join(format!("store/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
}

#[root_test]
fn an_image_in_a_registry_runs() {
    let gantry = Gantry::new();
    let lower = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, "lower\n".into()));
    let upper = Rootfs::default().with("etc/word", Node::File(0o644, "upper\n".into()));
    let config = serde_json::json!({"Entrypoint": ["/bin/cat"], "Cmd": ["/etc/word"]});
    let image = OciImage::new(&[&lower, &upper], &config);
    let server = Server::start(&image.blobs());
    let name = format!("docker://localhost:{}/a/b:1", server.port);

    let none = installer(
        &gantry,
        &server,
        &["prepare", "--image", &format!("docker://localhost:{}/a/b:2", server.port)],
    );
    assert_eq!(none.status.code(), Some(1));
    assert_says(&text(&none.stderr), &["404: it has no such image"]);
    assert!(!gantry.dir().exists(), "nothing is written before the image is found");

    let output = installer(&gantry, &server, &["run", "--image", &name]);
    gantry.wait_all();
    assert_eq!(
        (text(&output.stdout), output.status.code()),
        ("upper\n".into(), Some(0)),
        "{}",
        text(&output.stderr)
    );
    let staging = gantry.dir().join("staging");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0, "no blob is left");

    // Its layers aren't fetched again: the registry doesn't have them any more.
    for layer in &image.blobs()[1..3] {
        fs::remove_file(data(&server, layer)).unwrap();
    }
    let output = installer(&gantry, &server, &["image", "import", &name]);
    assert_eq!(text(&output.stdout), format!("{}\n", image.id), "{}", text(&output.stderr));
    let list = installer(&gantry, &server, &["image", "list"]);
    assert_says(&text(&list.stdout), &[&format!("localhost-{}/a/b", server.port), &image.id[..19]]);

    let other = Gantry::new();
    let output = installer(&other, &server, &["image", "import", &name]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert_says(&text(&output.stderr), &["404"]);
    assert!(!other.dir().join("staging").exists(), "a directory that was made for nothing goes");
}

/// Counts what is added to it.
struct Counted {
    sink: Vec<u8>,
    appended: usize,
}

impl Sink for Counted {
    fn held(&mut self, each: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
        self.sink.held(each)
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.appended += bytes.len();
        Sink::append(&mut self.sink, bytes)
    }

    fn clear(&mut self) -> std::io::Result<()> {
        Sink::clear(&mut self.sink)
    }
}
