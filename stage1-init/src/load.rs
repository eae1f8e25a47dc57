// SPDX-License-Identifier: Apache-2.0
//! The pod directory → a [`Pod`] and who its users are.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use pod::digest::Digest;
use pod::id::PodId;
use pod::manifest::{ImageManifest, Manifest};
use pod::name::AppName;
use pod::path::RelativePath;
use pod::user::{Person, person, resolve_group, resolve_user};
use pod::{Pod, layout};

use crate::in_root::InRoot;

/// Manifests may be this long.
const MANIFEST_MAX: u64 = 4 << 20;

/// A pod with everything about it that only its directory tells.
#[derive(Debug)]
pub struct Loaded {
    /// The pod.
    pub pod: Pod,
    /// Whom each app runs as.
    pub credentials: BTreeMap<AppName, Credentials>,
}

/// A user and its primary group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// What the image says of the user.
    pub person: Person,
}

/// Loads the pod in the directory `dir`, whose name is `id`.
///
/// # Errors
/// Where a manifest is missing or invalid, or a user is not to be found in its image.
pub fn load(dir: impl AsFd, id: PodId) -> Result<Loaded> {
    let dir = InRoot::open_at(dir, ".").context("cannot open the pod directory")?;
    let manifest = read(&dir, layout::MANIFEST, "the pod's manifest")?;
    let manifest =
        Manifest::parse(&manifest).with_context(|| format!("the pod's manifest {:?}", layout::MANIFEST))?;
    let stage1 = InRoot::open_at(&dir, layout::STAGE1).context("cannot open stage1")?;
    let mut images = BTreeMap::new();
    for image in manifest.images() {
        images.insert(image, load_image(&stage1, &image)?);
    }
    let pod = Pod::assemble(id, &manifest, &images)?;
    let mut all = BTreeMap::new();
    for app in &pod.apps {
        all.insert(app.name.clone(), credentials(&stage1, app)?);
    }
    Ok(Loaded { credentials: all, pod })
}

fn load_image(stage1: &InRoot, id: &Digest) -> Result<ImageManifest> {
    let manifest = read(stage1, &layout::image_manifest(id), &format!("the manifest of image {id}"))?;
    ImageManifest::parse(&manifest).with_context(|| format!("the manifest of image {id}"))
}

fn credentials(stage1: &InRoot, app: &pod::App) -> Result<Credentials> {
    let rootfs = layout::image_rootfs(&app.image);
    let root = InRoot::open_at(stage1, &rootfs).with_context(|| format!("cannot open {rootfs}"))?;
    let of_app = || format!("app {}", app.name);
    let uid = resolve_user(&app.user, &root).with_context(of_app)?;
    let gid = resolve_group(&app.group, &root).with_context(of_app)?;
    Ok(Credentials { uid, gid, person: person(uid, &root) })
}

fn read(root: &InRoot, path: &str, what: &str) -> Result<Vec<u8>> {
    let path = RelativePath::from_bytes(path.as_bytes())?;
    root.read(&path, MANIFEST_MAX).with_context(|| format!("cannot read {what}"))
}
