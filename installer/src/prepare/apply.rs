// SPDX-License-Identifier: Apache-2.0
//! A plan → a pod directory.
//!
//! Invariant: on any failure, all that was written is removed again, down to the directories that were made for it.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::text::escape;

use super::assemble;
use super::plan::{ManifestPlan, Plan};
use crate::archive::Limits;
use crate::extract::Expected;
use crate::interrupt::Interrupt;
use crate::source::Source;
use crate::stage1;
use crate::staging::{Home, Staging, UnpackedImage};
use crate::worker::{self, Job};

/// Prepares the pod directory and tells `announce` its path; where that fails, it is gone again.
pub(crate) fn apply(
    mut plan: Plan,
    interrupt: &Interrupt,
    announce: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let (stage1, digest) = &mut plan.stage1;
    stage1::check(stage1, *digest, interrupt).with_context(|| format!("stage1 {}", stage1.shown()))?;
    let home = Home::open(&plan.dir)?;
    let done = in_staging(plan, &home, interrupt, announce);
    if done.is_err() {
        home.abandon();
    }
    done
}

fn in_staging(
    plan: Plan,
    home: &Home,
    interrupt: &Interrupt,
    announce: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let staging = Staging::create(home)
        .with_context(|| format!("directory {}", escape(&home.path().to_string_lossy())))?;
    let done = fill(plan, &staging, interrupt).and_then(|pod| match announce(&pod) {
        Ok(()) => Ok(pod),
        Err(error) => {
            staging.withdraw();
            Err(error)
        }
    });
    if done.is_err() {
        staging.discard();
    }
    done
}

fn fill(plan: Plan, staging: &Staging<'_>, interrupt: &Interrupt) -> Result<PathBuf> {
    let named = plan.manifest.named_images();
    let with_sha512 = named.iter().any(pod::digest::Digest::is_sha512);
    let job = Job { expected: Expected::Anything, with_sha512, limits: Limits::default() };
    let (stage1, digest) = plan.stage1;
    let shown = stage1.shown();
    // Side by side: neither knows of the other until both are whole.
    let (stage1, unpacked) = thread::scope(|scope| {
        let stage1 = thread::Builder::new()
            .name("stage1".into())
            .spawn_scoped(scope, || {
                let job = Job { expected: Expected::File(digest), ..job };
                staging.add_stage1(|place| worker::unpack(&job, &stage1, place, interrupt))
            })
            .context("cannot start a thread")?;
        let unpacked = unpack(plan.images, staging, job, &named, interrupt);
        let stage1 = stage1.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, anyhow::Error>((stage1.with_context(|| format!("stage1 {shown}"))?, unpacked?))
    })?;
    let (mut trees, mut images) = (Vec::new(), Vec::new());
    for (image, shown) in unpacked {
        let add = || {
            let (tree, id) = staging.place_image(image)?;
            Ok((tree, assemble::read_image(staging, id, &shown)?))
        };
        let (tree, image): (_, _) = (add() as Result<_>).with_context(|| format!("image {shown}"))?;
        trees.push(tree);
        images.push(image);
    }
    let manifest = match plan.manifest {
        ManifestPlan::Generate(volumes) => assemble::generate(staging.id(), &images, &volumes)?,
        ManifestPlan::Given(bytes, manifest) => {
            assemble::check_images(&manifest, &images)?;
            bytes
        }
    };
    assemble::check(staging, &manifest, images)?;
    interrupt.check()?;
    staging.publish(&stage1, &trees, &manifest)
}

/// Unpacks the images, one after the other; each with its file, for messages.
fn unpack(
    images: Vec<(Source, Option<Digest>)>,
    staging: &Staging<'_>,
    job: Job,
    named: &[Digest],
    interrupt: &Interrupt,
) -> Result<Vec<(UnpackedImage, String)>> {
    let mut unpacked = Vec::new();
    for (mut source, expected) in images {
        let shown = source.shown();
        let job = Job { expected: expected.map_or(Expected::Anything, Expected::Tar), ..job };
        source.show_progress("unpacking");
        let image = staging
            .unpack_image(named, unpacked.len(), |place| worker::unpack(&job, &source, place, interrupt));
        unpacked.push((image.with_context(|| format!("image {shown}"))?, shown));
    }
    Ok(unpacked)
}
