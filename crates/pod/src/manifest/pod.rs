// SPDX-License-Identifier: Apache-2.0
//! The pod's manifest of appc 0.8.
//!
//! What it names itself is named as 0.8 has it. What it refers to may be an image of 0.1, with a name, mount points and
//! ports of that version.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::annotations::Annotations;
use super::image::{AppSpec, ImageManifest, labels};
use super::port::number_of;
use super::volume::PodVolume;
use super::{apps, of_0_8, or_null};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::isolators::Isolators;
use crate::name::{AppName, Identifier, PortName, VolumeName};
use crate::path::AbsolutePath;
use crate::text::escape;

/// A pod as appc 0.8 writes it. Its id is its directory's name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodManifest {
    /// Its apps.
    #[serde(deserialize_with = "apps")]
    pub apps: Vec<PodApp>,
    /// What can be mounted into them.
    #[serde(default, deserialize_with = "or_null")]
    pub volumes: Vec<PodVolume>,
    /// Limits for the whole pod.
    #[serde(default, deserialize_with = "or_null")]
    pub isolators: Isolators,
    /// What it says to Gantry of every app.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: Annotations,
    /// Where apps' ports are on the host.
    #[serde(default, deserialize_with = "or_null")]
    pub ports: Vec<PodPort>,
}

/// An app of a pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodApp {
    /// Its name in the pod.
    #[serde(deserialize_with = "of_0_8")]
    pub name: AppName,
    /// The image it is made of.
    pub image: PodImage,
    /// What it runs, in place of what the image says.
    #[serde(default, deserialize_with = "of_0_8")]
    pub app: Option<AppSpec>,
    /// Which volumes go where, beside the image's mount points of the volumes' names.
    #[serde(default, deserialize_with = "or_null")]
    pub mounts: Vec<PodMount>,
    /// Whether it may not write to its root.
    #[serde(default, rename = "readOnlyRootFS", deserialize_with = "or_null")]
    pub read_only_root: bool,
    /// What the pod says to Gantry of this app.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: Annotations,
}

/// Names an image.
#[derive(Clone, Debug, Deserialize)]
pub struct PodImage {
    /// Its id.
    pub id: Digest,
    /// Its name, as far as the pod knows it.
    pub name: Option<Identifier>,
    /// Labels that it has, if it has any of these names.
    #[serde(default, deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
}

/// A volume in an app.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMount {
    /// The name of a volume of the pod's.
    pub volume: VolumeName,
    /// Where in the app's tree.
    pub path: AbsolutePath,
    /// A volume of the app's own, in place of the pod's; what it is called counts in the app alone.
    pub app_volume: Option<PodVolume>,
}

/// Where a port of an app's is on the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPort")]
pub struct PodPort {
    /// The port's name, in whichever app has it.
    pub name: PortName,
    /// Its number on the host.
    pub host_port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: PortName,
    host_port: i64,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
}

/// As `hostIP` has them: every address of the host's, which is where sockets listen.
const EVERY_ADDRESS: [&str; 4] = ["", "0.0.0.0", "::", "[::]"];

impl PodManifest {
    /// Every volume that is defined: the pod's, and the apps' own.
    pub fn all_volumes(&self) -> impl Iterator<Item = &PodVolume> {
        let mounts = self.apps.iter().flat_map(|app| &app.mounts);
        self.volumes.iter().chain(mounts.filter_map(|mount| mount.app_volume.as_ref()))
    }
}

impl PodImage {
    /// Whether the image is the one that the pod means.
    ///
    /// # Errors
    /// Where its name, or a label that both have, is another.
    pub(crate) fn check(&self, image: &ImageManifest) -> Result<()> {
        if let Some(name) = self.name.as_ref().filter(|name| **name != image.name) {
            return Err(Error::new(format!("image {} is called {}: expected {name}", self.id, image.name)));
        }
        let other = self.labels.iter().find_map(|(label, expected)| {
            let found = image.labels.get(label).filter(|found| *found != expected)?;
            Some((label, found, expected))
        });
        match other {
            None => Ok(()),
            Some((label, found, expected)) => Err(Error::new(format!(
                "image {} has label {} {}: expected {}",
                self.id,
                escape(label),
                escape(found),
                escape(expected)
            ))),
        }
    }
}

impl TryFrom<RawPort> for PodPort {
    type Error = Error;

    fn try_from(RawPort { name, host_port, host_ip }: RawPort) -> Result<Self> {
        if let Some(address) = host_ip.filter(|address| !EVERY_ADDRESS.contains(&address.as_str())) {
            let address = escape(&address);
            return Err(Error::new(format!(
                "port {name} has hostIP {address}: expected none, or 0.0.0.0 or [::] for every address"
            )));
        }
        let number = number_of(host_port).map_err(|error| error.within(format_args!("port {name}")));
        Ok(Self { host_port: number?, name })
    }
}
