// SPDX-License-Identifier: Apache-2.0
//! Loads a pod directory into a [`Pod`], and finds out the users and groups that its apps run as.

pub mod host;
pub mod ids;
pub(crate) mod lock;
pub mod metadata;
pub mod network;
pub(crate) mod store;
pub(crate) mod sysctls;
pub(crate) mod trees;
pub(crate) mod zone;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use pod::id::{ImageId, PodId, TreeId};
use pod::layers::Layers;
use pod::manifest::{ImageManifest, Manifest};
use pod::name::AppName;
use pod::{Accounts, Pod, layout};
use sys::InRoot;

use self::trees::Tree;
use crate::load::store::Store;

/// The maximum length of a manifest.
const MANIFEST_MAX: u64 = 4 << 20;

/// A pod, with everything that only its directory tells about it.
#[derive(Debug)]
pub struct Loaded {
    /// The pod.
    pub pod: Pod,
    /// The user and group that each app runs as.
    pub credentials: BTreeMap<AppName, Accounts>,
    /// Stage1's tree, if it is in the store.
    pub stage1: Option<TreeId>,
    /// Each app's tree.
    pub trees: BTreeMap<AppName, Tree>,
    /// The hosts files of the apps' trees, of those that have one that says something.
    pub hosts: BTreeMap<AppName, String>,
    /// Its manifests, as they are written.
    pub documents: Documents,
    /// The trees that are in the store. They can't be removed as long as this value exists.
    pub store: Store,
}

/// A pod's manifests, as they are written.
#[derive(Debug, Default)]
pub struct Documents {
    /// The pod's.
    pub manifest: String,
    /// Its images'.
    pub images: BTreeMap<ImageId, String>,
    /// Whether the pod's is of appc 0.1.
    pub is_0_1: bool,
}

/// Loads the pod in the directory `dir`, whose name is `id`.
///
/// # Errors
/// If a manifest or tree is missing or invalid, if a user is not in its image, or if a program's arguments and
/// environment are too long.
pub fn load(dir: impl AsFd, id: PodId) -> Result<Loaded> {
    let dir = InRoot::below(dir, ".").context("cannot open the pod directory")?;
    let written = dir.read_file(layout::MANIFEST, MANIFEST_MAX).context("cannot read the pod's manifest")?;
    let manifest =
        Manifest::parse(&written).with_context(|| format!("the pod's manifest {:?}", layout::MANIFEST))?;
    let layers = load_layers(&dir).with_context(|| format!("the pod's {:?}", layout::LAYERS))?;
    let store = Store::open(&dir, &layers.trees()).with_context(|| format!("pod {id}"))?;
    let stage1 = InRoot::below(&dir, layout::STAGE1).context("cannot open stage1")?;
    let is_0_1 = matches!(manifest, Manifest::Runtime(_));
    let mut documents = Documents { manifest: text(written), is_0_1, ..Documents::default() };
    let mut images = BTreeMap::new();
    for image in manifest.images() {
        let directory = trees::image(&layers, &stage1, &store, &image);
        let loaded = directory.and_then(|directory| load_image(&directory));
        let (loaded, written) = loaded.with_context(|| format!("image {image}"))?;
        images.insert(image, loaded);
        documents.images.insert(image, written);
    }
    let pod = Pod::assemble(id, &manifest, &images)?;
    let trees = trees::of_apps(&layers, &stage1, &pod)?;
    let (mut all, mut hosts) = (BTreeMap::new(), BTreeMap::new());
    for app in &pod.apps {
        let root = trees::open(&trees[&app.name], &stage1, &store);
        let found = root.and_then(|root| {
            hosts.extend(trees::hosts(&root).map(|text| (app.name.clone(), text)));
            credentials(&root, app)
        });
        all.insert(app.name.clone(), found.with_context(|| format!("app {}", app.name))?);
    }
    let stage1 = match layers {
        Layers::Overlay { stage1, .. } => Some(stage1),
        Layers::Copy => None,
    };
    Ok(Loaded { pod, credentials: all, stage1, trees, hosts, documents, store })
}

/// Reads the pod's layers. A missing file means that the pod's trees are copies.
fn load_layers(dir: &InRoot) -> Result<Layers> {
    match dir.read_file(layout::LAYERS, MANIFEST_MAX) {
        Ok(layers) => Ok(Layers::parse(&layers)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Layers::Copy),
        Err(error) => Err(error.into()),
    }
}

fn load_image(directory: &InRoot) -> Result<(ImageManifest, String)> {
    let manifest =
        directory.read_file(layout::IMAGE_MANIFEST, MANIFEST_MAX).context("cannot read its manifest")?;
    Ok((ImageManifest::parse(&manifest).context("its manifest")?, text(manifest)))
}

/// Returns JSON that was parsed as text: it is UTF-8.
fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap_or_default()
}

fn credentials(root: &InRoot, app: &pod::App) -> Result<Accounts> {
    let accounts = app.accounts(root)?;
    app.check_sizes(accounts.person.as_ref())?;
    Ok(accounts)
}
