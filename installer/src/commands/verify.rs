// SPDX-License-Identifier: Apache-2.0
//! `installer verify`: compares each tree with its record, and repairs damaged ones on request.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use pod::id::TreeId;
use pod::text::one_line;
use store::{Home, Importer, Kind, Known, References, Repair, Selector, Tree, Verdict, init};
use terminal::output::Lines;

use super::{Context, swept_but_mounted};
use crate::options::LimitOptions;

/// Compare what is in the store with what was recorded when it was extracted
///
/// All metadata and all content is compared. A line is printed for each image and stage1 that is as it was, and for
/// each difference of one that is not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Extract damaged ones anew from the files they came from
    ///
    /// One whose file is gone, or makes another tree by now, is taken out of the store. Where a file can't be
    /// unpacked for another reason, its tree stays as it is.
    #[arg(long)]
    repair: bool,
    /// Images by id, the beginning of one, or name; all that is in the store by default
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let in_store = context.in_store(|home| {
        let (limits, interrupt) = (args.limits.limits(), &context.interrupt);
        let importer = Importer { home, limits, name_of: image::name, interrupt };
        verify(&importer, args.repair, &args.images)
    });
    if let Some(code) = in_store? {
        return Ok(code);
    }
    context.check_dir()?;
    args.images.first().map_or(Ok(()), |image| Err(store::missing(&Selector::any(image))))?;
    Ok(ExitCode::SUCCESS)
}

/// Verifies these images, or everything in the store. A damaged tree doesn't stop the verification of the others.
fn verify(importer: &Importer<'_>, repair: bool, images: &[String]) -> Result<ExitCode> {
    let home = importer.home;
    let mut failed = repair && swept_but_mounted(home)?;
    let known = repair.then(|| Known::read(home)).transpose()?;
    let mut lines = Lines::default();
    for id in ids(home, images)? {
        importer.interrupt.check()?;
        let is_well = match one(importer, known.as_ref(), id, &mut lines) {
            Ok(Some(is_well)) => is_well,
            Ok(None) if images.is_empty() => true,
            Ok(None) => bail!("no tree {id} in the store: expected one"),
            Err(error) => {
                importer.interrupt.check()?;
                terminal::error(&error);
                false
            }
        };
        failed |= !is_well;
    }
    lines.end()?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn ids(home: &Home, images: &[String]) -> Result<Vec<TreeId>> {
    if images.is_empty() {
        return store::ids(home);
    }
    let id = |image: &String| {
        let selector = Selector::any(image);
        // A tree's id is used as it is, since damaged trees have one, too.
        let given = if let Selector::Id(id) = selector { id.as_tree() } else { None };
        given.map_or_else(|| Ok(store::resolve(home, &selector)?.id()), Ok)
    };
    images.iter().map(id).collect()
}

/// Tells whether a tree is intact or was repaired, and `None` if there is no such tree. Repairs only if `known` is
/// given.
fn one(
    importer: &Importer<'_>,
    known: Option<&Known>,
    id: TreeId,
    lines: &mut Lines,
) -> Result<Option<bool>> {
    let tree = match store::verify(importer.home, id, importer.interrupt)? {
        Verdict::Missing => return Ok(None),
        Verdict::Intact(tree) => {
            lines.add(&format!("{id}: intact"));
            Some(*tree)
        }
        Verdict::Damaged(differences) => {
            differences.iter().for_each(|line| lines.add(&format!("{id}: {}", one_line(line))));
            known.map_or(Ok(None), |known| repaired(importer, known, id, lines))?
        }
    };
    tree.map_or(Ok(false), |tree| inits(importer, known.is_some(), &tree, lines)).map(Some)
}

/// Repairs a tree and reports how. Returns the tree if it is intact now.
fn repaired(importer: &Importer<'_>, known: &Known, id: TreeId, lines: &mut Lines) -> Result<Option<Tree>> {
    let repair = store::repair(importer, known, id).with_context(|| format!("cannot repair {id}"))?;
    let said = match &repair {
        Repair::Renewed(_) => "renewed from its file".to_owned(),
        Repair::InUse => "in use, so not repaired: expected its pods to have ended".to_owned(),
        Repair::TakenOut(why, pods) => match pods.as_slice() {
            [] => format!("taken out of the store: {why}"),
            pods => {
                let pods: Vec<_> = pods.iter().map(ToString::to_string).collect();
                format!("taken out of the store: {why}: import its file again for pod {}", pods.join(", "))
            }
        },
    };
    lines.add(&format!("{id}: {said}"));
    match repair {
        Repair::Renewed(tree) => Ok(Some(*tree)),
        Repair::InUse | Repair::TakenOut(..) => Ok(None),
    }
}

/// Tells whether all pods of a stage1 have its `init`, or have now been given it by a repair.
fn inits(importer: &Importer<'_>, repair: bool, tree: &Tree, lines: &mut Lines) -> Result<bool> {
    let (home, id, interrupt) = (importer.home, tree.id(), importer.interrupt);
    if tree.info().kind != Kind::Stage1 {
        return Ok(true);
    }
    let mut are_well = true;
    for pod in References::read(home)?.as_stage1_to(id) {
        let is_another = init::differs(home, tree, *pod, interrupt);
        if !is_another.with_context(|| format!("cannot look at the init of pod {pod}"))? {
            continue;
        }
        lines.add(&format!("{id}: pod {pod}: init: found another, expected this stage1's"));
        are_well &= repair;
        if repair {
            let renewed = init::renew(home, tree, *pod, interrupt);
            renewed.with_context(|| format!("cannot renew the init of pod {pod}"))?;
            lines.add(&format!("{id}: pod {pod}: init renewed"));
        }
    }
    Ok(are_well)
}
