// SPDX-License-Identifier: Apache-2.0
//! A plan → a pod directory.
//!
//! Invariant: on any failure, all that was written is removed again, down to the directories that were made for it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pod::text::escape;

use super::assemble;
use super::plan::{ManifestPlan, Plan};
use crate::extract::{Expected, Unpacker};
use crate::interrupt::Interrupt;
use crate::stage1;
use crate::staging::{Home, Staging};

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
    let unpacker = Unpacker { interrupt: interrupt.clone(), with_sha512, ..Unpacker::default() };
    let (stage1, digest) = plan.stage1;
    let shown = stage1.shown();
    let stage1 = staging.add_stage1(&unpacker, stage1, digest).with_context(|| format!("stage1 {shown}"))?;
    let (mut trees, mut images) = (Vec::new(), Vec::new());
    for (mut source, expected) in plan.images {
        let shown = source.shown();
        let add = || {
            let expected = expected.map_or(Expected::Anything, Expected::Tar);
            source.show_progress("unpacking");
            let (tree, id) = staging.add_image(&unpacker, source, expected, &named)?;
            let image = assemble::read_image(staging, id, &shown)?;
            Ok((tree, image))
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
