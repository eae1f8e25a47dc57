// SPDX-License-Identifier: Apache-2.0
//! The pod's manifest of appc 0.8.
//!
//! What it defines is named by 0.8's rules. What it refers to may be an image of 0.1, with a name, mount points and
//! ports of that version.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::annotations::Annotations;
use super::field::{apps, of_0_8, or_null};
use super::image::{AppSpec, ImageManifest, labels};
use super::pod_annotations::PodAnnotations;
use super::port::{Port, number_of};
use super::volume::PodVolume;
use crate::called::HostName;
use crate::error::{Error, Result};
use crate::id::ImageId;
use crate::isolators::Isolators;
use crate::name::{AppName, Identifier, PortName, VolumeName};
use crate::path::AbsolutePath;
use crate::text::escape;

/// A pod as appc 0.8 writes it. Its id is the name of its directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodManifest {
    /// Its apps.
    #[serde(deserialize_with = "apps")]
    pub apps: Vec<PodApp>,
    /// The volumes that can be mounted into them.
    #[serde(default, deserialize_with = "or_null")]
    pub volumes: Vec<PodVolume>,
    /// Limits for the whole pod.
    #[serde(default, deserialize_with = "or_null")]
    pub isolators: Isolators,
    /// The annotations for Gantry about the pod and about every app.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: PodAnnotations,
    /// The apps' ports on the host.
    #[serde(default, deserialize_with = "or_null")]
    pub ports: Vec<PodPort>,
    /// The user's own annotations of the pod.
    #[serde(default, deserialize_with = "or_null")]
    pub user_annotations: UserAnnotations,
}

/// The annotations that a user adds to a pod; those that Gantry knows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserAnnotations {
    /// The pod's host name; `None` means one that is made from its id.
    #[serde(default, rename = "gantry/hostname")]
    pub host_name: Option<HostName>,
}

/// The user annotation of a pod's host name.
pub const HOST_NAME: &str = "gantry/hostname";

/// An app of a pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodApp {
    /// Its name in the pod.
    #[serde(deserialize_with = "of_0_8")]
    pub name: AppName,
    /// The image that it is made of.
    pub image: PodImage,
    /// The app that runs in place of the image's.
    #[serde(default, deserialize_with = "of_0_8")]
    pub app: Option<AppSpec>,
    /// Its mounts, beside those at the image's mount points that have a volume's name.
    #[serde(default, deserialize_with = "or_null")]
    pub mounts: Vec<PodMount>,
    /// Whether its root is read-only.
    #[serde(default, rename = "readOnlyRootFS", deserialize_with = "or_null")]
    pub read_only_root: bool,
    /// The annotations for Gantry about this app.
    #[serde(default, deserialize_with = "or_null")]
    pub annotations: Annotations,
}

/// A reference to an image.
#[derive(Clone, Debug, Deserialize)]
pub struct PodImage {
    /// Its id.
    pub id: ImageId,
    /// Its name, if the pod gives one.
    pub name: Option<Identifier>,
    /// Labels whose values it must have if it has a label of that name.
    #[serde(default, deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
}

/// A mount of a volume in an app.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMount {
    /// The name of a volume of the pod.
    pub volume: VolumeName,
    /// Its path in the app's tree.
    pub path: AbsolutePath,
    /// A volume of the app's own, in place of the pod's; its name is known only in the app.
    pub app_volume: Option<PodVolume>,
}

/// An app's port on the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPort")]
pub struct PodPort {
    /// The port's name, in whichever app has it.
    pub name: PortName,
    /// Its number on the host.
    pub host_port: u16,
    /// The host's address that it is published on; `None` means all.
    pub host_ip: Option<IpAddr>,
    /// The port in the pod, if the pod defines it. `None`: an app has a port of this name.
    pub pod_port: Option<Port>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    name: PortName,
    host_port: i64,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    pod_port: Option<Port>,
}

impl PodManifest {
    /// Returns every volume that is defined: the pod's and the apps' own.
    pub fn all_volumes(&self) -> impl Iterator<Item = &PodVolume> {
        let mounts = self.apps.iter().flat_map(|app| &app.mounts);
        self.volumes.iter().chain(mounts.filter_map(|mount| mount.app_volume.as_ref()))
    }
}

impl PodImage {
    /// Checks that the image is the one that the pod means.
    ///
    /// # Errors
    /// Fails if its name differs, or the value of a label that both have.
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

    fn try_from(RawPort { name, host_port, host_ip, pod_port }: RawPort) -> Result<Self> {
        let host_ip = host_ip.filter(|address| !address.is_empty()).map(|address| {
            address.trim_matches(['[', ']']).parse::<IpAddr>().map_err(|_| {
                let address = escape(&address);
                Error::new(format!(
                    "port {name} has hostIP {address}: expected an address, or none, 0.0.0.0 or [::] for every one"
                ))
            })
        });
        let host_ip = host_ip.transpose()?.filter(|address| !address.is_unspecified());
        let number = number_of(host_port).map_err(|error| error.within(format_args!("port {name}")));
        Ok(Self { host_port: number?, name, host_ip, pod_port })
    }
}
