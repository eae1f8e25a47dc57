// SPDX-License-Identifier: Apache-2.0
//! The pod's manifest of appc 0.1.

use serde::{Deserialize, Serialize};

use super::annotations::Annotations;
use super::field::{apps, or_null};
use super::pod_annotations::PodAnnotations;
use super::version::AcVersion;
use super::volume::RuntimeVolume;
use crate::id::{ImageId, PodId};
use crate::isolators::Isolators;
use crate::name::AppName;

/// A pod as appc 0.1 writes it; the installer writes this form, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRuntimeManifest {
    ac_kind: RuntimeKind,
    ac_version: AcVersion,
    /// The pod's id.
    pub uuid: PodId,
    /// Its apps.
    #[serde(deserialize_with = "apps")]
    pub apps: Vec<RuntimeApp>,
    /// The volumes that are mounted into them.
    #[serde(default, deserialize_with = "or_null")]
    pub volumes: Vec<RuntimeVolume>,
    /// Limits for the whole pod.
    #[serde(default, deserialize_with = "or_null", skip_serializing)]
    pub isolators: Isolators,
    /// The annotations for Gantry about the pod and about every app.
    #[serde(default, deserialize_with = "or_null", skip_serializing)]
    pub annotations: PodAnnotations,
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
    /// The image that it is made of.
    #[serde(rename = "imageID")]
    pub image_id: ImageId,
    /// The limits of the app.
    #[serde(default, deserialize_with = "or_null", skip_serializing)]
    pub isolators: Isolators,
    /// The annotations for Gantry about this app.
    #[serde(default, deserialize_with = "or_null", skip_serializing)]
    pub annotations: Annotations,
}

impl ContainerRuntimeManifest {
    /// Returns a manifest of these apps and volumes, without isolators and annotations.
    pub fn new(uuid: PodId, apps: Vec<RuntimeApp>, volumes: Vec<RuntimeVolume>) -> Self {
        Self {
            ac_kind: RuntimeKind::ContainerRuntimeManifest,
            ac_version: AcVersion::runtime(),
            uuid,
            apps,
            volumes,
            isolators: Isolators::default(),
            annotations: PodAnnotations::default(),
        }
    }

    /// Returns the manifest as JSON, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a manifest has no map with keys other than text");
        json.push('\n');
        json
    }
}
