// SPDX-License-Identifier: Apache-2.0
//! The client of registries against Debian's docker-registry, with TLS and a user, on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs;
use std::sync::Mutex;

use gate::root_test;
use pod::blob::BlobDigest;
use registry::registries::Registries;
use registry::{Blob, Client, Name, Options, Silent, Sink, Wanted, auth, certs};
use testing::oci::OciImage;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

use server::{installer, manifest, options};
use testing::registry::Server;

mod fetcher;
mod kept;
mod peers;
mod pod_manifests;
mod policy;
mod programs;
mod server;

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

#[root_test]
fn images_come_from_docker_registry() {
    let layer = layer();
    let server = Server::start(&[b"{}", &layer, document(&layer).as_bytes()]);

    // Whom it does not know gets nothing, and it is not believed without its certificate.
    let stranger = Options { credentials: auth::Sources::default(), ..options(&server) };
    let error = manifest(&server, stranger, "a/b:1").unwrap_err();
    assert!(error.contains("401: it asks for credentials"), "{error}");
    let error =
        manifest(&server, Options { certificates: certs::Sources::default(), ..options(&server) }, "a/b:1");
    assert!(error.unwrap_err().contains("TLS: "));
    let error = manifest(&server, options(&server), "a/b:2").unwrap_err();
    assert!(error.contains("404: it has no such image"), "{error}");

    assert_eq!(manifest(&server, options(&server), "a/b:1").unwrap(), document(&layer).as_bytes());
    let digest = BlobDigest::sha256(document(&layer).as_bytes());
    assert_eq!(
        manifest(&server, options(&server), &format!("a/b@{digest}")).unwrap(),
        document(&layer).as_bytes()
    );

    // Half of the layer is there from an earlier try.
    let client = Client::new(options(&server), &Silent);
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
        fs::remove_file(server.data(layer)).unwrap();
    }
    let output = installer(&gantry, &server, &["image", "import", &name]);
    assert_eq!(text(&output.stdout), format!("{}\n", image.id), "{}", text(&output.stderr));
    let list = installer(&gantry, &server, &["image", "list"]);
    assert_says(&text(&list.stdout), &[&format!("localhost:{}/a/b:1", server.port), &image.id[..19]]);

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
