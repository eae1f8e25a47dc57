// SPDX-License-Identifier: Apache-2.0
//! The contents of Gantry's directory, DIR: published pods and trees, each compared as a whole, and the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use pod::layers::Layers;
use pod::layout;

use crate::trees::{Object, Tree, look_outside};

/// DIR, without what differs between two runs of the same commands.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// Pods by id. In their contents, the id is replaced by `ID`.
    pub pods: BTreeMap<String, Tree>,
    /// The store's trees.
    pub trees: BTreeMap<String, Tree>,
    /// Entries of staging.
    pub staging: BTreeSet<String>,
    /// The store's blobs. A pull that fails keeps those that it has fetched completely.
    pub blobs: Tree,
    /// Everything else; empty if there is no DIR.
    pub rest: Tree,
}

impl State {
    /// Reads the contents of DIR.
    ///
    /// # Panics
    /// Panics if something in DIR can't be read.
    pub fn of(dir: &Path) -> Self {
        let mut state = Self::default();
        if !dir.exists() {
            return state;
        }
        let entries = |directory: &str| {
            let names = fs::read_dir(dir.join(directory)).into_iter().flatten();
            names.map(|entry| entry.expect("DIR can be listed").file_name().to_string_lossy().into_owned())
        };
        let tree = |path: PathBuf, closed: &dyn Fn(&Path) -> bool| {
            look_outside(&path, closed).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        state.staging = entries(layout::STAGING).collect();
        for id in entries(layout::CONTAINERS) {
            // The contents of the work directory belong to overlayfs.
            let mut pod =
                tree(dir.join(layout::CONTAINERS).join(&id), &|path| path == Path::new(layout::WORK));
            pod.values_mut().for_each(|object| forget_id(object, &id));
            state.pods.insert(id, pod);
        }
        for digest in entries(layout::TREES) {
            let path = dir.join(layout::TREES).join(&digest);
            state.trees.insert(digest, tree(path, &|_| false));
        }
        let separate = [layout::STAGING, layout::CONTAINERS, layout::TREES].map(Path::new);
        state.rest = tree(dir.to_owned(), &|path| separate.contains(&path));
        let is_blob = |path: &PathBuf, _: &mut Object| path.parent() == Some(Path::new(layout::BLOBS));
        state.blobs = state.rest.extract_if(.., is_blob).collect();
        // What the names of images were, or were to be, means nothing.
        state.rest.remove(&Path::new(layout::NAMES).join("names.next"));
        let infos = state.trees.values_mut().filter_map(|tree| tree.get_mut(Path::new("info")));
        infos.for_each(forget_time);
        state
    }

    /// Returns the number of published objects.
    pub fn objects(&self) -> usize {
        self.pods.values().chain(self.trees.values()).map(Tree::len).sum()
    }

    /// Checks that everything published equals its counterpart in one of the states `whole`, and that DIR
    /// contains nothing else that is in none of them.
    ///
    /// # Panics
    /// Panics if that is not so.
    pub fn check(&self, whole: &[&Self], about: &str) {
        for (id, pod) in &self.pods {
            let known = whole.iter().flat_map(|state| state.pods.values());
            assert_one_of(pod, known, &format!("{about}: pod {id}"));
        }
        for (digest, tree) in &self.trees {
            let known = whole.iter().filter_map(|state| state.trees.get(digest));
            assert_one_of(tree, known, &format!("{about}: tree {digest}"));
        }
        for (path, blob) in &self.blobs {
            let known = whole.iter().any(|state| state.blobs.get(path) == Some(blob));
            assert!(known, "{about}: {} is not whole", path.display());
        }
        for path in self.rest.keys() {
            let known = whole.iter().any(|state| state.rest.contains_key(path));
            assert!(known, "{about}: {} is left", path.display());
        }
    }

    /// Checks that every tree that is in both `before` and `after` still exists.
    ///
    /// # Panics
    /// Panics if one is gone.
    pub fn check_kept(&self, before: &Self, after: &Self, about: &str) {
        for digest in before.trees.keys().filter(|digest| after.trees.contains_key(*digest)) {
            assert!(self.trees.contains_key(digest), "{about}: tree {digest} is gone");
        }
    }

    /// Checks that the store has every tree that a pod is a layer over.
    ///
    /// # Panics
    /// Panics if a tree is gone, or if a pod has no readable record of its trees.
    pub fn check_references(&self, about: &str) {
        for (id, pod) in &self.pods {
            let layers = pod.get(Path::new(layout::LAYERS)).expect("a pod says where its trees are");
            for tree in Layers::parse(&layers.content).expect("layers can be read").trees() {
                assert!(self.trees.contains_key(&tree.to_string()), "{about}: pod {id}: {tree} is gone");
            }
        }
    }

    /// Returns the pods in an order that doesn't depend on their ids.
    pub fn pods_alike(&self) -> Vec<&Tree> {
        let mut pods: Vec<&Tree> = self.pods.values().collect();
        pods.sort_by_key(|pod| format!("{pod:?}"));
        pods
    }
}

fn forget_id(object: &mut Object, id: &str) {
    if let Ok(text) = std::str::from_utf8(&object.content)
        && text.contains(id)
    {
        object.content = text.replace(id, "ID").into_bytes();
    }
}

/// Removes the time of import from a tree's info.
fn forget_time(info: &mut Object) {
    if let Ok(Value::Object(mut said)) = serde_json::from_slice(&info.content) {
        said.insert("imported".into(), Value::Null);
        info.content = Value::Object(said).to_string().into_bytes();
    }
}

fn assert_one_of<'t>(found: &Tree, known: impl Iterator<Item = &'t Tree>, about: &str) {
    let differences = |known: &'t Tree| -> Vec<PathBuf> {
        let paths: BTreeSet<&PathBuf> = found.keys().chain(known.keys()).collect();
        paths.into_iter().filter(|path| found.get(*path) != known.get(*path)).cloned().collect()
    };
    let closest = known.map(|known| (differences(known), known)).min_by_key(|(paths, _)| paths.len());
    let Some((paths, known)) = closest else { panic!("{about}: expected none") };
    if let Some(path) = paths.first() {
        let (found, known) = (found.get(path), known.get(path));
        panic!("{about}: {}: is {found:?}, expected {known:?}", path.display());
    }
}
