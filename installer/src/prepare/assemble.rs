// SPDX-License-Identifier: Apache-2.0
//! Images and a manifest → a pod that boots: everything that `/init` would refuse is refused here.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail, ensure};
use pod::digest::Digest;
use pod::id::PodId;
use pod::isolators::Isolators;
use pod::manifest::{
    Annotations, ContainerRuntimeManifest, ImageManifest, Manifest, PodManifest, RuntimeApp, RuntimeVolume,
};
use pod::name::AppName;
use pod::{Pod, layout};

use super::check;
use crate::image::MANIFEST_MAX;
use crate::image_root::InRoot;
use crate::report::Hint as _;
use crate::request::VolumeArgument;
use crate::staging::Staging;

/// An image that lies in the pod directory.
#[derive(Debug)]
pub(super) struct Image {
    digest: Digest,
    manifest: ImageManifest,
    /// Its file, for messages.
    shown: String,
}

/// Reads the manifest of the image `digest`.
pub(super) fn read_image(staging: &Staging<'_>, digest: Digest, shown: &str) -> Result<Image> {
    let image = open_in_stage1(staging, &layout::image(&digest))?;
    let manifest =
        image.read_file(layout::IMAGE_MANIFEST, MANIFEST_MAX).context("cannot read the manifest")?;
    let manifest = ImageManifest::parse(&manifest).context("manifest")?;
    Ok(Image { digest, manifest, shown: shown.to_owned() })
}

/// A manifest with an app for each image.
pub(super) fn generate(id: PodId, images: &[Image], volumes: &[VolumeArgument]) -> Result<Vec<u8>> {
    let mut names: BTreeMap<AppName, &Image> = BTreeMap::new();
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
            image_id: image.digest,
            isolators: Isolators::default(),
            annotations: Annotations::default(),
        });
    }
    let points =
        || images.iter().filter_map(|image| image.manifest.app.as_ref()).flat_map(|app| &app.mount_points);
    for volume in volumes.iter().filter(|volume| points().all(|point| point.name != volume.name)) {
        eprintln!("warning: no app has a mount point {} for the volume", volume.name);
    }
    let volumes = volumes
        .iter()
        .map(|volume| RuntimeVolume { volume: volume.volume.clone(), fulfills: vec![volume.name.clone()] });
    Ok(ContainerRuntimeManifest::new(id, apps, volumes.collect()).to_json().into_bytes())
}

/// Whether the images given are those that the manifest names.
pub(super) fn check_images(manifest: &PodManifest, images: &[Image]) -> Result<()> {
    for app in &manifest.apps {
        let (name, id) = (&app.name, app.image.id);
        let given = images.iter().any(|image| image.digest == id);
        ensure!(given, "app {name} is of image {id}: expected it with --image");
    }
    for Image { digest, shown, .. } in images {
        let named = manifest.apps.iter().any(|app| app.image.id == *digest);
        ensure!(named, "image {shown} is {digest}: expected an app of it in the pod manifest");
    }
    Ok(())
}

/// Puts the pod together as `/init` will.
pub(super) fn check(staging: &Staging<'_>, manifest: &[u8], images: Vec<Image>) -> Result<()> {
    let manifest = Manifest::parse(manifest).context("the pod's manifest")?;
    let images = images.into_iter().map(|image| (image.digest, image.manifest)).collect();
    let pod = Pod::assemble(staging.id(), &manifest, &images)?;
    for app in &pod.apps {
        let root = open_in_stage1(staging, &layout::image_rootfs(&app.image))?;
        check::check(app, &root).with_context(|| format!("app {}", app.name))?;
    }
    Ok(())
}

fn open_in_stage1(staging: &Staging<'_>, path: &str) -> Result<InRoot> {
    let path = format!("{}/{path}", layout::STAGE1);
    match InRoot::open_at(staging.as_fd(), &path) {
        Err(error) => bail!("cannot open {path}: {error}"),
        Ok(root) => Ok(root),
    }
}
