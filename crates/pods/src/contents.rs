// SPDX-License-Identifier: Apache-2.0
//! What a pod directory tells about the pod's apps.

use anyhow::{Context as _, Result};
use pod::id::ImageId;
use pod::layout;
use pod::manifest::Manifest;
use pod::name::AppName;

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
    /// The image that it is made of.
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

impl Pod {
    /// Returns the pod's manifest, as it was stored.
    ///
    /// # Errors
    /// If there is none, or it is too long.
    pub fn manifest(&self) -> Result<Vec<u8>> {
        let read = self.read(layout::MANIFEST, MANIFEST_MAX)?;
        read.map(|(manifest, _)| manifest).context("it has no manifest")
    }

    /// Returns when the pod directory was made, and its apps in the manifest's order.
    pub(crate) fn contents(&self) -> Result<(Moment, Vec<App>)> {
        let (manifest, stat) = self.read(layout::MANIFEST, MANIFEST_MAX)?.context("it has no manifest")?;
        let manifest = Manifest::parse(&manifest).context("its manifest")?;
        let apps: Vec<_> = match &manifest {
            Manifest::Runtime(pod) => pod.apps.iter().map(|app| (app.name.clone(), app.image_id)).collect(),
            Manifest::Pod(pod) => pod.apps.iter().map(|app| (app.name.clone(), app.image.id)).collect(),
        };
        let app = |(name, image)| self.status(&name).map(|status| App { name, image, status });
        Ok((Moment::of_change(&stat), apps.into_iter().map(app).collect::<Result<_>>()?))
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
