// SPDX-License-Identifier: Apache-2.0
//! Inputs: everything that a request names, open and checked. Invariant: nothing has been written, and no file is looked
//! up again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use pod::digest::Sha256;
use pod::exec::Word;
use pod::id::ImageId;
use pod::manifest::{Volume, VolumeKind};
use pod::name::EnvName;
use pod::text::escape;

use crate::apps::{AppOptions, MountSource, PodSettings, environment_file};
use crate::find::{Finder, ImageInput};
use crate::host_volume::open_source;
use crate::manifest_file::{IMAGE, ManifestFile, Named, name_with};
use crate::request::{LayoutArgument, PodEntry, Request};
use crate::session::Session;
use crate::volume_argument::VolumeArgument;
use archive::Limits;
use image::{ImageArgument, MANIFEST_MAX};
use image::{signed, stage1};
use report::{Hint as _, told};
use store::About as _;
use store::input::InputFile;
use sys::Interrupt;

/// The inputs of a pod directory, open.
#[derive(Debug)]
pub struct Inputs<'s> {
    /// DIR.
    pub dir: PathBuf,
    /// Stage1, and the digest that its file must have.
    pub stage1: (InputFile, Sha256),
    /// The images.
    pub images: Vec<ImageInput<'s>>,
    /// The images that apps of the given manifest name, with the apps' numbers.
    pub(crate) named: Vec<(Vec<usize>, ImageInput<'s>)>,
    /// How the pod gets its trees.
    pub layout: LayoutArgument,
    /// Limits on what archives may ask for.
    pub limits: Limits,
    /// The source of the pod's manifest.
    pub manifest: ManifestInput,
    /// The facts about the pod that aren't in its manifest.
    pub entry: PodEntry,
    /// The program that the pod has in place of stage1's `/init`.
    pub stage1_init: Option<InputFile>,
    /// The command's session with registries, with the host's rules about images.
    pub(crate) session: &'s Session<'s>,
}

/// The parts of a generated manifest, beside the images.
#[derive(Debug)]
pub struct Described {
    /// The volumes.
    pub volumes: Vec<VolumeArgument>,
    /// The settings of each image's app, in the images' order.
    pub apps: Vec<AppOptions>,
    /// The settings of the pod.
    pub settings: PodSettings,
}

impl Described {
    /// Opens what `request` says, and reads the files that it names.
    fn open(request: &Request) -> Result<Self> {
        let mut apps = request.apps.clone();
        for app in &mut apps {
            let mut all = Vec::new();
            for path in &app.environment_files {
                all.extend(read_environment(path)?);
            }
            all.append(&mut app.environment);
            app.environment = all;
            for mount in &app.mounts {
                if let MountSource::Own(volume) = &mount.source {
                    check_volume(&format!("at {}", mount.target), volume)?;
                }
            }
        }
        request.volumes.iter().try_for_each(|volume| check_volume(volume.name.as_str(), &volume.volume))?;
        Ok(Self { volumes: request.volumes.clone(), apps, settings: request.settings.clone() })
    }

    /// Tells whether nothing is said that only a manifest of 0.8 can say.
    pub(crate) fn is_plain(&self) -> bool {
        self.settings == PodSettings::default() && self.apps.iter().all(AppOptions::is_empty)
    }
}

/// The maximum length of a file of variables.
const ENVIRONMENT_MAX: u64 = 4 << 20;

/// Reads a file of variables. A name without a value has that of this process.
fn read_environment(path: &Path) -> Result<Vec<(EnvName, Word)>> {
    let bytes = InputFile::open(path).context("file of variables")?.read_all(ENVIRONMENT_MAX)?;
    let about = || format!("file of variables {}", escape(&path.to_string_lossy()));
    let text = String::from_utf8(bytes).context("expected UTF-8").with_context(about)?;
    environment_file(&text, |name| std::env::var(name).ok()).map_err(|why| anyhow!(why)).with_context(about)
}

/// The source of the pod's manifest.
#[derive(Debug)]
pub enum ManifestInput {
    /// A manifest is generated, with an app for each image.
    Generate(Box<Described>),
    /// The given manifest is stored, with the ids of images that it names.
    Given(Box<ManifestFile>),
}

impl ManifestInput {
    /// Returns the images that the manifest names; none for a generated one, which takes the given images.
    pub fn named_images(&self) -> Vec<ImageId> {
        match self {
            Self::Generate(_) => Vec::new(),
            Self::Given(file) => file.ids(),
        }
    }
}

impl<'s> Inputs<'s> {
    /// Opens everything that `request` names.
    pub fn open(request: &Request, session: &'s Session<'s>) -> Result<Self> {
        let finder = Finder { dir: &request.dir, pulling: &request.pulling, session };
        let images = request.images.iter().map(|image| finder.find(image)).collect::<Result<Vec<_>>>()?;
        let manifest = match &request.pod_manifest {
            None => ManifestInput::Generate(Box::new(Described::open(request)?)),
            Some(path) => read_manifest(path)?,
        };
        let mut named = BTreeMap::new();
        if let ManifestInput::Given(file) = &manifest {
            file.manifest()
                .all_volumes()
                .try_for_each(|volume| check_volume(volume.name.as_str(), &volume.volume))?;
            for (number, app, name) in file.named() {
                let (apps, found) = named.entry(name.key()).or_insert_with(|| (Vec::new(), None));
                if apps.is_empty() {
                    let one = find_named(&finder, name, images.is_empty());
                    *found = one.with_context(|| format!("app {}", app.name))?;
                }
                apps.push(number);
            }
        }
        Ok(Self {
            dir: request.dir.clone(),
            stage1: open_stage1(request, session.interrupt())?,
            images,
            named: named.into_values().filter_map(|(apps, found)| Some((apps, found?))).collect(),
            layout: request.layout,
            limits: request.limits,
            manifest,
            entry: request.entry.clone(),
            stage1_init: request
                .stage1_init
                .as_deref()
                .map(|path| InputFile::open(path).context("/init of stage1"))
                .transpose()?,
            session,
        })
    }
}

fn open_stage1(request: &Request, interrupt: &Interrupt) -> Result<(InputFile, Sha256)> {
    if let (None, None, Some(built_in)) = (&request.stage1, &request.stage1_digest, request.built_in) {
        return built_in.open().context("stage1");
    }
    let path = request.stage1.clone().map_or_else(stage1::default_path, Ok).map_err(told)?;
    let mut source = InputFile::open(&path)
        .context("stage1")
        .hint("--stage1 FILE or $GANTRY_STAGE1 says where it is; rootfs-build makes one")?;
    let keys = &request.pulling.keys;
    let digest = match request.stage1_digest {
        Some(digest) => digest,
        None if keys.is_empty() => stage1::read_sums(&path).map_err(told)?,
        None => signed::check(keys, &mut source, &path, interrupt)
            .map_err(anyhow::Error::from)
            .context("stage1")
            .hint("--stage1-sha256 gives the digest without a signature")?,
    };
    Ok((source, digest))
}

/// Finds an image that an app of the given manifest names. `None`: by its name, it is one of those that are given to the
/// command.
fn find_named<'s>(finder: &Finder<'_, 's>, named: &Named, alone: bool) -> Result<Option<ImageInput<'s>>> {
    match named {
        Named::Reference(text, _) => {
            let argument = ImageArgument::parse(OsStr::new(text)).map_err(|why| anyhow!(why));
            Ok(Some(finder.find(&argument.with_context(|| format!("annotation {IMAGE}"))?)?))
        }
        Named::Called(name, labels) if alone => finder.called(&name_with(name, labels)).map(Some),
        Named::Called(..) => Ok(None),
    }
}

fn read_manifest(path: &Path) -> Result<ManifestInput> {
    let about = || format!("pod manifest {}", escape(&path.to_string_lossy()));
    let bytes = InputFile::open(path).context("pod manifest")?.read_all(MANIFEST_MAX).about(about)?;
    ManifestFile::parse(bytes).with_context(about).map(Box::new).map(ManifestInput::Given)
}

fn check_volume(name: &str, volume: &Volume) -> Result<()> {
    let VolumeKind::Host { source, links, .. } = &volume.kind else { return Ok(()) };
    open_source(source, *links).with_context(|| format!("volume {name}: source {source}")).map(drop)
}
