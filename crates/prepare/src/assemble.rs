// SPDX-License-Identifier: Apache-2.0
//! Assembles a pod that boots from images and a manifest: everything that `/init` would refuse is refused here.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use pod::exec::Word;
use pod::id::{ImageId, PodId};
use pod::isolators::Isolators;
use pod::manifest::{
    Annotations, ContainerRuntimeManifest, ImageManifest, Manifest, PodManifest, RuntimeApp, RuntimeVolume,
};
use pod::name::AppName;
use pod::{Pod, layout};

use crate::apps::{self, AppOptions, MountSource};
use crate::check;
use crate::inputs::Described;
use crate::volume_argument::VolumeArgument;
use image::oci::app::Overrides;
use report::Hint as _;
use store::Acquired;
use store::DataDir;
use store::listener::Listener;

/// An image whose tree is available.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// The id that the pod calls it.
    pub(crate) id: ImageId,
    manifest: ImageManifest,
    /// The tree that its apps get.
    tree: &'a Acquired<'a>,
    /// The name that a person gave it, for messages.
    shown: &'a str,
}

impl<'a> Image<'a> {
    /// Reads an image's manifest. `rendered` is the tree that its apps get, if that is not its own. `named` are the ids by
    /// which the pod's manifest may name the image.
    pub(crate) fn read(
        data_dir: &DataDir,
        tree: &'a Acquired<'a>,
        rendered: Option<&'a Acquired<'a>>,
        shown: &'a str,
        named: &[ImageId],
    ) -> Result<Self> {
        let (id, of_tree) = (tree.called(data_dir, named)?, tree.id().as_image());
        if id != of_tree && named.contains(&of_tree) {
            bail!("the pod manifest calls it {of_tree} and {id}: expected one of them");
        }
        let directory = tree.in_root(".")?;
        let not_honoured = image::oci::not_honoured(&directory).map_err(anyhow::Error::from);
        for line in not_honoured.context("cannot read its configuration")? {
            data_dir.listener.warn(&format!("image {shown}: {line}"));
        }
        let manifest = image::manifest(&directory)?;
        Ok(Self { id, manifest, tree: rendered.unwrap_or(tree), shown })
    }
}

/// Generates a manifest with one app for each image: of 0.8, unless all images are of 0.1 and nothing is said that only
/// 0.8 can say.
pub(crate) fn generate(
    id: PodId,
    images: &[Image<'_>],
    described: &Described,
    listener: &dyn Listener,
) -> Result<Vec<u8>> {
    let names = names(images)?;
    warn_of_unused(images, described, listener);
    // A manifest of 0.1 means what images of 0.1 do; it gives apps variables that 0.8 does not have.
    if described.is_plain() && images.iter().all(|image| image.manifest.is_of_0_1) {
        let apps = names.into_iter().zip(images).map(|(name, image)| RuntimeApp {
            name,
            image_id: image.id,
            isolators: Isolators::default(),
            annotations: Annotations::default(),
        });
        let volumes = described.volumes.iter().map(|volume| RuntimeVolume {
            volume: volume.volume.clone(),
            fulfills: vec![volume.name.clone()],
        });
        let manifest = ContainerRuntimeManifest::new(id, apps.collect(), volumes.collect());
        return Ok(manifest.to_json().into_bytes());
    }
    let nothing = AppOptions::default();
    let mut apps = Vec::new();
    for (index, (name, image)) in names.into_iter().zip(images).enumerate() {
        let options = described.apps.get(index).unwrap_or(&nothing);
        let texts = |words: &[Word]| words.iter().map(|word| word.as_str().to_owned()).collect();
        let overrides = Overrides {
            program: options.program.as_ref().map(|program| texts(std::slice::from_ref(program))),
            arguments: options.arguments.as_deref().map(texts),
        };
        let app = image::app_with(&image.tree.in_root(".")?, &overrides).map_err(anyhow::Error::from);
        let app = app.with_context(|| format!("image {}", image.shown))?;
        let Image { id, manifest, .. } = image;
        let (image, has_home) = (manifest.name.clone(), manifest.is_of_0_1);
        apps.push(apps::Described { name, id: *id, image, app, options, has_home });
    }
    apps::pod_manifest(apps, &described.settings, &described.volumes)
}

/// Returns the apps' names, in the images' order. An image that is given twice makes two apps.
fn names<'i>(images: &'i [Image<'i>]) -> Result<Vec<AppName>> {
    let mut names: BTreeMap<AppName, &Image<'_>> = BTreeMap::new();
    let mut one = |image: &'i Image<'i>| {
        let mut name = AppName::of_image(&image.manifest.name)?;
        // Of one image, each app has a number, from the second on.
        let of_image = name.in_manifest();
        for number in 2.. {
            if names.get(&name).is_none_or(|other| other.id != image.id) {
                break;
            }
            name = AppName::of_manifest(&format!("{of_image}-{number}"))?;
        }
        if let Some(other) = names.insert(name.clone(), image) {
            let (one, two) = (&other.shown, &image.shown);
            return Err(anyhow::anyhow!(
                "images {one} and {two} both make an app called {name}: expected two names"
            ))
            .hint("a pod manifest can name apps as it likes: --pod-manifest");
        }
        Ok(name)
    };
    images.iter().map(&mut one).collect()
}

/// Warns of volumes that are mounted nowhere.
fn warn_of_unused(images: &[Image<'_>], described: &Described, listener: &dyn Listener) {
    let points =
        || images.iter().filter_map(|image| image.manifest.app.as_ref()).flat_map(|app| &app.mount_points);
    let mounts = || described.apps.iter().flat_map(|app| &app.mounts).map(|mount| &mount.source);
    for VolumeArgument { name, .. } in &described.volumes {
        let is_mounted = mounts().any(|source| matches!(source, MountSource::OfPod(of) if of == name));
        if !is_mounted && points().all(|point| point.name != *name) {
            listener.warn(&format!("no app has a mount point {name} for the volume"));
        }
    }
}

/// Checks that the given images are exactly those that the manifest names.
pub(crate) fn check_images(manifest: &PodManifest, images: &[Image<'_>]) -> Result<()> {
    for app in &manifest.apps {
        let (name, id) = (&app.name, app.image.id);
        let given = images.iter().any(|image| image.id == id);
        ensure!(given, "app {name} is of image {id}: expected it with --image");
    }
    for Image { id, shown, .. } in images {
        let named = manifest.apps.iter().any(|app| app.image.id == *id);
        ensure!(named, "image {shown} is {id}: expected an app of it in the pod manifest");
    }
    Ok(())
}

/// Assembles the pod as `/init` will, and checks each app against its image's tree.
///
/// Returns the pod, and warnings about what only the images' trees tell.
pub(crate) fn check(id: PodId, manifest: &[u8], images: &[Image<'_>]) -> Result<(Pod, Vec<String>)> {
    let manifest = Manifest::parse(manifest).context("the pod's manifest")?;
    let manifests = images.iter().map(|image| (image.id, image.manifest.clone())).collect();
    let pod = Pod::assemble(id, &manifest, &manifests)?;
    let mut warnings = Vec::new();
    for app in &pod.apps {
        let image = images.iter().find(|image| image.id == app.image);
        let image = image.with_context(|| format!("image {} is not given", app.image))?;
        let root = image.tree.in_root(layout::IMAGE_ROOTFS)?;
        let hidden = check::check(app, &root).with_context(|| format!("app {}", app.name))?;
        warnings.extend(hidden.into_iter().map(|warning| format!("app {}: {warning}", app.name)));
    }
    Ok((pod, warnings))
}
