// SPDX-License-Identifier: Apache-2.0
//! Assembles a pod that boots from images and a manifest: everything that `/init` would refuse is refused here.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use pod::id::{ImageId, PodId};
use pod::isolators::Isolators;
use pod::manifest::{
    Annotations, ContainerRuntimeManifest, ImageManifest, Manifest, PodManifest, RuntimeApp, RuntimeVolume,
};
use pod::name::AppName;
use pod::{Pod, layout};

use crate::check;
use crate::request::VolumeArgument;
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
    tree: &'a Acquired<'a>,
    /// The name that a person gave it, for messages.
    shown: &'a str,
}

impl<'a> Image<'a> {
    /// Reads an image's manifest. `named` are the ids by which the pod's manifest may name the image.
    pub(crate) fn read(
        data_dir: &DataDir,
        tree: &'a Acquired<'a>,
        shown: &'a str,
        named: &[ImageId],
    ) -> Result<Self> {
        let (id, of_tree) = (tree.called(data_dir, named)?, tree.id().as_image());
        if id != of_tree && named.contains(&of_tree) {
            bail!("the pod manifest calls it {of_tree} and {id}: expected one of them");
        }
        let directory = tree.in_root(".")?;
        for line in image::oci::not_honoured(&directory).context("cannot read its configuration")? {
            data_dir.listener.warn(&format!("image {shown}: {line}"));
        }
        Ok(Self { id, manifest: image::manifest(&directory)?, tree, shown })
    }
}

/// Generates a manifest with one app for each image.
pub(crate) fn generate(
    id: PodId,
    images: &[Image<'_>],
    volumes: &[VolumeArgument],
    listener: &dyn Listener,
) -> Result<Vec<u8>> {
    let mut names: BTreeMap<AppName, &Image<'_>> = BTreeMap::new();
    let mut apps = Vec::new();
    for image in images {
        let name = AppName::of_image(&image.manifest.name)?;
        if let Some(other) = names.insert(name.clone(), image) {
            let (one, two) = (&other.shown, &image.shown);
            return Err(anyhow::anyhow!(
                "images {one} and {two} both make an app called {name}: expected two names"
            ))
            .hint("a pod manifest can name apps as it likes: --pod-manifest");
        }
        apps.push(RuntimeApp {
            name,
            image_id: image.id,
            isolators: Isolators::default(),
            annotations: Annotations::default(),
        });
    }
    let points =
        || images.iter().filter_map(|image| image.manifest.app.as_ref()).flat_map(|app| &app.mount_points);
    for volume in volumes.iter().filter(|volume| points().all(|point| point.name != volume.name)) {
        listener.warn(&format!("no app has a mount point {} for the volume", volume.name));
    }
    let volumes = volumes
        .iter()
        .map(|volume| RuntimeVolume { volume: volume.volume.clone(), fulfills: vec![volume.name.clone()] });
    Ok(ContainerRuntimeManifest::new(id, apps, volumes.collect()).to_json().into_bytes())
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
pub(crate) fn check(id: PodId, manifest: &[u8], images: &[Image<'_>]) -> Result<Pod> {
    let manifest = Manifest::parse(manifest).context("the pod's manifest")?;
    let manifests = images.iter().map(|image| (image.id, image.manifest.clone())).collect();
    let pod = Pod::assemble(id, &manifest, &manifests)?;
    for app in &pod.apps {
        let image = images.iter().find(|image| image.id == app.image);
        let image = image.with_context(|| format!("image {} is not given", app.image))?;
        let root = image.tree.in_root(layout::IMAGE_ROOTFS)?;
        check::check(app, &root).with_context(|| format!("app {}", app.name))?;
    }
    Ok(pod)
}
