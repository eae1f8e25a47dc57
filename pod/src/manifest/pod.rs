// SPDX-License-Identifier: Apache-2.0
//! The pod's manifest of appc 0.8.

use serde::Deserialize;

use super::image::{AppSpec, Named};
use super::runtime::VolumeKind;
use crate::digest::Digest;
use crate::name::{AppName, VolumeName};
use crate::path::AbsolutePath;

/// A pod as appc 0.8 writes it. Its id is its directory's name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodManifest {
    /// Its apps.
    pub apps: Vec<PodApp>,
    /// What can be mounted into them.
    #[serde(default)]
    pub volumes: Vec<PodVolume>,
    /// Limits for the whole pod.
    #[serde(default)]
    pub isolators: Vec<Named>,
}

/// An app of a pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodApp {
    /// Its name in the pod.
    pub name: AppName,
    /// The image it is made of.
    pub image: PodImage,
    /// What it runs, in place of what the image says.
    pub app: Option<AppSpec>,
    /// Which volumes go where, beside the image's mount points of the volumes' names.
    #[serde(default)]
    pub mounts: Vec<PodMount>,
}

/// Names an image.
#[derive(Clone, Debug, Deserialize)]
pub struct PodImage {
    /// Its id.
    pub id: Digest,
}

/// A volume in an app.
#[derive(Clone, Debug, Deserialize)]
pub struct PodMount {
    /// The volume's name.
    pub volume: VolumeName,
    /// Where in the app's tree.
    pub path: AbsolutePath,
}

/// A part of the host's tree.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodVolume {
    /// Its name.
    pub name: VolumeName,
    /// What it is; `host` in this version.
    pub kind: VolumeKind,
    /// Where it is on the host.
    pub source: AbsolutePath,
    /// Whether apps may not write to it.
    #[serde(default)]
    pub read_only: bool,
}
