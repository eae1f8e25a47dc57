// SPDX-License-Identifier: Apache-2.0
//! An OCI image of several layers: from a registry on loopback, and from an archive, to a tree on disk.
//!
//! The large image's tree is split into layers of about the same size, which umoci compresses by gzip. The registry is
//! Debian's docker-registry with TLS and a user, as tests have it; everybody trusts its certificate and is its user by the
//! same files. Gantry begins with an empty directory, so its time has a pod in it, and in one row stage1 as well. The others
//! begin with a store, or directories, that have no image. `sync -f` makes what they write durable.

use anyhow::Result;
use testing::packages;
use testing::registry::Server;

use crate::compare::{Contender, Row, Turns, compare, in_shell};
use crate::images::Image;
use crate::work::Work;

/// The rows of a pull.
pub(crate) const OURS: usize = 0;
pub(crate) const PULL: usize = 1;
pub(crate) const SKOPEO: usize = 2;
/// The row of `podman load`, beside [`OURS`].
pub(crate) const LOAD: usize = 1;

/// How many layers the image has.
const LAYERS: u32 = 6;
/// Its repository, below the one that the registry's user is known for.
const REPOSITORY: &str = "a/large";

/// What was measured.
#[derive(Debug)]
pub(crate) struct Oci {
    /// From the registry.
    pub(crate) pull: Vec<Row>,
    /// From an archive.
    pub(crate) archive: Vec<Row>,
}

/// Fetches the registry's package, before the bench has a namespace of its own.
pub(crate) fn prepare() -> Result<()> {
    packages::fetch("docker-registry").map(drop)
}

/// Measures the image.
pub(crate) fn measure(work: &Work, image: &Image, turns: Turns) -> Result<Oci> {
    eprintln!("an OCI image of {LAYERS} layers");
    work.shell(&layers(image.name))?;
    let server = Server::start(&[b"{}"]);
    let name = format!("localhost:{}/{REPOSITORY}:1", server.port);
    let known: Vec<_> =
        server.environment().iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
    let with = |command: &str| format!("env {} {command}", known.join(" "));
    work.shell(&with(&format!("skopeo copy -q oci:layers:image docker://{name}")))?;
    work.shell("skopeo copy -q oci:layers:image oci-archive:layers.tar:localhost/large:1; rm -rf layers")?;
    eprintln!("from a registry");
    let pull = compare(work, pulls(&name, &with), turns, ":")?;
    work.shell("rm -rf gantry known bundle pulled; podman rmi -af || :")?;
    eprintln!("from an archive");
    let archive = compare(work, archives(), turns, ":")?;
    work.shell("rm -rf gantry layers.tar; podman rmi -af || :")?;
    Ok(Oci { pull, archive })
}

fn pulls(name: &str, with: &dyn Fn(&str) -> String) -> Vec<Contender> {
    let ours = |dir: &str| with(&format!("installer --dir {dir} prepare --image {name}"));
    let forget = "rm -rf known; installer --dir known prepare --image images/busybox.tar >/dev/null 2>&1
         rm -r known/containers/*; sync";
    let pull = with(&format!("podman pull -q {name}"));
    let copy = with(&format!("skopeo copy -q docker://{name} oci:pulled:image"));
    let unpack = format!("{copy} && umoci unpack --image pulled:image bundle && sync -f bundle");
    vec![
        Contender::new("Gantry", ours("gantry")).after("rm -rf gantry; sync"),
        Contender::new("podman pull", in_shell(&format!("{pull} >/dev/null && sync -f .")))
            .after(EMPTY_STORE),
        Contender::new("skopeo copy and umoci unpack", in_shell(&unpack)).after("rm -rf bundle pulled; sync"),
        Contender::new("Gantry, stage1 known", ours("known")).after(forget),
    ]
}

fn archives() -> Vec<Contender> {
    let load = "podman load -q -i layers.tar >/dev/null && sync -f .";
    vec![
        Contender::new("Gantry", "installer --dir gantry prepare --image oci-archive:layers.tar")
            .after("rm -rf gantry; sync"),
        Contender::new("podman load", in_shell(load)).after(EMPTY_STORE),
    ]
}

const EMPTY_STORE: &str = "podman rmi -af >/dev/null; sync";

/// Returns the shell that makes the image `layers:image`: files in the order of their names, each layer with as many bytes.
fn layers(name: &str) -> String {
    format!(
        "rm -rf layers; umoci init --layout layers; umoci new --image layers:image
         cd trees/{name}/rootfs
         find . -mindepth 1 -printf '%s %p\\n' | LC_ALL=C sort -k 2 > ../../../all
         awk -v most=$(awk '{{ sum += $1 }} END {{ print sum / {LAYERS} }}' ../../../all) '
             {{ sum += $1; layer = int(sum / most); if (layer > {LAYERS} - 1) layer = {LAYERS} - 1
                sub(/^[0-9]+ /, \"\"); print > (\"../../../layer\" layer) }}' ../../../all
         cd ../../..
         for layer in layer[0-9]; do
             tar -C trees/{name}/rootfs --no-recursion -cf $layer.tar -T $layer
             umoci raw add-layer --image layers:image $layer.tar; rm $layer $layer.tar
         done
         umoci config --image layers:image --config.cmd /usr/bin/true
         rm all"
    )
}
