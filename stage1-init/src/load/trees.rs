// SPDX-License-Identifier: Apache-2.0
//! The apps' trees: an app has its own in stage1, or an overlay on one that others use too.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use pod::id::{ImageId, TreeId};
use pod::layers::Layers;
use pod::name::AppName;
use pod::{App, Pod, layout};
use rustix::io::Errno;
use sys::InRoot;

use crate::load::store::Store;

/// More than a hosts file has that people write.
const HOSTS_MAX: u64 = 64 << 10;

/// An app's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A tree of the app's alone, in stage1; the app changes the tree itself.
    Own(String),
    /// A tree that stays as it is.
    Shared {
        /// The image's tree.
        lower: Lower,
        /// The directory for the app's changes, in stage1.
        upper: String,
    },
}

/// The place of an image's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lower {
    /// In stage1.
    Stage1(String),
    /// In the store: the rootfs of the tree of this name.
    Store(TreeId),
}

/// Opens an image's directory, which has its manifest and rootfs.
pub(crate) fn image(layers: &Layers, stage1: &InRoot, store: &Store, id: &ImageId) -> Result<InRoot> {
    match layers {
        Layers::Overlay { images, .. } => {
            store.tree(images.get(id).context("the pod's layers name no tree for it")?)
        }
        Layers::Copy => {
            let path = layout::image(id);
            InRoot::below(stage1, &path).with_context(|| format!("cannot open stage1's {path}"))
        }
    }
}

/// Finds each app's tree.
///
/// If trees are copied, the first app of an image has the image's own tree, and every other app a copy. In pods that
/// were prepared without copies, each app has an overlay.
pub(crate) fn of_apps(layers: &Layers, stage1: &InRoot, pod: &Pod) -> Result<BTreeMap<AppName, Tree>> {
    let mut trees = BTreeMap::new();
    for app in &pod.apps {
        let shared = |lower| Tree::Shared { lower, upper: layout::upper(&app.name) };
        let tree = match layers {
            Layers::Overlay { images, .. } => {
                shared(Lower::Store(*images.get(&app.image).context("the pod's layers name no tree for it")?))
            }
            Layers::Copy => {
                let sharing: Vec<&App> = pod.apps.iter().filter(|other| other.image == app.image).collect();
                match own_tree(stage1, app, &sharing)? {
                    Some(path) => Tree::Own(path),
                    None => shared(Lower::Stage1(layout::image_rootfs(&app.image))),
                }
            }
        };
        trees.insert(app.name.clone(), tree);
    }
    Ok(trees)
}

/// Finds an app's own tree, if each of the apps that share its image has one.
fn own_tree(stage1: &InRoot, app: &App, sharing: &[&App]) -> Result<Option<String>> {
    let (first, others) = sharing.split_first().context("an app has the image that it has")?;
    for other in others {
        let path = layout::own_root(&other.name);
        match InRoot::below(stage1, &path) {
            Ok(_) => {}
            Err(error) if error.errno == Errno::NOENT => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot open stage1's {path}")),
        }
    }
    let is_first = first.name == app.name;
    Ok(Some(if is_first { layout::image_rootfs(&app.image) } else { layout::own_root(&app.name) }))
}

/// Opens an app's tree, without the app's changes where it is shared.
pub(crate) fn open(tree: &Tree, stage1: &InRoot, store: &Store) -> Result<InRoot> {
    match tree {
        Tree::Own(path) | Tree::Shared { lower: Lower::Stage1(path), .. } => {
            InRoot::below(stage1, path).with_context(|| format!("cannot open stage1's {path}"))
        }
        Tree::Shared { lower: Lower::Store(tree), .. } => {
            InRoot::below(store.tree(tree)?, layout::IMAGE_ROOTFS)
                .with_context(|| format!("cannot open the {} of tree {tree}", layout::IMAGE_ROOTFS))
        }
    }
}

/// Returns the text of a tree's hosts file, if it says something.
pub(crate) fn hosts(root: &InRoot) -> Option<String> {
    let content = root.read_file("etc/hosts", HOSTS_MAX).ok()?;
    (!says_nothing(&content)).then(|| String::from_utf8_lossy(&content).into_owned())
}

/// Tells whether a file about names has nothing but comments.
pub(crate) fn says_nothing(content: &[u8]) -> bool {
    let lines = content.split(|byte| *byte == b'\n');
    lines.map(<[u8]>::trim_ascii).all(|line| line.is_empty() || line.starts_with(b"#"))
}
