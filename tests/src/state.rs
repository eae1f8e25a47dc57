// SPDX-License-Identifier: Apache-2.0
//! What is in Gantry's directory, DIR: published things, each compared as a whole, and the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::trees::{Object, Tree, look};

/// DIR, as far as two runs make it alike.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// Pods, by id; in what they hold, the id is `ID`.
    pub pods: BTreeMap<String, Tree>,
    /// The store's trees.
    pub trees: BTreeMap<String, Tree>,
    /// Entries of staging.
    pub staging: BTreeSet<String>,
    /// Everything else; empty where there is no DIR.
    pub rest: Tree,
}

impl State {
    /// Looks at DIR.
    ///
    /// # Panics
    /// Where something in it can't be looked at.
    pub fn of(dir: &Path) -> Self {
        let mut state = Self::default();
        if !dir.exists() {
            return state;
        }
        for (path, object) in look(dir).expect("what is in DIR can be looked at") {
            if let Some((id, below)) = split(&path, "containers") {
                state.pods.entry(id).or_default().insert(below, object);
            } else if let Some((digest, below)) = split(&path, "store/tree-v1") {
                state.trees.entry(digest).or_default().insert(below, object);
            } else if let Some((id, _)) = split(&path, "staging") {
                state.staging.insert(id);
            } else {
                state.rest.insert(path, object);
            }
        }
        for (id, pod) in &mut state.pods {
            pod.values_mut().for_each(|object| forget_id(object, id));
        }
        let infos = state.trees.values_mut().filter_map(|tree| tree.get_mut(Path::new("info")));
        infos.for_each(forget_time);
        state
    }

    /// How many objects are published.
    pub fn objects(&self) -> usize {
        self.pods.values().chain(self.trees.values()).map(Tree::len).sum()
    }

    /// Panics where something is published that is not as in one of `whole`, or lies about that is in none.
    ///
    /// # Panics
    /// As said.
    pub fn check(&self, whole: &[&Self], about: &str) {
        for (id, pod) in &self.pods {
            let known = whole.iter().flat_map(|state| state.pods.values());
            assert_one_of(pod, known, &format!("{about}: pod {id}"));
        }
        for (digest, tree) in &self.trees {
            let known = whole.iter().filter_map(|state| state.trees.get(digest));
            assert_one_of(tree, known, &format!("{about}: tree {digest}"));
        }
        for path in self.rest.keys() {
            let known = whole.iter().any(|state| state.rest.contains_key(path));
            assert!(known, "{about}: {} is left", path.display());
        }
    }

    /// The pods, whatever their ids.
    pub fn pods_alike(&self) -> Vec<&Tree> {
        let mut pods: Vec<&Tree> = self.pods.values().collect();
        pods.sort_by_key(|pod| format!("{pod:?}"));
        pods
    }
}

/// The entry of `directory` that a path is or is in, and the path from there.
fn split(path: &Path, directory: &str) -> Option<(String, PathBuf)> {
    let mut below = path.strip_prefix(directory).ok()?.components();
    let name = below.next()?.as_os_str().to_string_lossy().into_owned();
    Some((name, below.as_path().to_owned()))
}

fn forget_id(object: &mut Object, id: &str) {
    if let Ok(text) = std::str::from_utf8(&object.content)
        && text.contains(id)
    {
        object.content = text.replace(id, "ID").into_bytes();
    }
}

/// A tree's info says when it came into the store.
fn forget_time(info: &mut Object) {
    if let Ok(Value::Object(mut said)) = serde_json::from_slice(&info.content) {
        said.insert("imported".into(), Value::Null);
        info.content = Value::Object(said).to_string().into_bytes();
    }
}

fn assert_one_of<'t>(found: &Tree, mut known: impl Iterator<Item = &'t Tree>, about: &str) {
    let Some(first) = known.next() else { panic!("{about}: expected none") };
    if found == first || known.any(|tree| tree == found) {
        return;
    }
    for path in found.keys().chain(first.keys()) {
        let (found, expected) = (found.get(path), first.get(path));
        assert_eq!(found, expected, "{about}: {}", path.display());
    }
    panic!("{about}: is none of those expected");
}
