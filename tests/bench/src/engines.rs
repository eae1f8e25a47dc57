// SPDX-License-Identifier: Apache-2.0
//! podman's and skopeo's storage: in the working directory, with the options that make them fastest and let them work
//! on most hosts.

use std::fs;

use anyhow::{Context, Result};

use crate::images::Image;
use crate::work::Work;

/// Without events and a network of its own, podman is faster. Its limits would otherwise be the highest possible, which
/// root may not set everywhere.
const CONTAINERS: &str = r#"[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "WORK/podman/tmp"
"#;

const STORAGE: &str = r#"[storage]
driver = "overlay"
graphroot = "WORK/podman/root"
runroot = "WORK/podman/run"
"#;

/// Writes their configuration.
pub(crate) fn configure(work: &Work) -> Result<()> {
    let path = work.join("").to_string_lossy().trim_end_matches('/').to_owned();
    for (name, text) in [("containers.conf", CONTAINERS), ("storage.conf", STORAGE)] {
        fs::write(work.join(name), text.replace("WORK", &path)).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}

/// Imports the images into every engine's store. If podman is missing, the contenders that need it say so.
pub(crate) fn fill(work: &Work, images: &[Image]) -> Result<()> {
    for Image { name, .. } in images {
        work.shell(&format!("installer --dir gantry image import images/{name}.tar.gz"))?;
        if let Err(error) = work.shell(&format!("podman import -q {name}.rootfs.tar {name}")) {
            eprintln!("  {error:#}");
        }
    }
    // Makes here what is made once for all pods of a boot.
    work.shell(&format!(
        "installer --dir gantry prepare --image {}; rm -rf gantry/containers/*",
        images[0].id
    ))?;
    Ok(())
}

/// Returns the configuration, for readers who repeat the measurement.
pub(crate) fn shown() -> String {
    format!("`storage.conf`:\n\n```toml\n{STORAGE}```\n\n`containers.conf`:\n\n```toml\n{CONTAINERS}```\n")
}
