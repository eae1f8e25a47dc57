// SPDX-License-Identifier: Apache-2.0
//! A whole run of `true` with known content: from the command to its exit code.
//!
//! Only Gantry boots a systemd that supervises the app. nspawn, as it is called here, and the others execute the
//! program directly. They share the host's network; Gantry's pod has users and a network of its
//! own. No removal of what has ended is measured.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::compare::{Contender, Row, Turns, compare, in_shell};
use crate::images::Image;
use crate::work::{CGROUP, Work};

/// Gantry's rows.
pub(crate) const OURS: usize = 0;
pub(crate) const WITHOUT_NETWORK: usize = 2;
pub(crate) const PUBLISHED: usize = 3;
/// The others' rows.
pub(crate) const PODMAN_RUNC: usize = 5;
pub(crate) const NSPAWN: usize = 8;

const REMOVE_ALL: &str = "rm -rf gantry/containers/*; podman rm -af >/dev/null 2>&1 || :
    for runtime in runc crun; do $runtime --root $runtime delete -f bench 2>/dev/null || :; done; sync";

/// Measures the image, which must be in the store, and imported into podman's under its name.
pub(crate) fn measure(work: &Work, image: &Image, turns: Turns) -> Result<Vec<Row>> {
    eprintln!("whole runs");
    let (name, id) = (image.name, &image.id);
    let podman = |runtime| {
        format!("podman --runtime {runtime} run --cgroup-parent {CGROUP} --pull never {name} /usr/bin/true")
    };
    let mut contenders = vec![
        Contender::new("Gantry: installer run", format!("installer --dir gantry run --image {id}")),
        Contender::new(
            "Gantry: /init of a prepared pod",
            in_shell("cd prepared/containers/* && exec ./stage1/init"),
        )
        .after(format!("rm -rf prepared/containers/*; installer --dir prepared prepare --image {id}")),
        Contender::new(
            "Gantry: installer run --net=none",
            format!("installer --dir gantry run --net none --image {id}"),
        ),
        Contender::new(
            "Gantry: installer run -p",
            format!("installer --dir gantry run -p 127.0.0.1:18080:80 --image {id}"),
        ),
        Contender::new("podman run, with crun", podman("crun")),
        Contender::new("podman run, with runc", podman("runc")),
    ];
    for runtime in ["runc", "crun"] {
        if let Err(error) = bundle(work, runtime, name) {
            eprintln!("  {error:#}");
        }
        contenders.push(Contender::new(
            &format!("{runtime} run"),
            format!("{runtime} --root {runtime} run --bundle bundle-{runtime} bench"),
        ));
    }
    let nspawn = format!(
        "systemd-nspawn -q --register=no --keep-unit --settings=no -D trees/{name}/rootfs /usr/bin/true"
    );
    // It compiles its filter at each start, unless the variable is there.
    let unfiltered = format!("env SYSTEMD_SECCOMP=0 {nspawn}");
    contenders.push(Contender::new("systemd-nspawn", nspawn));
    contenders.push(Contender::new("systemd-nspawn without its filter", unfiltered));
    work.shell(&format!("installer --dir prepared image import images/{name}.tar"))?;
    let rows = compare(work, contenders, turns, REMOVE_ALL)?;
    work.shell(REMOVE_ALL)?;
    Ok(rows)
}

/// Makes a bundle as the runtime itself suggests, except for the program, the terminal and the host's network.
fn bundle(work: &Work, runtime: &str, image: &str) -> Result<()> {
    let directory = format!("bundle-{runtime}");
    work.shell(&format!("mkdir -p {directory}; cd {directory}; rm -f config.json; {runtime} spec"))?;
    let path = work.join(&directory).join("config.json");
    let about = || format!("change {}", path.display());
    let mut config: Value =
        serde_json::from_slice(&fs::read(&path).with_context(about)?).with_context(about)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/usr/bin/true"]);
    config["root"]["path"] = json!(work.join(format!("trees/{image}/rootfs")));
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    fs::write(&path, config.to_string()).with_context(about)
}
