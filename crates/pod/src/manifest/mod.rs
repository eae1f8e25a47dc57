// SPDX-License-Identifier: Apache-2.0
//! Manifests, as the App Container specification defines them: 0.1 (v0.1.1) and 0.8 (v0.8.11).
//!
//! Parsing a manifest gives its content, with every value already of its valid type; [`crate::Pod`] is what the
//! manifests mean together.

pub mod annotations;
mod field;
mod image;
mod noted;
mod pairs;
mod pod;
mod pod_annotations;
mod port;
mod runtime;
mod version;
mod volume;

use serde::Deserialize;

pub use crate::network::Protocol;
pub use annotations::{Annotations, MountPoints, Restart, StopMode, Tmp, Users};
pub use image::{AppSpec, Dependency, EventHandlers, ImageManifest, MountPoint};
pub use noted::{Noted, Presence};
pub use pod::{HOST_NAME, PodApp, PodManifest, PodMount, PodPort, UserAnnotations};
pub use pod_annotations::{Metadata, PodAnnotations};
pub use port::Port;
pub use runtime::{ContainerRuntimeManifest, RuntimeApp};
pub use version::AcVersion;
pub use volume::{Links, Ownership, PodVolume, RuntimeVolume, Volume, VolumeKind};

use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::json;
use crate::text::escape;

/// A pod's manifest, of either version.
#[derive(Clone, Debug)]
pub enum Manifest {
    /// appc 0.1.
    Runtime(Box<ContainerRuntimeManifest>),
    /// appc 0.8.
    Pod(Box<PodManifest>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    ac_kind: String,
    #[expect(dead_code, reason = "present and valid is all that is asked of it")]
    ac_version: AcVersion,
}

impl Manifest {
    /// Parses a pod's manifest of either kind; its `acKind` decides which.
    ///
    /// # Errors
    /// Fails if it is of neither kind, or invalid.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let kind: Kind = json::parse(bytes)?;
        match kind.ac_kind.as_str() {
            "ContainerRuntimeManifest" => json::parse(bytes).map(Box::new).map(Self::Runtime),
            "PodManifest" => json::parse(bytes).map(Box::new).map(Self::Pod),
            other => Err(Error::new(format!(
                "acKind is {}: expected PodManifest or ContainerRuntimeManifest",
                escape(other)
            ))),
        }
    }

    /// Returns the images that the apps are made of, in the apps' order.
    pub fn images(&self) -> Vec<ImageId> {
        match self {
            Self::Runtime(manifest) => manifest.apps.iter().map(|app| app.image_id).collect(),
            Self::Pod(manifest) => manifest.apps.iter().map(|app| app.image.id).collect(),
        }
    }
}
