// SPDX-License-Identifier: Apache-2.0
//! The pod's manifest of appc 0.1.

use serde::{Deserialize, Serialize};

use super::image::Named;
use super::version::AcVersion;
use crate::digest::Digest;
use crate::id::PodId;
use crate::name::{AppName, VolumeName};
use crate::path::AbsolutePath;

/// A pod as appc 0.1 writes it; also what the installer writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRuntimeManifest {
    ac_kind: RuntimeKind,
    ac_version: AcVersion,
    /// The pod's id.
    pub uuid: PodId,
    /// Its apps.
    pub apps: Vec<RuntimeApp>,
    /// What is mounted into them.
    #[serde(default)]
    pub volumes: Vec<RuntimeVolume>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum RuntimeKind {
    ContainerRuntimeManifest,
}

/// An app of a pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeApp {
    /// Its name in the pod.
    pub name: AppName,
    /// The image it is made of.
    #[serde(rename = "imageID")]
    pub image_id: Digest,
    /// Limits it is given.
    #[serde(default, skip_serializing)]
    pub isolators: Vec<Named>,
}

/// A part of the host's tree, and the mount points it fulfils.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeVolume {
    /// What it is; `host` in this version.
    pub kind: VolumeKind,
    /// Where it is on the host.
    pub source: AbsolutePath,
    /// Whether apps may not write to it.
    #[serde(default)]
    pub read_only: bool,
    /// The mount points it goes to, in every app that has them.
    pub fulfills: Vec<VolumeName>,
}

/// What a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A file or directory of the host.
    Host,
}

impl ContainerRuntimeManifest {
    /// A manifest of these apps and volumes.
    pub fn new(uuid: PodId, apps: Vec<RuntimeApp>, volumes: Vec<RuntimeVolume>) -> Self {
        Self {
            ac_kind: RuntimeKind::ContainerRuntimeManifest,
            ac_version: AcVersion::runtime(),
            uuid,
            apps,
            volumes,
        }
    }

    /// The manifest as JSON, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a manifest has no map with keys other than text");
        json.push('\n');
        json
    }
}
