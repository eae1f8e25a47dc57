// SPDX-License-Identifier: Apache-2.0
//! Makes the pod directory from a request's inputs.
//!
//! Invariant: on any failure, everything that was written is removed again, including directories made for it. What the
//! store had before stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, ensure};
use pod::digest::Sha256;
use pod::id::{ImageId, TreeId};
use pod::layout as files;
use pod::text::escape;

use crate::assemble::{self, Image};
use crate::copied;
use crate::find::ImageInput;
use crate::inputs::{Inputs, ManifestInput};
use crate::layout::{self, Trees};
use crate::name::Claim;
use crate::pull::Pulled;
use crate::request::PodEntry;
use store::DataDir;
use store::blobs::Blobs;
use store::extract::Expected;
use store::listener::Listener;
use store::names::{self, NamedImage};
use store::staging::{Published, Staging, Sync};
use store::{About as _, Acquired, Importer, Selector, Stored, Tree, TreeKind};
use sys::Interrupt;

/// The pod directory that was made.
#[derive(Debug)]
pub struct Prepared {
    /// Its path.
    pub path: PathBuf,
    /// How it got its trees, for people.
    pub layout: String,
    /// Requests of the pod that are not honoured; `/init` repeats them at each start.
    pub warnings: Vec<String>,
}

/// Prepares the pod directory and calls `announce` with it. If `announce` fails, the directory is removed again.
pub fn apply(
    inputs: Inputs<'_>,
    interrupt: &Interrupt,
    listener: &'static dyn Listener,
    announce: impl FnOnce(&Prepared) -> Result<()>,
) -> Result<Prepared> {
    let data_dir = DataDir::open(&inputs.dir, interrupt, listener)?;
    let prepared = in_data_dir(inputs, &data_dir, interrupt, announce)?;
    data_dir.keep();
    Ok(prepared)
}

fn in_data_dir(
    inputs: Inputs<'_>,
    data_dir: &DataDir,
    interrupt: &Interrupt,
    announce: impl FnOnce(&Prepared) -> Result<()>,
) -> Result<Prepared> {
    let about = || format!("directory {}", escape(&data_dir.path().to_string_lossy()));
    Staging::sweep_or_warn(data_dir).about(about)?;
    let Inputs { stage1, images, layout, limits, manifest, entry, stage1_init, .. } = inputs;
    let importer = Importer { data_dir, limits, name_of: image::name, interrupt };
    let named = manifest.named_images();
    let images = with_named(images, &named);
    // Dropped last: a tree is taken out of the store only once nothing uses it or refers to it.
    let mut added = Added::to(data_dir);
    let acquired = acquire(&importer, stage1, images, &named)?;
    let copied = manifest.copied();
    let Assembled { staging, pod, manifest } = put_together(data_dir, &acquired.images, manifest, &named)?;
    interrupt.check()?;
    let trees = added.publish(acquired, &named)?;
    let mut laid = layout::lay_out(data_dir, &staging, &trees, &pod, layout, interrupt)?;
    if copied::fill(&staging, &trees, &pod, &copied, interrupt)? {
        laid.sync = Sync::FileSystem;
    }
    if let Some(init) = stage1_init {
        layout::replace_init(&staging, init).context("cannot give the pod its /init")?;
    }
    let prepared = publish(data_dir, &staging, (pod, &manifest), laid, &entry, announce)?;
    added.keep();
    Ok(prepared)
}

/// Adds the images that the pod's manifest names and nobody has given: they are in the store, if they are anywhere.
///
/// If images are given, they are to be all of them.
fn with_named<'s>(mut images: Vec<ImageInput<'s>>, named: &[ImageId]) -> Vec<ImageInput<'s>> {
    if images.is_empty() {
        let distinct: BTreeSet<_> = named.iter().copied().collect();
        images.extend(distinct.into_iter().map(|id| ImageInput::Stored(Selector::Id(id))));
    }
    images
}

/// What a pod is made of, before it is in the store. On drop, what isn't there is removed.
struct AcquiredTrees<'h> {
    stage1: AcquiredTree<'h>,
    images: Vec<AcquiredTree<'h>>,
}

/// A tree, and what a person called it.
struct AcquiredTree<'h> {
    tree: Acquired<'h>,
    shown: String,
    /// What it is called from now on.
    named: NamedImage,
    /// Keeps its blobs until it is.
    _blobs: Option<Blobs<'h>>,
}

/// Finds or unpacks all trees: stage1's and the images' in parallel.
fn acquire<'h>(
    importer: &Importer<'h>,
    (mut stage1, digest): (store::input::InputFile, Sha256),
    images: Vec<ImageInput<'_>>,
    named: &[ImageId],
) -> Result<AcquiredTrees<'h>> {
    let shown = stage1.shown();
    let (of_stage1, of_images) = thread::scope(|scope| {
        let of_stage1 = thread::Builder::new()
            .name("stage1".into())
            .spawn_scoped(scope, || {
                importer.acquire(&mut stage1, TreeKind::Stage1, Expected::File(digest), &[])
            })
            .context("cannot start a thread")?;
        // No image is begun after one has failed.
        let of_images: Result<Vec<_>> =
            images.into_iter().map(|image| acquire_image(importer, image, named)).collect();
        let of_stage1 = of_stage1.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, anyhow::Error>((of_stage1, of_images))
    })?;
    let tree = of_stage1.about(|| format!("stage1 {shown}"))?;
    let stage1 = AcquiredTree { tree, shown, named: NamedImage::default(), _blobs: None };
    Ok(AcquiredTrees { stage1, images: of_images? })
}

fn acquire_image<'h>(
    importer: &Importer<'h>,
    image: ImageInput<'_>,
    named: &[ImageId],
) -> Result<AcquiredTree<'h>> {
    let shown = image.shown();
    let Pulled { tree, named, blobs } =
        image.acquire(importer, named).with_context(|| format!("image {shown}"))?;
    Ok(AcquiredTree { tree, shown, named, _blobs: blobs })
}

/// A pod that was checked, and its staging directory, which is empty.
struct Assembled<'h> {
    staging: Staging<'h>,
    pod: pod::Pod,
    manifest: Vec<u8>,
}

/// Assembles the pod from its images, and checks it. It writes nothing but the pod's staging directory.
fn put_together<'h>(
    data_dir: &'h DataDir,
    acquired: &[AcquiredTree<'_>],
    manifest: ManifestInput,
    named: &[ImageId],
) -> Result<Assembled<'h>> {
    let mut images: Vec<Image<'_>> = Vec::new();
    for AcquiredTree { tree, shown, .. } in acquired {
        let image = Image::read(data_dir, tree, shown, named).with_context(|| format!("image {shown}"))?;
        let is_new = images.iter().all(|other| other.id != image.id);
        ensure!(is_new, "image {shown}: {} is given twice: expected each image once", image.id);
        images.push(image);
    }
    let staging = Staging::create(data_dir)?;
    let manifest = match manifest {
        ManifestInput::Generate(described) => {
            assemble::generate(staging.id(), &images, &described, data_dir.listener)?
        }
        ManifestInput::Given(bytes, manifest) => {
            assemble::check_images(&manifest, &images)?;
            bytes
        }
    };
    let pod = assemble::check(staging.id(), &manifest, &images)?;
    Ok(Assembled { staging, pod, manifest })
}

/// The trees that this run has added to the store. On drop they are taken out again, unless another process uses them
/// by now. A tree that can't be taken out is complete, and gc removes it.
struct Added<'h> {
    data_dir: &'h DataDir,
    trees: Vec<TreeId>,
}

impl<'h> Added<'h> {
    fn to(data_dir: &'h DataDir) -> Self {
        Self { data_dir, trees: Vec::new() }
    }

    /// Puts a pod's trees into the store.
    fn publish(&mut self, acquired: AcquiredTrees<'_>, named: &[ImageId]) -> Result<Trees> {
        let stage1 = self.publish_one(acquired.stage1)?;
        let mut images = BTreeMap::new();
        for image in acquired.images {
            let called = image.tree.called(self.data_dir, named);
            let called = called.about(|| format!("cannot store {}", image.shown))?;
            images.insert(called, self.publish_one(image)?);
        }
        Ok(Trees { stage1, images })
    }

    fn publish_one(&mut self, image: AcquiredTree<'_>) -> Result<Tree> {
        let AcquiredTree { tree, shown, named, _blobs } = image;
        let Stored { tree, is_new } = tree.publish().about(|| format!("cannot store {shown}"))?;
        self.trees.extend(is_new.then_some(tree.id()));
        names::add(self.data_dir, tree.id(), named)?;
        Ok(tree)
    }

    fn keep(mut self) {
        self.trees.clear();
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        if self.trees.is_empty() {
            return;
        }
        let removed =
            store::remove(self.data_dir, &self.trees).and_then(|_| store::sweep_names(self.data_dir));
        let _ = removed.and_then(|()| store::forget_if_empty(self.data_dir));
    }
}

fn publish(
    data_dir: &DataDir,
    staging: &Staging<'_>,
    (pod, manifest): (pod::Pod, &[u8]),
    laid: layout::FinishedLayout,
    entry: &PodEntry,
    announce: impl FnOnce(&Prepared) -> Result<()>,
) -> Result<Prepared> {
    if let Some(name) = &entry.name {
        staging.write_file(files::NAME, format!("{name}\n").as_bytes())?;
    }
    if entry.is_removed_at_end {
        staging.write_file(files::REMOVED_AT_END, b"")?;
    }
    // Held until the pod has its place: no other pod gets the same name meanwhile.
    let _claim = entry.name.as_ref().map(|name| Claim::on(data_dir, name)).transpose()?;
    staging.write_file(files::MANIFEST, manifest)?;
    staging.write_file(files::LAYERS, laid.layers.to_json().as_bytes())?;
    let name = std::ffi::CString::new(staging.id().to_string())?;
    let published = staging.publish(&data_dir.containers, &name, laid.sync)?;
    ensure!(published == Published::New, "pod {} is there already", staging.id());
    let path: &Path = data_dir.path();
    let path = path.join(files::CONTAINERS).join(staging.id().to_string());
    let prepared = Prepared { path, layout: laid.shown, warnings: pod.warnings };
    match announce(&prepared) {
        Ok(()) => Ok(prepared),
        Err(error) => {
            staging.withdraw(&data_dir.containers, &name);
            Err(error)
        }
    }
}
