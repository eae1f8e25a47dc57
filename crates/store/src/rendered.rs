// SPDX-License-Identifier: Apache-2.0
//! Rendered trees: each is made of the trees of an image and of the images that it depends on, put over each other.
//!
//! ```text
//! recipe: which trees, and which depends on which ──► its digest is the tree's id
//!   └─ plan: what the images' manifests make of that ──► trees over each other, in staging ──► the store
//! ```
//!
//! A rendered tree is a tree like others: recorded, verified, used by pods. Its info has the recipe. So the trees that
//! it was made of can't be removed while pods refer to it, and a damaged one is rendered anew from them.

use pod::id::TreeId;
use pod::layout;

use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::extract::layers::{Frame, Paths, Source, stack};
use crate::fault::Fault;
use crate::import::{Acquired, Importer};
use crate::info::TreeKind;
use crate::new::{Complete, New};
use crate::recipe::{Recipe, Rendered};
use crate::staging::{Staging, open_below};
use crate::tree::Tree;
use crate::verify::{Verdict, verify};
use sys::{InRoot, Interrupt};

/// How the trees of a recipe are put over each other.
#[derive(Debug)]
pub struct Plan {
    /// The trees, the lowest first: the number of each in the recipe, and the paths that it is limited to. A tree may
    /// stand several times.
    pub steps: Vec<(usize, Option<Paths>)>,
    /// The part of the tree that surrounds them. Its directory is also the one that is taken from each tree.
    pub frame: Frame,
}

/// Makes the plan of a recipe, whose trees are open.
///
/// This is a parameter because the store knows no image format.
pub type PlanOf = fn(&Recipe, &[InRoot]) -> Result<Plan, Fault>;

impl<'h> Importer<'h> {
    /// Returns the tree of a recipe, from the store or newly rendered of `trees`, which are those of the recipe.
    ///
    /// # Errors
    /// If one of them is damaged, a limit is exceeded, or the system fails. Nothing is left behind then.
    pub fn render(&self, recipe: &Recipe, trees: &[&Acquired<'_>], plan_of: PlanOf) -> Result<Acquired<'h>> {
        if let Some(tree) = Tree::open(self.data_dir, recipe.id(), TreeKind::Rendered)? {
            return Ok(Acquired::Known(tree));
        }
        let mut roots = Vec::new();
        for tree in trees {
            // A tree that was unpacked just now can't differ from its record.
            if let Acquired::Known(tree) = tree {
                check(self.data_dir, tree.id(), self.interrupt)?;
            }
            roots.push(tree.in_root(".")?);
        }
        Ok(Acquired::New(self.render_new(recipe, &roots, plan_of)?))
    }

    /// Renders a tree in staging, of trees that are locked and intact.
    pub(crate) fn render_new(&self, recipe: &Recipe, trees: &[InRoot], plan_of: PlanOf) -> Result<New<'h>> {
        let Plan { steps, frame } = plan_of(recipe, trees)?;
        let open = |tree: &InRoot| open_below(tree, &frame.directory);
        let roots = trees.iter().map(open).collect::<Result<Vec<_>, Fault>>()?;
        let source = |(tree, paths): &(usize, Option<Paths>)| {
            let root = roots.get(*tree).ok_or_else(|| Fault::content("a tree that the recipe doesn't have"));
            Ok(Source { root: root?, paths: paths.clone() })
        };
        let sources = steps.iter().map(source).collect::<Result<Vec<_>, Fault>>()?;
        let staging = Staging::create(self.data_dir)?;
        let root = staging.make_directory(layout::TREE)?;
        let record = staging.create_file(layout::TREE_RECORD)?;
        let sealed = stack(&sources, &frame, self.limits, &root, record, self.interrupt)?;
        let Self { data_dir, interrupt, name_of, .. } = *self;
        let complete = Complete::of_rendered(recipe, Rendered(sealed));
        Ok(New { data_dir, interrupt, name_of, staging, kind: TreeKind::Rendered, complete, source: None })
    }

    /// Renders a tree in staging of what the store has; the error within is a tree that it doesn't have.
    pub(crate) fn render_again(&self, recipe: &Recipe, plan_of: PlanOf) -> Result<Result<New<'h>, TreeId>> {
        let (mut trees, mut roots) = (Vec::new(), Vec::new());
        for id in &recipe.trees {
            let Some(tree) = Tree::open(self.data_dir, *id, TreeKind::Image)? else { return Ok(Err(*id)) };
            check(self.data_dir, *id, self.interrupt)?;
            roots.push(tree.in_root(".")?);
            // It is locked as long as this value lives.
            trees.push(tree);
        }
        self.render_new(recipe, &roots, plan_of).map(Ok)
    }
}

/// Checks that a tree of the store is as it was recorded: what is rendered of it is recorded as it is.
fn check(data_dir: &DataDir, id: TreeId, interrupt: &Interrupt) -> Result<()> {
    match verify(data_dir, id, interrupt)? {
        Verdict::Intact(_) => Ok(()),
        Verdict::Damaged(lines) => {
            let first = lines.into_iter().next().unwrap_or_default();
            Err(Error::Damaged(id, Fault::content(first)))
        }
        Verdict::Missing => Err(Error::Contended(format!("tree {id} was removed: expected it to stay"))),
    }
    .about(|| "cannot render a tree of it")
}
