// SPDX-License-Identifier: Apache-2.0
//! Builds the images of `make run` from Debian packages: a redis server and a client.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testing::image;
use testing::rootfs::Rootfs;

const PORT: &str = "16379";

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("expected a directory")?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    write(&directory.join("redis.aci"), &Rootfs::redis()?, &server())?;
    write(&directory.join("client.aci"), &Rootfs::busybox()?, &client())
}

fn server() -> Value {
    let exec =
        ["redis-server", "--bind", "127.0.0.1", "--port", PORT, "--save", "", "--dir", "/var/lib/redis"];
    let mut manifest = image::manifest("redis", &exec);
    manifest["app"]["user"] = json!("redis");
    manifest["app"]["group"] = json!("redis");
    manifest
}

/// Returns the client's manifest. It waits for the server, talks to it, and ends it; with both apps gone, the pod ends.
fn client() -> Value {
    let script = format!(
        "ask() {{ printf '%s\\r\\n' \"$@\" QUIT | nc 127.0.0.1 {PORT} 2>/dev/null; }}\n\
         until ask PING | grep -q PONG; do sleep 0.05; done\n\
         echo 'client: set, get, shut down:'; ask 'SET greeting hello' 'GET greeting'; ask SHUTDOWN; exit 0"
    );
    image::script("client", &script)
}

fn write(path: &Path, rootfs: &Rootfs, manifest: &Value) -> Result<()> {
    let about = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(about)?;
    rootfs.write_image(manifest.to_string().as_bytes(), std::io::BufWriter::new(file)).with_context(about)?;
    eprintln!("built {}", path.display());
    Ok(())
}
