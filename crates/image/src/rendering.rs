// SPDX-License-Identifier: Apache-2.0
//! Plans how an image and its dependencies are put over each other (appc spec, ace.md, "Filesystem Setup").
//!
//! What an image depends on comes before it, depth first and in order. An image that several others depend on stands
//! several times, each time limited by the whitelists on the way to it.

use std::sync::Arc;

use archive::layer::Part;
use pod::layout;
use pod::manifest::ImageManifest;
use store::extract::layers::{Frame, FrameFile, Paths};
use store::fault::Fault;
use store::{Plan, Recipe};
use sys::in_root::InRoot;

use crate::manifest::bytes;

/// The most images that a tree is rendered of.
pub const IMAGES_MAX: usize = 256;
/// The most times that trees are put over each other for one.
const STEPS_MAX: usize = 1024;
/// The most paths in all whitelists that apply, each counted as often as it limits a tree in a way of its own.
const PATHS_MAX: usize = 1 << 18;

/// Plans the tree of a recipe, whose trees are open: the first is the image's.
///
/// # Errors
/// If a manifest can't be read, or the plan would be too long.
pub fn plan(recipe: &Recipe, trees: &[InRoot]) -> Result<Plan, Fault> {
    let read = |tree: &InRoot| bytes(tree);
    let texts = trees.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let parse = |text: &Vec<u8>| ImageManifest::parse(text).map_err(Fault::from);
    let manifests = texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let Some(text) = texts.first() else { return Err(Fault::content("no tree: expected the image's")) };
    let file = sys::content::in_memory(layout::IMAGE_MANIFEST, text)?;
    let content = Part::first(file, text.len() as u64);
    let manifest = FrameFile { name: layout::IMAGE_MANIFEST.into(), content };
    let frame = Frame { directory: layout::IMAGE_ROOTFS.into(), files: vec![manifest], made: Vec::new() };
    Ok(Plan { steps: steps(&recipe.dependencies, &whitelists(&manifests)?)?, frame })
}

/// Returns the paths that each image limits its tree to.
fn whitelists(manifests: &[ImageManifest]) -> Result<Vec<Option<Paths>>, Fault> {
    let paths = manifests.iter().map(|manifest| manifest.path_whitelist.len()).sum();
    check(paths, PATHS_MAX, "paths in whitelists")?;
    let of_image = |manifest: &ImageManifest| {
        let paths = manifest.path_whitelist.iter().map(pod::path::AbsolutePath::below_root).collect();
        (!manifest.path_whitelist.is_empty()).then(|| Arc::new(paths))
    };
    Ok(manifests.iter().map(of_image).collect())
}

/// Returns the order in which trees are put over each other, and what each is limited to.
fn steps(
    dependencies: &[Vec<usize>],
    whitelists: &[Option<Paths>],
) -> Result<Vec<(usize, Option<Paths>)>, Fault> {
    let mut walk = Walk { dependencies, whitelists, steps: Vec::new(), paths: 0 };
    walk.visit(0, None, 0)?;
    Ok(walk.steps)
}

struct Walk<'a> {
    dependencies: &'a [Vec<usize>],
    whitelists: &'a [Option<Paths>],
    steps: Vec<(usize, Option<Paths>)>,
    /// How many paths were kept for whitelists that are made of several.
    paths: usize,
}

impl Walk<'_> {
    fn visit(&mut self, image: usize, above: Option<&Paths>, depth: usize) -> Result<(), Fault> {
        check(depth, IMAGES_MAX, "dependencies of each other")?;
        let (Some(dependencies), Some(own)) = (self.dependencies.get(image), self.whitelists.get(image))
        else {
            return Err(Fault::content("an image that is not there: expected one of the recipe's"));
        };
        let limited = match (above, own) {
            (Some(above), Some(own)) => {
                let both: Paths = Arc::new(own.intersection(above).cloned().collect());
                self.paths += both.len();
                check(self.paths, PATHS_MAX, "paths in whitelists of whitelists")?;
                Some(both)
            }
            (one, other) => one.or(other.as_ref()).cloned(),
        };
        for dependency in dependencies {
            self.visit(*dependency, limited.as_ref(), depth + 1)?;
        }
        self.steps.push((image, limited));
        check(self.steps.len(), STEPS_MAX, "trees over each other")
    }
}

fn check(count: usize, most: usize, what: &str) -> Result<(), Fault> {
    if count <= most {
        return Ok(());
    }
    Err(Fault::content(format!("its dependencies make more than {most} {what}: expected at most that many")))
}

#[cfg(test)]
mod tests {
    use pod::path::RelativePath;

    use super::*;

    fn paths(all: &[&str]) -> Option<Paths> {
        Some(Arc::new(all.iter().map(|path| RelativePath::from_bytes(path.as_bytes()).unwrap()).collect()))
    }

    fn order(dependencies: &[&[usize]]) -> Vec<usize> {
        let dependencies: Vec<_> = dependencies.iter().map(|one| one.to_vec()).collect();
        let none = vec![None; dependencies.len()];
        steps(&dependencies, &none).unwrap().into_iter().map(|(image, _)| image).collect()
    }

    /// The specification's own examples: A, B, C and D are 0, 1, 2 and 3.
    #[test]
    fn dependencies_come_first_depth_first_and_in_order() {
        assert_eq!(order(&[&[1, 2], &[], &[3], &[]]), [1, 3, 2, 0]);
        assert_eq!(order(&[&[1, 2], &[3], &[3], &[]]), [3, 1, 3, 2, 0]);
        assert_eq!(order(&[&[]]), [0]);
    }

    #[test]
    fn whitelists_on_the_way_to_an_image_all_count() {
        let dependencies = [vec![1, 2], vec![3], vec![3], vec![]];
        let whitelists = [paths(&["a", "b"]), paths(&["b", "c"]), None, None];
        let steps = steps(&dependencies, &whitelists).unwrap();
        let expected = [
            (3, paths(&["b"])),
            (1, paths(&["b"])),
            (3, paths(&["a", "b"])),
            (2, paths(&["a", "b"])),
            (0, paths(&["a", "b"])),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_plan_has_an_end() {
        let too_long = |dependencies: &[Vec<usize>], whitelists: &[Option<Paths>]| {
            steps(dependencies, whitelists).unwrap_err().to_string()
        };
        // Each image depends on the next one twice.
        let mut twice: Vec<_> = (1..=20).map(|next| vec![next, next]).collect();
        twice.push(Vec::new());
        assert!(too_long(&twice, &vec![None; 21]).contains("more than 1024 trees"));
        assert!(too_long(&[vec![0]], &[None]).contains("more than 256 dependencies"));
        assert!(too_long(&[vec![1]], &[None]).contains("not there"));
        let many: Vec<_> = (0..PATHS_MAX / 3).map(|number| number.to_string()).collect();
        let many = paths(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let chain = [vec![1], vec![2], vec![3], vec![4], vec![]];
        assert!(too_long(&chain, &vec![many; 5]).contains("paths in whitelists of whitelists"));
    }
}
