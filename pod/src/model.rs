// SPDX-License-Identifier: Apache-2.0
//! What a pod's manifest and its images' manifests mean together: the one model the rest of Gantry sees.

use std::collections::{BTreeMap, BTreeSet};

use crate::arch::Arch;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::exec::{Exec, Word};
use crate::id::PodId;
use crate::manifest::{AppSpec, ContainerRuntimeManifest, ImageManifest, Manifest, MountPoint, PodManifest};
use crate::name::{AppName, EnvName, Identifier, VolumeName};
use crate::path::AbsolutePath;
use crate::user::Account;

/// A pod: apps that run together. Every image is at hand, every mount point has its volume, names are distinct.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The pod's id.
    pub id: PodId,
    /// The apps in the manifest's order; one at least.
    pub apps: Vec<App>,
    /// Isolators that were asked for and that this version does not enforce: of an app, or of the pod.
    pub unenforced: Vec<(Option<AppName>, Identifier)>,
}

/// An app: an image's tree, and how a program runs in it.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name in the pod.
    pub name: AppName,
    /// The image it is made of.
    pub image: Digest,
    /// The program and its arguments.
    pub exec: Exec,
    /// Whom it runs as.
    pub user: Account,
    /// Its primary group.
    pub group: Account,
    /// Further groups.
    pub supplementary_gids: Vec<u32>,
    /// Where it starts.
    pub working_directory: AbsolutePath,
    /// Its own environment, in order.
    pub environment: Vec<(EnvName, Word)>,
    /// Runs to completion before the app.
    pub pre_start: Option<Exec>,
    /// Runs once the app is gone.
    pub post_stop: Option<Exec>,
    /// What is mounted into its tree; no target lies in another.
    pub mounts: Vec<Mount>,
}

/// A file or directory of the host in an app's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is on the host.
    pub source: AbsolutePath,
    /// Where it goes in the app's tree.
    pub target: AbsolutePath,
    /// Whether the app may not write to it.
    pub read_only: bool,
}

/// A volume by any version's name.
#[derive(Clone)]
struct Volume {
    source: AbsolutePath,
    read_only: bool,
}

type Volumes = BTreeMap<VolumeName, Volume>;

impl Pod {
    /// Puts a pod's manifest and the manifests of its images together. `id` is the name of the pod's directory.
    ///
    /// # Errors
    /// Where an image is missing, is of a foreign platform or has no app, where names are not distinct, a mount
    /// point has no volume or more than one, or mount targets overlap.
    pub fn assemble(
        id: PodId,
        manifest: &Manifest,
        images: &BTreeMap<Digest, ImageManifest>,
    ) -> Result<Self> {
        let mut pod = Self { id, apps: Vec::new(), unenforced: Vec::new() };
        match manifest {
            Manifest::Runtime(manifest) => pod.add_runtime(manifest, images)?,
            Manifest::Pod(manifest) => pod.add_pod(manifest, images)?,
        }
        if pod.apps.is_empty() {
            return Err(Error::new("the pod has no app: expected one or more"));
        }
        let mut names = BTreeSet::new();
        match pod.apps.iter().find(|app| !names.insert(&app.name)) {
            Some(app) => {
                Err(Error::new(format!("two apps are called {}: expected distinct names", app.name)))
            }
            None => Ok(pod),
        }
    }

    fn add_runtime(
        &mut self,
        manifest: &ContainerRuntimeManifest,
        images: &BTreeMap<Digest, ImageManifest>,
    ) -> Result<()> {
        if manifest.uuid != self.id {
            return Err(Error::new(format!(
                "the manifest is of pod {}: expected {}",
                manifest.uuid, self.id
            )));
        }
        let mut volumes = Volumes::new();
        for volume in &manifest.volumes {
            for name in &volume.fulfills {
                let entry = Volume { source: volume.source.clone(), read_only: volume.read_only };
                add_volume(&mut volumes, name, entry)?;
            }
        }
        for app in &manifest.apps {
            let spec = image_app(&app.image_id, images)?;
            self.unenforced.extend(app.isolators.iter().map(|i| (Some(app.name.clone()), i.name.clone())));
            self.add_app(&app.name, app.image_id, spec, &volumes, &[])?;
        }
        Ok(())
    }

    fn add_pod(&mut self, manifest: &PodManifest, images: &BTreeMap<Digest, ImageManifest>) -> Result<()> {
        let mut volumes = Volumes::new();
        for volume in &manifest.volumes {
            let entry = Volume { source: volume.source.clone(), read_only: volume.read_only };
            add_volume(&mut volumes, &volume.name, entry)?;
        }
        self.unenforced.extend(manifest.isolators.iter().map(|i| (None, i.name.clone())));
        for app in &manifest.apps {
            let image = image_app(&app.image.id, images);
            let spec = match &app.app {
                Some(spec) => {
                    image_of(&app.image.id, images)?;
                    spec
                }
                None => image?,
            };
            let mounts: Vec<_> = app.mounts.iter().map(|m| (m.volume.clone(), m.path.clone())).collect();
            self.add_app(&app.name, app.image.id, spec, &volumes, &mounts)?;
        }
        Ok(())
    }

    fn add_app(
        &mut self,
        name: &AppName,
        image: Digest,
        spec: &AppSpec,
        volumes: &Volumes,
        mounts: &[(VolumeName, AbsolutePath)],
    ) -> Result<()> {
        self.unenforced.extend(spec.isolators.iter().map(|i| (Some(name.clone()), i.name.clone())));
        let within = |error: Error| error.within(format_args!("app {name}"));
        let mounts = place(&spec.mount_points, volumes, mounts).map_err(within)?;
        check_overlap(&mounts).map_err(within)?;
        self.apps.push(App {
            name: name.clone(),
            image,
            exec: spec.exec.clone(),
            user: spec.user.clone(),
            group: spec.group.clone(),
            supplementary_gids: spec.supplementary_gids.clone(),
            working_directory: spec.working_directory.clone().unwrap_or_else(root),
            environment: spec.environment.clone(),
            pre_start: spec.event_handlers.pre_start.clone(),
            post_stop: spec.event_handlers.post_stop.clone(),
            mounts,
        });
        Ok(())
    }
}

fn root() -> AbsolutePath {
    "/".parse().expect("/ is an absolute path")
}

fn add_volume(volumes: &mut Volumes, name: &VolumeName, volume: Volume) -> Result<()> {
    match volumes.insert(name.clone(), volume) {
        Some(_) => Err(Error::new(format!("two volumes for mount point {name}: expected one"))),
        None => Ok(()),
    }
}

fn image_of<'a>(id: &Digest, images: &'a BTreeMap<Digest, ImageManifest>) -> Result<&'a ImageManifest> {
    let image = images
        .get(id)
        .ok_or_else(|| Error::new(format!("image {id} is missing: the pod's manifest names it")))?;
    image.check_platform(Arch::current())?;
    Ok(image)
}

fn image_app<'a>(id: &Digest, images: &'a BTreeMap<Digest, ImageManifest>) -> Result<&'a AppSpec> {
    let image = image_of(id, images)?;
    image.app.as_ref().ok_or_else(|| {
        Error::new(format!("image {} has no app: expected an \"app\" in its manifest, to run it", image.name))
    })
}

/// Where the volumes go: to the mounts that the pod names, and to the app's mount points that those don't meet.
fn place(
    points: &[MountPoint],
    volumes: &Volumes,
    mounts: &[(VolumeName, AbsolutePath)],
) -> Result<Vec<Mount>> {
    let mut placed = Vec::new();
    for (name, path) in mounts {
        let volume = volumes.get(name).ok_or_else(|| {
            Error::new(format!("mount at {path} names volume {name}, which the pod does not have"))
        })?;
        let read_only = points.iter().any(|point| point.path == *path && point.read_only);
        placed.push(mount(volume, path, read_only));
    }
    for point in points.iter().filter(|point| !mounts.iter().any(|(_, path)| *path == point.path)) {
        let MountPoint { name, path, read_only } = point;
        let volume = volumes.get(name).ok_or_else(|| {
            Error::new(format!(
                "mount point {name} at {path} has no volume: expected --volume {name},kind=host,source=PATH"
            ))
        })?;
        placed.push(mount(volume, path, *read_only));
    }
    Ok(placed)
}

fn mount(volume: &Volume, target: &AbsolutePath, read_only: bool) -> Mount {
    Mount { source: volume.source.clone(), target: target.clone(), read_only: read_only || volume.read_only }
}

fn check_overlap(mounts: &[Mount]) -> Result<()> {
    for (index, mount) in mounts.iter().enumerate() {
        if mount.target == root() {
            return Err(Error::new("a mount at \"/\" would hide the app: expected a path below it"));
        }
        if let Some(other) = mounts[..index].iter().find(|other| overlap(&other.target, &mount.target)) {
            return Err(Error::new(format!("mounts at {} and {} overlap", other.target, mount.target)));
        }
    }
    Ok(())
}

fn overlap(a: &AbsolutePath, b: &AbsolutePath) -> bool {
    a.contains(b) || b.contains(a)
}
