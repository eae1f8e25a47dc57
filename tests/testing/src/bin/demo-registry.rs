// SPDX-License-Identifier: Apache-2.0
//! Runs a command beside a registry on loopback, Debian's docker-registry, for `make run`. The registry has an image that
//! is built of Debian's packages: redis, in three layers. The command finds its name in `$IMAGE`.
#![allow(clippy::print_stderr, reason = "a tool that can't speak has failed")]

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use testing::oci::OciImage;
use testing::registry::Server;
use testing::rootfs::{Node, Rootfs};

/// The image's repository. The registry's user may pull what is below `a`.
const REPOSITORY: &str = "a/redis";
const CONFIGURATION: &str = "bind 127.0.0.1\nport 16379\nsave \"\"\ndir /var/lib/redis\n";

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().context("expected a command")?;
    // A signal is for the command. This process waits for it, and then stops the registry.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let image = redis()?;
    let server = Server::start(&image.blobs());
    server.add(REPOSITORY, &image.blobs());
    let name = server.name(REPOSITORY);
    eprintln!(
        "docker-registry listens on port {}, with TLS; it has {name}, an image of three layers",
        server.port
    );
    let status = Command::new(&program).args(words).envs(server.environment()).env("IMAGE", name).status();
    let code = status.with_context(|| format!("cannot run {}", program.display()))?.code().unwrap_or(1);
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Returns redis in three layers: Debian's libraries, the server, and a configuration in place of Debian's.
fn redis() -> Result<OciImage> {
    let (libraries, server) = Rootfs::redis()?.split(|path| path.starts_with("usr/lib"));
    let configured = Rootfs::default()
        .with("etc/redis/.wh.redis.conf", Node::File(0o644, Vec::new()))
        .with("etc/redis/demo.conf", Node::File(0o644, CONFIGURATION.into()));
    let config = json!({"Entrypoint": ["redis-server"], "Cmd": ["/etc/redis/demo.conf"], "User": "redis",
                        "WorkingDir": "/var/lib/redis", "ExposedPorts": {"16379/tcp": {}}});
    Ok(OciImage::gzipped(&[&libraries, &server, &configured], &config))
}
