// SPDX-License-Identifier: Apache-2.0
//! Finds the images that images depend on, among those that were given and in the store, and renders their trees (appc
//! spec, "Dependency Matching").
//!
//! ```text
//! given images ──► graph: which image depends on which ──► recipe of each that needs one ──► rendered tree
//! store's images ──┘
//! ```
//!
//! A dependency with an id is the image of this id, which must have the name, the labels and the size that are asked for.
//! One without is the only given image of its name with these labels, or else the store's. Nothing is fetched.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::IMAGES_MAX;
use pod::arch::Arch;
use pod::manifest::{Dependency, ImageManifest};
use pod::name::Identifier;
use pod::text::escape;
use report::Hint as _;
use store::{Acquired, DataDir, Importer, Recipe, Selector, Tree, TreeKind};

/// How many names a message shows at each end of a long chain.
const SHOWN: usize = 4;

/// Images and what they depend on. Those that were given come first, in their order.
#[derive(Debug)]
pub(crate) struct Graph<'a, 'h> {
    images: Vec<Node<'a, 'h>>,
}

/// An image.
#[derive(Debug)]
struct Node<'a, 'h> {
    tree: TreeOf<'a, 'h>,
    manifest: ImageManifest,
    /// The numbers of the images that it depends on, once they are known.
    dependencies: Option<Vec<usize>>,
}

/// The tree of an image: added by this command, or in the store before.
#[derive(Debug)]
enum TreeOf<'a, 'h> {
    Given(&'a Acquired<'h>),
    Stored(Box<Acquired<'h>>),
}

impl<'h> Node<'_, 'h> {
    fn tree(&self) -> &Acquired<'h> {
        match &self.tree {
            TreeOf::Given(tree) => tree,
            TreeOf::Stored(tree) => tree,
        }
    }
}

impl<'a, 'h> Graph<'a, 'h> {
    /// Finds what the images `given` depend on, and so on. Each has the name for messages that a person gave it.
    ///
    /// # Errors
    /// If an image is missing, is not what it is expected to be, or depends on itself.
    pub(crate) fn of(data_dir: &'h DataDir, given: &[(&'a Acquired<'h>, &str)]) -> Result<Self> {
        let mut images = Vec::new();
        for (tree, shown) in given {
            let manifest = manifest(tree).with_context(|| format!("image {shown}"))?;
            images.push(Node { tree: TreeOf::Given(tree), manifest, dependencies: None });
        }
        let mut search = Search { data_dir, given: given.len(), graph: Self { images } };
        for (image, (_, shown)) in given.iter().enumerate() {
            search.visit(image, &mut Vec::new()).with_context(|| format!("image {shown}"))?;
        }
        Ok(search.graph)
    }

    /// Returns the images of the store that others depend on, which were not given on the command line. Those of the
    /// store that only have the name of one are not among them.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (&Acquired<'h>, &Identifier)> {
        let dependencies = self.dependencies();
        self.images.iter().enumerate().filter_map(move |(image, node)| match &node.tree {
            TreeOf::Stored(tree) if dependencies.contains(&image) => {
                Some((tree.as_ref(), &node.manifest.name))
            }
            _ => None,
        })
    }

    /// Returns the trees of the store, which were not given.
    pub(crate) fn into_stored(self) -> Vec<Acquired<'h>> {
        let stored = |node: Node<'_, 'h>| match node.tree {
            TreeOf::Given(_) => None,
            TreeOf::Stored(tree) => Some(*tree),
        };
        self.images.into_iter().filter_map(stored).collect()
    }

    /// Tells which images others depend on.
    pub(crate) fn dependencies(&self) -> Vec<usize> {
        self.images.iter().flat_map(|node| node.dependencies.iter().flatten().copied()).collect()
    }

    /// Returns the tree that is rendered of an image and its dependencies; `None` if the image's own tree is what its
    /// app gets.
    ///
    /// # Errors
    /// If a limit is exceeded, or the system fails. Nothing is left behind then.
    pub(crate) fn render(&self, importer: &Importer<'h>, image: usize) -> Result<Option<Acquired<'h>>> {
        let Some(node) = self.images.get(image) else { return Ok(None) };
        let dependencies = node.dependencies.as_deref().unwrap_or_default();
        if dependencies.is_empty() && node.manifest.path_whitelist.is_empty() {
            return Ok(None);
        }
        let (recipe, images) = self.recipe(image);
        let trees: Vec<_> = images.iter().map(|image| self.images[*image].tree()).collect();
        Ok(Some(importer.render(&recipe, &trees, image::plan)?))
    }

    /// Returns the recipe of an image, and the images whose trees it has.
    fn recipe(&self, image: usize) -> (Recipe, Vec<usize>) {
        let mut images = vec![image];
        let mut numbers = BTreeMap::from([(image, 0)]);
        let mut dependencies = Vec::new();
        while let Some(next) = images.get(dependencies.len()) {
            let mut own = Vec::new();
            for dependency in self.images[*next].dependencies.clone().unwrap_or_default() {
                let number = *numbers.entry(dependency).or_insert_with(|| {
                    images.push(dependency);
                    images.len() - 1
                });
                own.push(number);
            }
            dependencies.push(own);
        }
        let trees = images.iter().map(|image| self.images[*image].tree().id()).collect();
        (Recipe { trees, dependencies }, images)
    }
}

/// A search for the images that others depend on.
struct Search<'a, 'h> {
    data_dir: &'h DataDir,
    /// How many images were given.
    given: usize,
    graph: Graph<'a, 'h>,
}

impl Search<'_, '_> {
    /// Finds what an image depends on. `path` are the images that led to it.
    fn visit(&mut self, image: usize, path: &mut Vec<usize>) -> Result<()> {
        if let Some(start) = path.iter().position(|above| *above == image) {
            let circle = path[start..].iter().chain([&image]).map(|image| self.name(*image).to_string());
            bail!("depends on itself: {}: expected no circle", chain(&circle.collect::<Vec<_>>()));
        }
        if self.graph.images[image].dependencies.is_some() {
            return Ok(());
        }
        path.push(image);
        let mut found = Vec::new();
        for dependency in self.graph.images[image].manifest.dependencies.clone() {
            let one = self.find(&dependency);
            let one =
                one.with_context(|| format!("{} depends on {}", self.name(image), dependency.image_name))?;
            self.visit(one, path)?;
            found.push(one);
        }
        path.pop();
        self.graph.images[image].dependencies = Some(found);
        Ok(())
    }

    fn name(&self, image: usize) -> &Identifier {
        &self.graph.images[image].manifest.name
    }

    /// Returns the number of the image that is meant.
    fn find(&mut self, dependency: &Dependency) -> Result<usize> {
        let image = match dependency.image_id {
            Some(_) => self.find_by_id(dependency)?,
            None => self.find_by_name(dependency)?,
        };
        let node = &self.graph.images[image];
        let found = &node.manifest;
        let name = &dependency.image_name;
        ensure!(found.name == *name, "its id is that of image {}: expected {name}", found.name);
        if let Some(why) = mismatch(found, dependency) {
            bail!("{why}");
        }
        found.check_platform(Arch::current())?;
        if let Some(size) = dependency.size {
            let lengths = node.tree().file_lengths(self.data_dir)?;
            ensure!(lengths.contains(&size), "{}: expected {size} bytes", sizes(&lengths));
        }
        Ok(image)
    }

    fn find_by_id(&mut self, dependency: &Dependency) -> Result<usize> {
        let Some(id) = dependency.image_id else { bail!("no id: expected one") };
        for (number, node) in self.graph.images.iter().enumerate() {
            if node.tree().is_called(self.data_dir, id)? {
                return Ok(number);
            }
        }
        match store::find(self.data_dir, &Selector::Id(id))? {
            Some(tree) => self.add(tree),
            None => {
                // Another image of the name may have been meant.
                let others = self.called(dependency)?;
                let ids: Vec<_> =
                    others.iter().map(|image| self.graph.images[*image].tree().id().to_string()).collect();
                match ids.as_slice() {
                    [] => missing(anyhow!("is not there: expected {id}")),
                    ids => missing(anyhow!("is {}: expected {id}", ids.join(" or "))),
                }
            }
        }
    }

    fn find_by_name(&mut self, dependency: &Dependency) -> Result<usize> {
        let called = self.called(dependency)?;
        let fits = |image: &usize| mismatch(&self.graph.images[*image].manifest, dependency).is_none();
        let runs = |image: &usize| self.graph.images[*image].manifest.check_platform(Arch::current()).is_ok();
        let mut fitting: Vec<_> = called.iter().copied().filter(fits).collect();
        if fitting.iter().any(runs) {
            fitting.retain(runs);
        }
        if fitting.iter().any(|image| *image < self.given) {
            fitting.retain(|image| *image < self.given);
        }
        match (fitting.as_slice(), called.first()) {
            ([one], _) => Ok(*one),
            // The caller says how it differs.
            ([], Some(other)) => Ok(*other),
            ([], None) => missing(anyhow!("is not there: expected an image of this name")),
            (several, _) => {
                let ids: Vec<_> =
                    several.iter().map(|image| self.graph.images[*image].tree().id().to_string()).collect();
                bail!("could be {}: expected an imageID, or labels that one of them has", ids.join(" or "))
            }
        }
    }

    /// Returns the images of a dependency's name: those that were given before the store's.
    fn called(&mut self, dependency: &Dependency) -> Result<Vec<usize>> {
        let name = &dependency.image_name;
        for (id, info) in store::images(self.data_dir, store::ids(self.data_dir)?)? {
            let is_known = self.graph.images.iter().any(|node| node.tree().id() == id);
            if info.name.as_ref() == Some(name) && !is_known {
                // It may have been removed meanwhile.
                if let Some(tree) = Tree::open(self.data_dir, id, TreeKind::Image)? {
                    self.add(tree)?;
                }
            }
        }
        let images = self.graph.images.iter().enumerate();
        Ok(images.filter(|(_, node)| node.manifest.name == *name).map(|(number, _)| number).collect())
    }

    fn add(&mut self, tree: Tree) -> Result<usize> {
        let images = &mut self.graph.images;
        ensure!(images.len() < IMAGES_MAX, "more than {IMAGES_MAX} images: expected at most that many");
        let tree = Acquired::Known(tree);
        let manifest = manifest(&tree)?;
        images.push(Node { tree: TreeOf::Stored(Box::new(tree)), manifest, dependencies: None });
        Ok(images.len() - 1)
    }
}

fn manifest(tree: &Acquired<'_>) -> Result<ImageManifest> {
    Ok(image::manifest(&tree.in_root(".")?)?)
}

/// Returns in which label an image differs from what a dependency asks for.
fn mismatch(found: &ImageManifest, dependency: &Dependency) -> Option<String> {
    dependency.labels.iter().find_map(|(label, expected)| {
        let (shown, expected) = (escape(label), (escape(expected), expected));
        match found.labels.get(label) {
            Some(value) if value == expected.1 => None,
            Some(value) => Some(format!("its label {shown} is {}: expected {}", escape(value), expected.0)),
            None => Some(format!("it has no label {shown}: expected {}", expected.0)),
        }
    })
}

/// Says which sizes an image's archives have.
fn sizes(lengths: &[u64]) -> String {
    let lengths: Vec<_> = lengths.iter().map(ToString::to_string).collect();
    match lengths.as_slice() {
        [] => "no archive of it is known".into(),
        lengths => format!("its archive has {} bytes", lengths.join(" or ")),
    }
}

fn missing<T>(error: anyhow::Error) -> Result<T> {
    Err(error).hint(format!(
        "{} image import adds it to the store, and --image FILE gives it to this command",
        report::program()
    ))
}

/// Returns names one after the other; of a long chain, those at its ends.
fn chain(names: &[String]) -> String {
    if names.len() <= 2 * SHOWN + 1 {
        return names.join(" -> ");
    }
    let (first, last) = (&names[..SHOWN], &names[names.len() - SHOWN..]);
    let left = names.len() - 2 * SHOWN;
    format!("{} -> ({left} more) -> {}", first.join(" -> "), last.join(" -> "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_is_shown_by_its_ends() {
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(chain(&names(3)), "0 -> 1 -> 2");
        assert_eq!(chain(&names(101)), "0 -> 1 -> 2 -> 3 -> (93 more) -> 97 -> 98 -> 99 -> 100");
    }
}
