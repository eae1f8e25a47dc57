// SPDX-License-Identifier: Apache-2.0
//! Unknown content: from an archive to a tree on disk.
//!
//! Gantry begins with an empty directory, so its time includes stage1's extraction, the pod, all digests, the record,
//! and durability. A second time, stage1 is in the store already, as on a machine that has pods. The others get the
//! same tar stream; `sync -f` makes their output durable too, which none of them does by itself. Engines begin with a
//! store that is set up and has no image.

use anyhow::Result;

use crate::compare::{Contender, Row, Turns, compare, in_shell};
use crate::images::{Encoding, Image};
use crate::work::Work;

/// The rows.
pub(crate) const OURS: usize = 0;
pub(crate) const TAR: usize = 1;
pub(crate) const STAGE1_KNOWN: usize = 2;

/// The results for one encoding.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(crate) encoding: &'static Encoding,
    pub(crate) rows: Vec<Row>,
}

const EMPTY_STORE: &str = "podman rmi -af >/dev/null; sync";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Gantry and tar, of which the goals are.
    Goals,
    All,
}

/// Measures these encodings of the image.
pub(crate) fn measure(
    work: &Work,
    image: &Image,
    encodings: &'static [Encoding],
    who: Who,
    turns: Turns,
) -> Result<Vec<Cold>> {
    encodings
        .iter()
        .map(|encoding| {
            eprintln!("cold, {}", encoding.name);
            let mut contenders = contenders(image, encoding);
            match who {
                Who::Goals => contenders.truncate(STAGE1_KNOWN + 1),
                Who::All => layouts(work, image, encoding),
            }
            let rows = compare(work, contenders, turns, ":")?;
            work.shell("rm -rf gantry known tree bundle oci-gz oci-zst; podman rmi -af || :")?;
            Ok(Cold { encoding, rows })
        })
        .collect()
}

fn contenders(image: &Image, encoding: &Encoding) -> Vec<Contender> {
    let file = image.file(encoding);
    let unpack = format!("{} {file} -C tree && sync -f tree", encoding.tar);
    let forget = format!(
        "rm -rf known; installer --dir known prepare --image {file} >/dev/null 2>&1
         rm -r known/containers/*; installer --dir known image rm {} >/dev/null; sync",
        image.id
    );
    let import = format!("podman import -q {file} cold >/dev/null && sync -f .");
    let mut all = vec![
        Contender::new("Gantry", format!("installer --dir gantry prepare --image {file}"))
            .after("rm -rf gantry; sync"),
        Contender::new("tar", in_shell(&unpack)).after("rm -rf tree; mkdir tree; sync"),
        Contender::new("Gantry, stage1 known", format!("installer --dir known prepare --image {file}"))
            .after(forget),
        Contender::new("podman import", in_shell(&import)).after(EMPTY_STORE),
    ];
    let layout = match encoding.suffix {
        ".gz" => "oci-gz",
        ".zst" => "oci-zst",
        _ => return all,
    };
    if layout == "oci-gz" {
        let unpack = "umoci unpack --image oci-gz:image bundle && sync -f bundle";
        all.push(Contender::new("umoci unpack", in_shell(unpack)).after("rm -rf bundle; sync"));
    }
    let copy = format!("skopeo copy -q oci:{layout}:image containers-storage:cold && sync -f .");
    all.push(Contender::new("skopeo copy", in_shell(&copy)).after(EMPTY_STORE));
    all
}

/// Makes OCI layouts whose only layer is the image's tar stream, for contenders that read nothing else. umoci writes
/// only gzip. If a layout can't be made, the contenders that need it say so.
fn layouts(work: &Work, image: &Image, encoding: &Encoding) {
    let gz = format!(
        "umoci init --layout oci-gz; umoci new --image oci-gz:image
         umoci raw add-layer --image oci-gz:image images/{}.tar",
        image.name
    );
    let zst = "skopeo copy -q --dest-compress-format zstd oci:oci-gz:image oci:oci-zst:image";
    let lines: &[&str] = match encoding.suffix {
        ".gz" => &[&gz],
        ".zst" => &[&gz, zst],
        _ => &[],
    };
    for line in lines {
        if let Err(error) = work.shell(line) {
            eprintln!("  {error:#}");
        }
    }
}
