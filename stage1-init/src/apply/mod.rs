// SPDX-License-Identifier: Apache-2.0
//! Writes a plan's files into stage1.
//!
//! What an earlier start of the same pod left is removed first, so a second start finds the same state as the first.

pub(crate) mod clear;
pub(crate) mod write;
pub(crate) mod zone;

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use pod::layout;
use pod::path::RelativePath;
use sys::InRoot;

use crate::exchange::statuses;
use crate::plan::{Directory, Plan};
use clear::{check_same_mount, readable};

/// Writes the plan's files and links into stage1, and makes the directories that the pod needs there.
pub(crate) fn apply(plan: &Plan, stage1: &InRoot) -> Result<()> {
    zone::put(stage1, plan.zone.as_ref()).context("cannot mirror the host's localtime")?;
    clear_all(plan, stage1)?;
    let outcome = stage1.make_dir(&path(layout::OUTCOME)?)?;
    check_same_mount(stage1, outcome).with_context(|| format!("stage1's {}", layout::OUTCOME))?;
    for (at, file) in &plan.files {
        write::file(stage1, &path(at)?, file.content.as_bytes(), file.mode)
            .with_context(|| format!("cannot write stage1's {at}"))?;
    }
    for (at, target) in &plan.links {
        write::link(stage1, &path(at)?, target).with_context(|| format!("cannot make stage1's {at}"))?;
    }
    for at in plan.directories.iter().filter(|(_, kind)| *kind == Directory::Kept).map(|(at, _)| at) {
        stage1.make_dir(&path(at)?).with_context(|| format!("cannot make stage1's {at}"))?;
    }
    Ok(())
}

/// Makes and empties the directories that belong to the plan alone, and reserves room for the apps' statuses.
///
/// If something is mounted in any of them, none is emptied.
fn clear_all(plan: &Plan, stage1: &InRoot) -> Result<()> {
    let mut all = Vec::new();
    for name in plan.directories.iter().filter(|(_, kind)| *kind == Directory::Emptied).map(|(at, _)| at) {
        let open = || -> Result<OwnedFd> {
            let directory = readable(stage1.make_dir(&path(name)?)?)?;
            clear::check(stage1, &directory)?;
            Ok(directory)
        };
        all.push((name, open().with_context(|| format!("cannot clear stage1's {name}"))?));
    }
    all.iter().try_for_each(|(name, directory)| {
        clear::clear(stage1, directory).with_context(|| format!("cannot clear stage1's {name}"))?;
        if *name == layout::STATUS {
            let statuses = plan.statuses.iter().map(|(app, writes)| (app, *writes));
            statuses::reserve(directory, statuses).context("cannot reserve room for the apps' statuses")?;
        }
        Ok(())
    })
}

fn path(at: &str) -> Result<RelativePath> {
    Ok(RelativePath::from_bytes(at.as_bytes())?)
}
