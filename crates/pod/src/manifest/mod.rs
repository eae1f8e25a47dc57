// SPDX-License-Identifier: Apache-2.0
//! Manifests, as the App Container specification defines them: 0.1 (v0.1.1) and 0.8 (v0.8.11).
//!
//! Parsing a manifest gives its content, with every value already of its valid type; [`crate::Pod`] is what the
//! manifests mean together.

pub mod annotations;
mod image;
mod pairs;
mod pod;
mod port;
mod runtime;
mod version;
mod volume;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use annotations::{Annotations, Restart};
pub use image::{AppSpec, EventHandlers, ImageManifest, MountPoint};
pub use pod::{PodApp, PodManifest, PodMount, PodPort};
pub use port::{Port, Protocol};
pub use runtime::{ContainerRuntimeManifest, RuntimeApp};
pub use version::AcVersion;
pub use volume::{Ownership, PodVolume, RuntimeVolume, Volume, VolumeKind};

use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::json;
use crate::name::{AppName, OfVersion};
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

/// Reads a field's value, or its default for null.
///
/// Null means that the field is absent, whatever its type: Go's encoder, which writes most manifests, has null for an
/// empty list.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a value whose names have to follow 0.8's rules.
fn of_0_8<'de, D: Deserializer<'de>, T: Deserialize<'de> + OfVersion>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = T::deserialize(deserializer)?;
    value.check_0_8().map_err(serde::de::Error::custom)?;
    Ok(value)
}

impl<T: OfVersion> OfVersion for Option<T> {
    fn check_0_8(&self) -> Result<()> {
        self.as_ref().map_or(Ok(()), T::check_0_8)
    }
}

/// Reads a pod's apps. An error in one of them names the app.
fn apps<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let one = |value: Value| {
        let name = value.get("name").and_then(Value::as_str).and_then(|name| AppName::of_manifest(name).ok());
        T::deserialize(value).map_err(|error| match name {
            Some(name) => format!("app {name}: {error}"),
            None => error.to_string(),
        })
    };
    let values = Vec::<Value>::deserialize(deserializer)?;
    values.into_iter().map(one).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
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
