// SPDX-License-Identifier: Apache-2.0
//! A request whose inputs are all open. Invariant: nothing was written, and files are not looked up again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pod::digest::Digest;
use pod::manifest::{Manifest, PodManifest, Volume, VolumeKind};
use pod::text::escape;

use crate::image::MANIFEST_MAX;
use crate::report::Hint as _;
use crate::request::{ImageArgument, Request, VolumeArgument};
use crate::source::Source;
use crate::stage1;

/// What is to be verified and laid out.
#[derive(Debug)]
pub(crate) struct Plan {
    /// DIR.
    pub(crate) dir: PathBuf,
    /// Stage1, and what its file must hash to.
    pub(crate) stage1: (Source, Digest),
    /// The images, and what their tars must hash to.
    pub(crate) images: Vec<(Source, Option<Digest>)>,
    /// What becomes the pod's manifest.
    pub(crate) manifest: ManifestPlan,
}

/// Where the pod's manifest comes from.
#[derive(Debug)]
pub(crate) enum ManifestPlan {
    /// It is generated: an app for each image, and these volumes.
    Generate(Vec<VolumeArgument>),
    /// It was given, and is stored as it is.
    Given(Vec<u8>, Box<PodManifest>),
}

impl ManifestPlan {
    /// The images that it names; one that is generated names what it is given.
    pub(crate) fn named_images(&self) -> Vec<Digest> {
        match self {
            Self::Generate(_) => Vec::new(),
            Self::Given(_, manifest) => manifest.apps.iter().map(|app| app.image.id).collect(),
        }
    }
}

impl Plan {
    /// Opens everything that `request` names.
    pub(crate) fn open(request: &Request) -> Result<Self> {
        let images = request.images.iter().map(open_image).collect::<Result<_>>()?;
        let manifest = match &request.pod_manifest {
            None => ManifestPlan::Generate(request.volumes.clone()),
            Some(path) => read_manifest(path)?,
        };
        match &manifest {
            ManifestPlan::Generate(volumes) => {
                volumes.iter().try_for_each(|volume| check_volume(volume.name.as_str(), &volume.volume))?;
            }
            ManifestPlan::Given(_, manifest) => manifest
                .volumes
                .iter()
                .try_for_each(|volume| check_volume(volume.name.as_str(), &volume.volume))?,
        }
        Ok(Self { dir: request.dir.clone(), stage1: open_stage1(request)?, images, manifest })
    }
}

fn open_image(image: &ImageArgument) -> Result<(Source, Option<Digest>)> {
    Ok((Source::open(&image.path).context("image")?, image.digest))
}

fn open_stage1(request: &Request) -> Result<(Source, Digest)> {
    let path = request.stage1.clone().map_or_else(stage1::default_path, Ok)?;
    let source = Source::open(&path)
        .context("stage1")
        .hint("--stage1 FILE or $GANTRY_STAGE1 says where it is; rootfs-build makes one")?;
    let digest = request.stage1_digest.map_or_else(|| stage1::read_sums(&path), Ok)?;
    Ok((source, digest))
}

fn read_manifest(path: &Path) -> Result<ManifestPlan> {
    let bytes = Source::open(path).context("pod manifest")?.read_all(MANIFEST_MAX)?;
    let about = || format!("pod manifest {}", escape(&path.to_string_lossy()));
    match Manifest::parse(&bytes).with_context(about)? {
        Manifest::Pod(manifest) => Ok(ManifestPlan::Given(bytes, manifest)),
        Manifest::Runtime(_) => {
            bail!("{}: acKind is ContainerRuntimeManifest: expected PodManifest", about())
        }
    }
}

fn check_volume(name: &str, volume: &Volume) -> Result<()> {
    let VolumeKind::Host { source, .. } = &volume.kind else { return Ok(()) };
    std::fs::metadata(source.as_str())
        .with_context(|| format!("volume {name}: cannot find {source}"))
        .map(drop)
}
