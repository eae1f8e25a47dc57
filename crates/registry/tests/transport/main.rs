// SPDX-License-Identifier: Apache-2.0
//! The client against a server on loopback that does what registries do, and what they should not.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod access;
mod blobs;
mod documents;
mod endpoints;
mod proxies;
mod server;
mod signatures;
mod tls;

use std::sync::Mutex;
use std::time::Duration;

use pod::blob::BlobDigest;
use registry::registries::{Endpoint, Plan};
use registry::{Client, Host, Limits, Listener, Options, Progress, Reference};
use server::{Reply, Seen, Server};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

/// Keeps notes.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Listener for Notes {
    fn note(&self, note: &str) {
        self.0.lock().unwrap().push(note.to_owned());
    }

    fn begin(&self, _blob: &BlobDigest, _size: u64) -> Box<dyn Progress> {
        Box::new(registry::Silent)
    }
}

/// Limits that let a test end soon.
fn limits() -> Limits {
    Limits {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_secs(2),
        waits: 3,
        cuts: 2,
        ..Limits::default()
    }
}

fn options() -> Options {
    Options { limits: limits(), ..Options::default() }
}

fn endpoint(server: &Server, repository: &str, insecure: bool) -> Endpoint {
    let reference = Reference::parse(&format!("{}/x:1", server.host())).unwrap();
    let host: Host = reference.host().clone();
    Endpoint { host, repository: repository.to_owned(), insecure }
}

/// The plan for `a/b:1` on servers without TLS.
fn plan(servers: &[&Server]) -> Plan {
    let reference = Reference::parse("registry.example/a/b:1").unwrap();
    Plan { reference, endpoints: servers.iter().map(|server| endpoint(server, "a/b", true)).collect() }
}

/// Fetches one blob into `held`.
fn fetch(options: Options, plan: &Plan, blob: &[u8], held: &mut Vec<u8>) -> Result<(), String> {
    let notes = Notes::default();
    let client = Client::new(options, &notes);
    let digest = BlobDigest::sha256(blob);
    client.pull(plan).blob(digest, blob.len() as u64, held).map_err(|error| error.to_string())
}

/// Fetches the manifest; an error as its text.
fn manifest(options: Options, plan: &Plan) -> Result<Vec<u8>, String> {
    let notes = Notes::default();
    let client = Client::new(options, &notes);
    let pull = client.pull(plan);
    pull.manifest().map(|manifest| manifest.bytes).map_err(|error| error.to_string())
}

/// Answers manifests and nothing else.
fn just_manifests(seen: &Seen) -> Reply {
    if seen.path.starts_with("/v2/a/b/manifests/") {
        return Reply::new(200, MANIFEST).with("Content-Type", OCI);
    }
    Reply::new(404, "")
}
