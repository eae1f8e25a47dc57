// SPDX-License-Identifier: Apache-2.0
//! Reads what a pod directory tells about the pod's apps.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd;

use anyhow::{Context as _, Result};
use pod::id::{ImageId, TreeId};
use pod::layout;
use pod::manifest::{Manifest, PodPort};
use pod::name::AppName;
use pod::network::Settings;

use rustix::fs::{Mode, OFlags, openat};

use crate::directory::Pod;
use crate::history::Moment;

/// The maximum length of a manifest, as for `/init`.
const MANIFEST_MAX: u64 = 4 << 20;
/// The maximum length of a status: three digits and a newline.
const STATUS_MAX: u64 = 4;

/// An app of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// The image that it is made of, by its sha256 if that is known.
    pub image: ImageId,
    /// How it ended last; `None` if it has not ended since the pod's last start.
    pub status: Option<Status>,
}

/// How an app ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The exit code; 128 and the signal's number if a signal ended it.
    pub code: u8,
    /// When it ended.
    pub ended: Moment,
}

/// The contents of a pod's directory and of its manifest.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// When the pod directory was made.
    pub(crate) created: Moment,
    /// The apps, in the manifest's order.
    pub(crate) apps: Vec<App>,
    /// The settings of the pod's network.
    pub(crate) network: Settings,
    /// Its ports on the host.
    pub(crate) ports: Vec<PodPort>,
}

/// Returns what the manifest in a pod directory says about the pod's network.
///
/// # Errors
/// If it can't be read.
pub fn network_of(directory: impl AsFd) -> Result<Settings> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        openat(directory, layout::MANIFEST, flags, Mode::empty()).context("cannot open its manifest")?;
    let mut manifest = Vec::new();
    File::from(file).take(MANIFEST_MAX).read_to_end(&mut manifest)?;
    Ok(match Manifest::parse(&manifest).context("its manifest")? {
        Manifest::Runtime(pod) => pod.annotations.network,
        Manifest::Pod(pod) => pod.annotations.network,
    })
}

impl Pod {
    /// Returns the pod's manifest, as it was stored.
    ///
    /// # Errors
    /// If there is none, or it is too long.
    pub fn manifest(&self) -> Result<Vec<u8>> {
        let read = self.read(layout::MANIFEST, MANIFEST_MAX)?;
        read.map(|(manifest, _)| manifest).context("it has no manifest")
    }

    /// Returns what is said about the pod's network.
    ///
    /// # Errors
    /// If the manifest can't be read.
    pub fn network(&self) -> Result<Settings> {
        network_of(&self.directory)
    }

    /// Reads what the pod's directory and its manifest say.
    pub(crate) fn contents(&self) -> Result<Contents> {
        let (manifest, stat) = self.read(layout::MANIFEST, MANIFEST_MAX)?.context("it has no manifest")?;
        let manifest = Manifest::parse(&manifest).context("its manifest")?;
        let apps: Vec<_> = match &manifest {
            Manifest::Runtime(pod) => pod.apps.iter().map(|app| (app.name.clone(), app.image_id)).collect(),
            Manifest::Pod(pod) => pod.apps.iter().map(|app| (app.name.clone(), app.image.id)).collect(),
        };
        let (network, ports) = match manifest {
            Manifest::Runtime(pod) => (pod.annotations.network, Vec::new()),
            Manifest::Pod(pod) => (pod.annotations.network, pod.ports),
        };
        let app = |(name, image)| {
            let (image, status) = (self.usual(image), self.status(&name)?);
            Ok(App { name, image, status })
        };
        let apps = apps.into_iter().map(app).collect::<Result<_>>()?;
        Ok(Contents { created: Moment::of_change(&stat), apps, network, ports })
    }

    /// Returns the id that an image is called by everywhere but in manifests of 0.8, as far as that is known: those have
    /// its sha512.
    fn usual(&self, image: ImageId) -> ImageId {
        if image.as_tree().is_some() {
            return image;
        }
        let of_store = || {
            let dir = self.path().parent()?.parent()?;
            let alias = fs::read_link(dir.join(layout::ALIASES).join(image.to_string())).ok()?;
            alias.file_name()?.to_str()?.parse::<TreeId>().ok()
        };
        of_store().map_or(image, TreeId::as_image)
    }

    /// Returns an app's status, if it has one.
    fn status(&self, app: &AppName) -> Result<Option<Status>> {
        let path = format!("{}/{}", layout::STAGE1, layout::status(app));
        let Some((text, stat)) = self.read(&path, STATUS_MAX)? else { return Ok(None) };
        let code = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
        let code = code.with_context(|| format!("the status of app {app} is no number"))?;
        Ok(Some(Status { code, ended: Moment::of_change(&stat) }))
    }
}
