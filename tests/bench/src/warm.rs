// SPDX-License-Identifier: Apache-2.0
//! Known content: the cost of one more pod, in time and on disk.

use anyhow::{Context, Result};

use crate::compare::{Contender, Row, Turns, compare};
use crate::images::{ENCODINGS, Image};
use crate::work::Work;

/// The results.
#[derive(Debug)]
pub(crate) struct Warm {
    /// Times of each image, in the order of the images; see [`BY_ID`] and so on.
    pub(crate) rows: Vec<Vec<Row>>,
    /// Bytes of disk that one more pod, or container, takes, by image.
    pub(crate) disk: Vec<Disk>,
}

/// Bytes of disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) pod: f64,
    /// A pod whose app has run.
    pub(crate) pod_that_ran: f64,
    /// podman's container, or why its size is not known.
    pub(crate) podman: Result<f64, String>,
}

/// An image's rows.
pub(crate) const BY_ID: usize = 0;
pub(crate) const BY_FILE: usize = 1;
pub(crate) const PODMAN: usize = 2;

/// A single pod takes so little that only many can be measured.
const MANY: u32 = 20;
const REMOVE_ALL: &str = "rm -rf gantry/containers/*; podman rm -af >/dev/null 2>&1 || :; sync";

/// Measures all images, which must be in the store, and imported into podman's under their names.
pub(crate) fn measure(work: &Work, images: &[Image], turns: Turns) -> Result<Warm> {
    eprintln!("warm");
    let contenders: Vec<Vec<_>> = images.iter().map(contenders).collect();
    let counts: Vec<_> = contenders.iter().map(Vec::len).collect();
    let rows = compare(work, contenders.into_iter().flatten().collect(), turns, REMOVE_ALL)?;
    let mut rows = rows.into_iter();
    let rows = counts.into_iter().map(|count| rows.by_ref().take(count).collect()).collect();
    let disk = images.iter().map(|image| disk(work, image)).collect::<Result<_>>()?;
    work.shell(REMOVE_ALL)?;
    Ok(Warm { rows, disk })
}

fn contenders(image: &Image) -> Vec<Contender> {
    let (name, id) = (image.name, &image.id);
    let file = image.file(&ENCODINGS[1]);
    vec![
        Contender::new(
            &format!("Gantry, {name}, by id"),
            format!("installer --dir gantry prepare --image {id}"),
        ),
        Contender::new(
            &format!("Gantry, {name}, by FILE@digest"),
            format!("installer --dir gantry prepare --image {file}@{id}"),
        ),
        Contender::new(&format!("podman create, {name}"), format!("podman create -q {name} /usr/bin/true")),
    ]
}

fn disk(work: &Work, image: &Image) -> Result<Disk> {
    let (name, id) = (image.name, &image.id);
    let prepare = format!("installer --dir gantry prepare --image {id}");
    let create = format!("podman create -q {name} /usr/bin/true");
    Ok(Disk {
        pod: each(work, "gantry", &prepare)?,
        pod_that_ran: each(work, "gantry", &format!("installer --dir gantry run --image {id}"))?,
        podman: each(work, "podman", &create).map_err(|error| format!("{error:#}")),
    })
}

/// Returns by how much a directory grows each time. A file with several names counts once.
fn each(work: &Work, directory: &str, line: &str) -> Result<f64> {
    let size = || -> Result<f64> {
        let printed = work.shell(&format!("sync; du -s -B1 {directory} | cut -f1"))?;
        printed.parse().with_context(|| format!("du printed {printed}"))
    };
    work.shell(REMOVE_ALL)?;
    work.shell(line)?;
    let before = size()?;
    for _ in 0..MANY {
        work.shell(line)?;
    }
    Ok((size()? - before) / f64::from(MANY))
}
