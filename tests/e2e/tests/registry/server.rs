// SPDX-License-Identifier: Apache-2.0
//! A registry as the client's library and the installer are to ask it.

use std::fs;
use std::process::Output;

use registry::registries::Registries;
use registry::{Client, Name, Options, Silent, auth, certs};
use testing::pods::Gantry;
use testing::registry::Server;

/// Returns the options of a client that trusts the server, and knows its user.
pub(crate) fn options(server: &Server) -> Options {
    let host = server.path("certs").join(format!("localhost:{}", server.port));
    fs::create_dir_all(&host).unwrap();
    fs::copy(server.path("cert.pem"), host.join("ca.crt")).unwrap();
    Options {
        credentials: auth::Sources { files: vec![server.path("auth.json")], ..auth::Sources::default() },
        certificates: certs::Sources { hosts: vec![server.path("certs")], ..certs::Sources::default() },
        ..Options::default()
    }
}

/// Fetches a manifest.
pub(crate) fn manifest(server: &Server, options: Options, image: &str) -> Result<Vec<u8>, String> {
    let client = Client::new(options, &Silent);
    let name = Name::parse(&format!("localhost:{}/{image}", server.port)).unwrap();
    let registries = Registries::default();
    let plan = registries.plan(&registries.resolve(&name).unwrap()).unwrap();
    client.pull(&plan).manifest().map(|manifest| manifest.bytes).map_err(|error| error.to_string())
}

/// Runs the installer with these words, as a host that knows the registry, its certificate and a user of it.
pub(crate) fn installer(gantry: &Gantry, server: &Server, words: &[&str]) -> Output {
    gantry.installer().envs(server.environment()).args(words).output().unwrap()
}
