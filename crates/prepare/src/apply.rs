// SPDX-License-Identifier: Apache-2.0
//! Makes the pod directory from a plan.
//!
//! Invariant: on any failure, everything that was written is removed again, including directories made for it. What the
//! store had before stays.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, ensure};
use pod::digest::Sha256;
use pod::id::{ImageId, TreeId};
use pod::layout as names;
use pod::text::escape;

use crate::assemble::{self, Image};
use crate::layout;
use crate::plan::{ImagePlan, ManifestPlan, Plan};
use crate::request::LayoutArgument;
use store::Home;
use store::extract::Expected;
use store::listener::Listener;
use store::staging::{Published, Staging};
use store::{Acquired, Importer, Kind, Tree};
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
    plan: Plan,
    interrupt: &Interrupt,
    listener: &'static dyn Listener,
    announce: impl FnOnce(&Prepared) -> Result<()>,
) -> Result<Prepared> {
    let home = Home::open(&plan.dir, interrupt, listener)?;
    let done = in_home(plan, &home, interrupt, announce);
    if done.is_err() {
        home.abandon();
    }
    done
}

fn in_home(
    plan: Plan,
    home: &Home,
    interrupt: &Interrupt,
    announce: impl FnOnce(&Prepared) -> Result<()>,
) -> Result<Prepared> {
    let about = || format!("directory {}", escape(&home.path().to_string_lossy()));
    Staging::sweep_or_warn(home).with_context(about)?;
    let Plan { stage1, images, layout, limits, manifest, .. } = plan;
    let importer = Importer { home, limits, name_of: image::name, interrupt };
    let named = manifest.named_images();
    let mut acquired = Vec::new();
    let ready = acquire(&importer, stage1, images, &named, &mut acquired)
        .and_then(|()| put_together(home, &acquired, manifest, &named));
    let (pod, manifest, staging) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            acquired.into_iter().for_each(|(tree, _)| tree.abandon());
            return Err(error);
        }
    };
    let mut made = Made::default();
    let done = interrupt
        .check()
        .map_err(Into::into)
        .and_then(|()| made.publish_trees(acquired, home, &named))
        .and_then(|()| made.lay_out(home, &staging, &pod, layout, interrupt))
        .and_then(|layout| publish(home, &staging, (pod, &manifest), layout, announce));
    if done.is_err() {
        staging.discard();
        made.take_back(home);
    }
    done
}

/// Finds or unpacks all trees: stage1's first, then the images'. Trees that are unpacked in parallel know nothing of
/// each other until all are complete.
fn acquire<'h>(
    importer: &Importer<'h>,
    (mut stage1, digest): (store::source::Source, Sha256),
    images: Vec<ImagePlan>,
    named: &[ImageId],
    acquired: &mut Vec<(Acquired<'h>, String)>,
) -> Result<()> {
    let shown = stage1.shown();
    let (of_stage1, of_images) = thread::scope(|scope| {
        let of_stage1 = thread::Builder::new()
            .name("stage1".into())
            .spawn_scoped(scope, || importer.acquire(&mut stage1, Kind::Stage1, Expected::File(digest), &[]))
            .context("cannot start a thread")?;
        let mut of_images = Vec::new();
        for image in images {
            let shown = image.shown();
            let tree = acquire_image(importer, image, named).with_context(|| format!("image {shown}"));
            let failed = tree.is_err();
            of_images.push(tree.map(|tree| (tree, shown)));
            if failed {
                break;
            }
        }
        let of_stage1 = of_stage1.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok::<_, anyhow::Error>((of_stage1, of_images))
    })?;
    let mut failure = None;
    let of_stage1 = of_stage1.map(|tree| (tree, shown.clone())).with_context(|| format!("stage1 {shown}"));
    for tree in [of_stage1].into_iter().chain(of_images) {
        match tree {
            Ok(tree) => acquired.push(tree),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(()), Err)
}

fn acquire_image<'h>(importer: &Importer<'h>, image: ImagePlan, named: &[ImageId]) -> Result<Acquired<'h>> {
    match image {
        ImagePlan::Stored(selector) => store::resolve(importer.home, &selector).map(Acquired::Known),
        ImagePlan::File(mut source, id) => {
            let expected = id.map_or(Expected::Anything, |id| Expected::Tar(id.digest()));
            importer.acquire(&mut source, Kind::Image, expected, named)
        }
    }
}

/// Assembles the pod from its trees, and checks it. It writes nothing but the pod's staging directory.
fn put_together<'h>(
    home: &'h Home,
    acquired: &[(Acquired<'h>, String)],
    manifest: ManifestPlan,
    named: &[ImageId],
) -> Result<(pod::Pod, Vec<u8>, Staging<'h>)> {
    let mut images: Vec<Image<'_>> = Vec::new();
    for (tree, shown) in &acquired[1..] {
        let image = Image::read(home, tree, shown, named).with_context(|| format!("image {shown}"))?;
        let is_new = images.iter().all(|other| other.id != image.id);
        ensure!(is_new, "image {shown}: {} is there already: expected each image once", image.id);
        images.push(image);
    }
    let staging = Staging::create(home)?;
    let checked = || -> Result<(pod::Pod, Vec<u8>)> {
        let manifest = match manifest {
            ManifestPlan::Generate(volumes) => {
                assemble::generate(staging.id(), &images, &volumes, home.listener)?
            }
            ManifestPlan::Given(bytes, manifest) => {
                assemble::check_images(&manifest, &images)?;
                bytes
            }
        };
        Ok((assemble::check(staging.id(), &manifest, &images)?, manifest))
    };
    match checked() {
        Ok((pod, manifest)) => Ok((pod, manifest, staging)),
        Err(error) => {
            staging.discard();
            Err(error)
        }
    }
}

/// What this run has published in the store.
#[derive(Debug, Default)]
struct Made {
    stage1: Option<Tree>,
    /// The images' trees, by the ids that the pod calls them.
    images: Vec<(ImageId, Tree)>,
    /// The trees that the store did not have before.
    new: Vec<TreeId>,
}

impl Made {
    fn publish_trees(
        &mut self,
        acquired: Vec<(Acquired<'_>, String)>,
        home: &Home,
        named: &[ImageId],
    ) -> Result<()> {
        let mut acquired = acquired.into_iter();
        while let Some((tree, shown)) = acquired.next() {
            let published = tree.called(home, named).and_then(|called| Ok((called, tree.publish()?)));
            match published.with_context(|| format!("cannot store {shown}")) {
                Ok((called, (tree, is_new))) => {
                    self.new.extend(is_new.then_some(tree.id()));
                    match self.stage1 {
                        None => self.stage1 = Some(tree),
                        Some(_) => self.images.push((called, tree)),
                    }
                }
                Err(error) => {
                    acquired.for_each(|(tree, _)| tree.abandon());
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn lay_out(
        &self,
        home: &Home,
        staging: &Staging<'_>,
        pod: &pod::Pod,
        layout: LayoutArgument,
        interrupt: &Interrupt,
    ) -> Result<layout::Laid> {
        let stage1 = self.stage1.as_ref().context("stage1 is always there")?;
        layout::lay_out(
            home,
            staging,
            &layout::Trees { stage1, images: &self.images },
            pod,
            layout,
            interrupt,
        )
    }

    /// Removes the trees that this run has added to the store, unless another process uses them by now. A tree that
    /// can't be removed is complete, and gc removes it.
    fn take_back(self, home: &Home) {
        let new = self.new.clone();
        drop(self);
        let taken = store::remove(home, &new).and_then(|_| store::sweep_aliases(home));
        let _ = taken.and_then(|()| store::forget_if_empty(home));
    }
}

fn publish(
    home: &Home,
    staging: &Staging<'_>,
    (pod, manifest): (pod::Pod, &[u8]),
    laid: layout::Laid,
    announce: impl FnOnce(&Prepared) -> Result<()>,
) -> Result<Prepared> {
    staging.write_file(names::MANIFEST, manifest)?;
    staging.write_file(names::LAYERS, laid.layers.to_json().as_bytes())?;
    let name = std::ffi::CString::new(staging.id().to_string())?;
    let published = staging.publish(&home.containers, &name, laid.sync)?;
    ensure!(published == Published::New, "pod {} is there already", staging.id());
    let path: &Path = home.path();
    let path = path.join(names::CONTAINERS).join(staging.id().to_string());
    let prepared = Prepared { path, layout: laid.shown, warnings: pod.warnings };
    match announce(&prepared) {
        Ok(()) => Ok(prepared),
        Err(error) => {
            staging.withdraw(&home.containers, &name);
            Err(error)
        }
    }
}
