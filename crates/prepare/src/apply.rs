// SPDX-License-Identifier: Apache-2.0
//! Makes the pod directory from a request's inputs.
//!
//! Invariant: on any failure, everything that was written is removed again, including directories made for it. What the
//! store had before stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use pod::digest::Sha256;
use pod::id::{ImageId, TreeId};
use pod::layout as files;
use pod::text::escape;
use rustix::fs::StatVfsMountFlags;

use crate::assemble::{self, Image};
use crate::copied;
use crate::dependencies::Graph;
use crate::find::ImageInput;
use crate::inputs::{Inputs, ManifestInput};
use crate::judge::judge;
use crate::layout::{self, Trees};
use crate::manifest_file::Named;
use crate::name::Claim;
use crate::pull::Pulled;
use crate::request::PodEntry;
use crate::session::Session;
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
    let listener = data_dir.listener;
    check_executes(data_dir)?;
    Staging::sweep_or_warn(data_dir).about(about)?;
    let Inputs {
        stage1, images, named: by_name, layout, limits, manifest, entry, stage1_init, session, ..
    } = inputs;
    let importer = Importer { data_dir, limits, name_of: image::name, interrupt };
    let mut named = manifest.named_images();
    let (images, numbers) = with_named(images, by_name, &manifest);
    // Dropped last: a tree is taken out of the store only once nothing uses it or refers to it.
    let mut added = Added::to(data_dir);
    let mut acquired = acquire(&importer, stage1, images, &named)?;
    let mut manifest = manifest;
    for AcquiredTree { tree, shown, named, .. } in &acquired.images {
        judge(session, data_dir, tree, named).with_context(|| format!("image {shown}"))?;
    }
    resolve(data_dir, &acquired.images, &numbers, &mut manifest, &mut named)?;
    // Locked until the pod refers to them.
    let _parts = add_dependencies(&importer, session, &mut acquired.images, &mut manifest, &named)?;
    let is_of_0_8 = is_of_0_8(&manifest, &acquired.images)?;
    let named = if is_of_0_8 { sha512s(data_dir, &acquired.images)? } else { named };
    listener.step("checking the pod");
    let Assembled { staging, pod, manifest } = put_together(data_dir, &acquired.images, manifest, &named)?;
    interrupt.check()?;
    listener.step("adding what is new to the store");
    let trees = added.publish(acquired, &named)?;
    listener.step("laying out the pod, and writing its init");
    let mut laid = layout::lay_out(data_dir, &staging, &trees, &pod, layout, interrupt)?;
    if copied::fill(&staging, &trees, &pod, interrupt)? {
        laid.sync = Sync::FileSystem;
    }
    listener.step(&format!("layout: {}", laid.shown));
    if let Some(init) = stage1_init {
        listener.step("writing another init");
        layout::replace_init(&staging, init).context("cannot give the pod its /init")?;
    }
    listener.step("writing the manifest");
    let prepared = publish(data_dir, &staging, (pod, &manifest), laid, &entry, announce)?;
    added.keep();
    listener.step(&format!("pod directory {}", escape(&prepared.path.to_string_lossy())));
    Ok(prepared)
}

/// Checks that programs can be executed where pods are: stage1's are.
fn check_executes(data_dir: &DataDir) -> Result<()> {
    let flags = rustix::fs::statvfs(data_dir.path())?.f_flag;
    ensure!(
        !flags.contains(StatVfsMountFlags::NOEXEC),
        "directory {} is mounted noexec: expected one that programs can be executed in, or another with --dir",
        escape(&data_dir.path().to_string_lossy())
    );
    Ok(())
}

/// Adds the images that apps of the pod's manifest name, and those that it has ids of and that were not given: they are
/// in the store, if they are anywhere. Returns which image an app names, too, by the numbers of both.
///
/// If images are given, they are to be all that it has ids of.
fn with_named<'s>(
    mut images: Vec<ImageInput<'s>>,
    by_name: Vec<(Vec<usize>, ImageInput<'s>)>,
    manifest: &ManifestInput,
) -> (Vec<ImageInput<'s>>, BTreeMap<usize, usize>) {
    let is_alone = images.is_empty();
    let mut numbers = BTreeMap::new();
    for (apps, image) in by_name {
        numbers.extend(apps.into_iter().map(|app| (app, images.len())));
        images.push(image);
    }
    if let ManifestInput::Given(file) = manifest
        && is_alone
    {
        let apps = file.manifest().apps.iter().enumerate();
        let distinct: BTreeSet<_> =
            apps.filter(|(app, _)| !numbers.contains_key(app)).map(|(_, app)| app.image.id).collect();
        images.extend(distinct.into_iter().map(|id| ImageInput::Stored(Selector::Id(id))));
    }
    (images, numbers)
}

/// Gives apps of the pod's manifest the ids of the images that they name. `numbers` has the images that were found by
/// what apps say; any other is one of those that were given to the command. All ids of the manifest are in `named`
/// afterwards.
fn resolve(
    data_dir: &DataDir,
    images: &[AcquiredTree<'_>],
    numbers: &BTreeMap<usize, usize>,
    manifest: &mut ManifestInput,
    named: &mut Vec<ImageId>,
) -> Result<()> {
    let ManifestInput::Given(file) = manifest else { return Ok(()) };
    let mut found = BTreeMap::new();
    for (app, about, name) in file.named() {
        let image = match numbers.get(&app) {
            Some(number) => &images[*number],
            None => given(images, name).with_context(|| format!("app {}", about.name))?,
        };
        let own = image::manifest(&image.tree.in_root(".")?).map_err(anyhow::Error::from);
        let own = own.with_context(|| format!("image {}", image.shown))?.name;
        let known = image.tree.called(data_dir, named)?;
        let id = match (name, named.contains(&known)) {
            (Named::Reference(_, Some(id)), _) => {
                let shown = &image.shown;
                ensure!(
                    image.tree.is_called(data_dir, *id)?,
                    "app {}: image {shown} is {}: expected {id}",
                    about.name,
                    image.tree.id()
                );
                *id
            }
            // The manifest has its id elsewhere.
            (_, true) => known,
            (_, false) => image.tree.sha512(data_dir)?.unwrap_or(known),
        };
        named.push(id);
        found.insert(app, (id, own));
    }
    file.resolve(&found)
}

/// Returns the given image that a name means.
fn given<'a, 'h>(images: &'a [AcquiredTree<'h>], name: &Named) -> Result<&'a AcquiredTree<'h>> {
    for image in images {
        let manifest = image::manifest(&image.tree.in_root(".")?).map_err(anyhow::Error::from);
        if name.is(&manifest.with_context(|| format!("image {}", image.shown))?) {
            return Ok(image);
        }
    }
    bail!("no given image is {}: expected it with --image", name.shown())
}

/// The trees of a pod that are about to be added to the store. On drop, those that aren't in it yet are removed.
struct AcquiredTrees<'h> {
    stage1: AcquiredTree<'h>,
    images: Vec<AcquiredTree<'h>>,
}

/// A tree, and what a person called it.
struct AcquiredTree<'h> {
    tree: Acquired<'h>,
    /// The tree that the image's apps get, if that is not its own.
    rendered: Option<Acquired<'h>>,
    /// Whether the pod has an app of it. Otherwise other images depend on it.
    is_app: bool,
    shown: String,
    /// The names that it has from now on.
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
    let about = || format!("stage1 {shown}");
    // No image is begun after one has failed.
    let acquire_images =
        || images.into_iter().map(|image| acquire_image(importer, image, named)).collect::<Result<Vec<_>>>();
    let (of_stage1, of_images) = match importer.known_stage1(&mut stage1, digest).about(about)? {
        // Finding it took too little time for a thread to be of use.
        Some(tree) => (Ok(tree), acquire_images()),
        None => thread::scope(|scope| {
            let of_stage1 = thread::Builder::new()
                .name("stage1".into())
                .spawn_scoped(scope, || {
                    importer.acquire(&mut stage1, TreeKind::Stage1, Expected::File(digest), &[])
                })
                .context("cannot start a thread")?;
            let of_images = acquire_images();
            let of_stage1 = of_stage1.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok::<_, anyhow::Error>((of_stage1, of_images))
        })?,
    };
    let tree = of_stage1.about(about)?;
    importer.data_dir.listener.step(&format!("stage1 {shown} is {}", state_of(&tree)));
    let named = NamedImage::default();
    let stage1 = AcquiredTree { tree, rendered: None, is_app: false, shown, named, _blobs: None };
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
    importer.data_dir.listener.step(&format!("image {shown} is {}", state_of(&tree)));
    Ok(AcquiredTree { tree, rendered: None, is_app: true, shown, named, _blobs: blobs })
}

/// Says where a tree is, for people.
fn state_of(tree: &Acquired<'_>) -> &'static str {
    match tree {
        Acquired::Known(_) => "in the store",
        Acquired::New(_) => "unpacked",
    }
}

/// Finds the images that the given ones depend on, and renders the trees of apps whose images need that. Returns the
/// trees of the store that they were rendered of.
///
/// Where the manifest is generated, an image that another one depends on makes no app.
fn add_dependencies<'h>(
    importer: &Importer<'h>,
    session: &Session<'_>,
    images: &mut [AcquiredTree<'h>],
    manifest: &mut ManifestInput,
    named: &[ImageId],
) -> Result<Vec<Acquired<'h>>> {
    let data_dir = importer.data_dir;
    let given: Vec<_> = images.iter().map(|image| (&image.tree, image.shown.as_str())).collect();
    let graph = Graph::of(data_dir, &given)?;
    for (tree, name) in graph.stored() {
        judge(session, data_dir, tree, &NamedImage::default()).with_context(|| format!("image {name}"))?;
    }
    let dependencies = graph.dependencies();
    let mut found = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let is_named = named.contains(&image.tree.called(data_dir, named)?);
        let is_app = is_named || !dependencies.contains(&index);
        let rendered = if is_app { graph.render(importer, index) } else { Ok(None) };
        found.push((is_app, rendered.with_context(|| format!("image {}", image.shown))?));
    }
    let parts = graph.into_stored();
    if let ManifestInput::Generate(described) = manifest {
        let options = std::mem::take(&mut described.apps).into_iter().enumerate();
        for (index, options) in options {
            if found.get(index).is_none_or(|(is_app, _)| *is_app) {
                described.apps.push(options);
            } else {
                let shown = &images[index].shown;
                ensure!(
                    options.is_empty(),
                    "image {shown}: another image depends on it: expected no options for an app of it"
                );
            }
        }
    }
    for (image, (is_app, rendered)) in images.iter_mut().zip(found) {
        (image.is_app, image.rendered) = (is_app, rendered);
    }
    Ok(parts)
}

/// Tells whether the manifest will be one of 0.8 that this program writes ([`assemble::generate`]).
fn is_of_0_8(manifest: &ManifestInput, images: &[AcquiredTree<'_>]) -> Result<bool> {
    let ManifestInput::Generate(described) = manifest else { return Ok(false) };
    if !described.is_plain() {
        return Ok(true);
    }
    for AcquiredTree { tree, shown, .. } in images.iter().filter(|image| image.is_app) {
        let manifest = tree
            .in_root(".")
            .map_err(Into::into)
            .and_then(|root| image::manifest(&root).map_err(anyhow::Error::from));
        if !manifest.with_context(|| format!("image {shown}"))?.is_of_0_1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the ids by which a manifest of 0.8 calls these images (appc spec, "Image ID Type"). One whose sha512 no
/// command has taken is called by its other id.
fn sha512s(data_dir: &DataDir, images: &[AcquiredTree<'_>]) -> Result<Vec<ImageId>> {
    let mut all = Vec::new();
    for AcquiredTree { tree, shown, .. } in images.iter().filter(|image| image.is_app) {
        let mut known = tree.sha512(data_dir)?;
        if known.is_none() {
            known = image::oci::sha512_of(&tree.in_root(".")?)?;
            known.iter().try_for_each(|id| tree.keep_sha512(data_dir, *id))?;
        }
        if known.is_none() {
            data_dir.listener.warn(&format!(
                "image {shown}: its sha512 is not known, so the pod calls it by its sha256: importing its file again computes it"
            ));
        }
        all.extend(known);
    }
    Ok(all)
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
    for AcquiredTree { tree, rendered, shown, .. } in acquired.iter().filter(|image| image.is_app) {
        let image = Image::read(data_dir, tree, rendered.as_ref(), shown, named);
        let image = image.with_context(|| format!("image {shown}"))?;
        images.push(image);
    }
    let staging = Staging::create(data_dir)?;
    let manifest = match manifest {
        ManifestInput::Generate(described) => {
            assemble::generate(staging.id(), &images, &described, data_dir.listener)?
        }
        ManifestInput::Given(file) => {
            assemble::check_images(file.manifest(), &images)?;
            file.into_bytes()
        }
    };
    let (pod, warnings) = assemble::check(staging.id(), &manifest, &images)?;
    warnings.iter().for_each(|warning| data_dir.listener.warn(warning));
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
        let stage1 = self.publish_image(acquired.stage1)?;
        let (mut images, mut parts, mut rendered) = (BTreeMap::new(), Vec::new(), Vec::new());
        for mut image in acquired.images {
            let called = image.tree.called(self.data_dir, named);
            let called = called.about(|| format!("cannot store {}", image.shown))?;
            match (image.is_app, image.rendered.take()) {
                (true, None) => drop(images.insert(called, self.publish_image(image)?)),
                (_, tree) => {
                    rendered.extend(tree.map(|tree| (called, image.shown.clone(), tree)));
                    parts.push(self.publish_image(image)?);
                }
            }
        }
        // The trees that a tree is rendered of are added to the store before it.
        for (called, shown, tree) in rendered {
            images.insert(called, self.publish_one(tree, &shown)?);
        }
        Ok(Trees { stage1, images, _parts: parts })
    }

    fn publish_image(&mut self, image: AcquiredTree<'_>) -> Result<Tree> {
        let AcquiredTree { tree, shown, named, _blobs, .. } = image;
        let tree = self.publish_one(tree, &shown)?;
        names::add(self.data_dir, tree.id(), named)?;
        Ok(tree)
    }

    fn publish_one(&mut self, tree: Acquired<'_>, shown: &str) -> Result<Tree> {
        let Stored { tree, is_new } = tree.publish().about(|| format!("cannot store {shown}"))?;
        self.trees.extend(is_new.then_some(tree.id()));
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
        staging.write_file(files::REMOVED_AT_END, entry.starter.as_deref().unwrap_or_default().as_bytes())?;
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
