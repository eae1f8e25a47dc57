// SPDX-License-Identifier: Apache-2.0
//! `installer verify`: compares each tree with its record, and repairs damaged ones on request.

use anyhow::{Result, bail};
use pod::id::TreeId;
use pod::text::one_line;
use store::{
    About as _, DataDir, Formats, Importer, Known, NoImage, References, Repair, Selector, Tree, TreeKind,
    Verdict, init,
};
use terminal::output::Lines;

use crate::context::{Context, sweep};
use crate::exit::Exit;
use crate::options::LimitOptions;
use crate::ui::Ui;

/// Compare the images and stage1s in the store with their records
///
/// Compares all metadata and all content with what was recorded when they were extracted. Prints a line for each one
/// that is intact, and a line for each difference of a damaged one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Extract damaged ones again from the files they came from
    ///
    /// If the file is gone, or has another content by now, the damaged one is taken out of the store. If the file can't
    /// be unpacked for another reason, it stays as it is. Images of registries are extracted from their layers, which
    /// the store keeps.
    #[arg(long)]
    repair: bool,
    /// Images, by id, the beginning of an id, or name [default: everything in the store]
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    #[command(flatten)]
    limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let in_store = context.in_store(|data_dir| {
        let (limits, interrupt) = (args.limits.limits(), &context.interrupt);
        let importer = Importer { data_dir, limits, name_of: image::name, interrupt };
        let exit = if args.repair { sweep(data_dir)? } else { Exit::Done };
        let known = args.repair.then(|| Known::read(data_dir)).transpose()?;
        Verification { importer, known, lines: Ui.lines(), exit }.of(&args.images)
    });
    if let Some(exit) = in_store? {
        return Ok(exit);
    }
    context.check_dir()?;
    match args.images.first() {
        Some(image) => Err(report::told(NoImage(Selector::any(image)))),
        None => Ok(Exit::Done),
    }
}

/// A running verification, and what it has found so far.
struct Verification<'a> {
    importer: Importer<'a>,
    /// The infos of trees, if damaged ones are to be repaired.
    known: Option<Known>,
    lines: Lines,
    exit: Exit,
}

/// The state of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is as it was recorded, or is so again.
    Intact,
    Damaged,
    /// The store has no such tree.
    Missing,
}

impl Verification<'_> {
    /// Verifies these images, or everything in the store. A damaged tree doesn't stop the verification of the others.
    fn of(mut self, images: &[String]) -> Result<Exit> {
        for id in ids(self.importer.data_dir, images)? {
            self.importer.interrupt.check()?;
            match self.one(id) {
                Ok(State::Intact) => {}
                Ok(State::Damaged) => self.exit = Exit::Failed,
                Ok(State::Missing) if images.is_empty() => {}
                Ok(State::Missing) => bail!("no tree {id} in the store: expected one"),
                Err(error) => {
                    self.importer.interrupt.check()?;
                    Ui.error(&error);
                    self.exit = Exit::Failed;
                }
            }
        }
        self.lines.end()?;
        Ok(self.exit)
    }

    /// Verifies a tree, and repairs it where that was asked for.
    fn one(&mut self, id: TreeId) -> Result<State> {
        let tree = match store::verify(self.importer.data_dir, id, self.importer.interrupt)? {
            Verdict::Missing => return Ok(State::Missing),
            Verdict::Intact(tree) => {
                self.lines.add(&format!("{id}: intact"));
                Some(*tree)
            }
            Verdict::Damaged(differences) => {
                differences.iter().for_each(|line| self.lines.add(&format!("{id}: {}", one_line(line))));
                self.repair(id)?
            }
        };
        tree.map_or(Ok(State::Damaged), |tree| self.inits(&tree))
    }

    /// Repairs a tree if that was asked for, and reports how. Returns the tree if it is intact now.
    fn repair(&mut self, id: TreeId) -> Result<Option<Tree>> {
        let Some(known) = &self.known else { return Ok(None) };
        let formats = Formats { layered_of: image::oci::layered_of, plan_of: image::plan };
        let repair =
            store::repair(&self.importer, known, id, formats).about(|| format!("cannot repair {id}"))?;
        let said = match &repair {
            Repair::Renewed(tree) if tree.info().kind == TreeKind::Rendered => {
                "renewed from the images that it is made of".to_owned()
            }
            Repair::Renewed(tree) if tree.info().source.is_none() => "renewed from its blobs".to_owned(),
            Repair::Renewed(_) => "renewed from its file".to_owned(),
            Repair::InUse => "in use, so not repaired: expected its pods to have ended".to_owned(),
            Repair::TakenOut(why, pods) => match pods.as_slice() {
                [] => format!("taken out of the store: {why}"),
                pods => {
                    let pods: Vec<_> = pods.iter().map(ToString::to_string).collect();
                    format!(
                        "taken out of the store: {why}: import its file again for pod {}",
                        pods.join(", ")
                    )
                }
            },
        };
        self.lines.add(&format!("{id}: {said}"));
        match repair {
            Repair::Renewed(tree) => Ok(Some(*tree)),
            Repair::InUse | Repair::TakenOut(..) => Ok(None),
        }
    }

    /// Compares the `init` of all pods of a stage1 with its own, and replaces another one if a repair was asked for.
    fn inits(&mut self, tree: &Tree) -> Result<State> {
        let (data_dir, id, interrupt) = (self.importer.data_dir, tree.id(), self.importer.interrupt);
        if tree.info().kind != TreeKind::Stage1 {
            return Ok(State::Intact);
        }
        let mut state = State::Intact;
        for pod in References::read(data_dir)?.as_stage1_to(id) {
            let is_another = init::differs(data_dir, tree, *pod, interrupt);
            if !is_another.about(|| format!("cannot look at the init of pod {pod}"))? {
                continue;
            }
            self.lines.add(&format!("{id}: pod {pod}: init: found another, expected this stage1's"));
            if self.known.is_none() {
                state = State::Damaged;
                continue;
            }
            let renewed = init::renew(data_dir, tree, *pod, interrupt);
            renewed.about(|| format!("cannot renew the init of pod {pod}"))?;
            self.lines.add(&format!("{id}: pod {pod}: init renewed"));
        }
        Ok(state)
    }
}

fn ids(data_dir: &DataDir, images: &[String]) -> Result<Vec<TreeId>> {
    if images.is_empty() {
        return Ok(store::ids_in_order(data_dir)?);
    }
    let id = |image: &String| {
        let selector = Selector::any(image);
        // A tree's id is used as it is, since damaged trees have one, too.
        let given = if let Selector::Id(id) = selector { id.as_tree() } else { None };
        given.map_or_else(|| Ok(store::resolve(data_dir, &selector)?.id()), Ok)
    };
    images.iter().map(id).collect()
}
