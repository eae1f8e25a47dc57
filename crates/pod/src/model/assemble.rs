// SPDX-License-Identifier: Apache-2.0
//! Assembles manifests into a pod.

use std::collections::{BTreeMap, BTreeSet};

use super::mounts::{self, Volumes};
use super::ports::HostPorts;
use super::{App, Mount, Pod, Source};
use crate::arch::Arch;
use crate::error::{Error, Result};
use crate::id::{ImageId, PodId};
use crate::isolators::{Capacity, Isolators, Rates, Resource, Seccomp};
use crate::manifest::{
    Annotations, AppSpec, ContainerRuntimeManifest, ImageManifest, Manifest, Metadata, MountPoint,
    MountPoints, PodApp, PodManifest, RuntimeApp, Users,
};
use crate::name::AppName;
use crate::network::{Mode, Settings};

type Images = BTreeMap<ImageId, ImageManifest>;

impl Pod {
    /// Assembles a pod's manifest and the manifests of its images. `id` is the name of the pod's directory.
    ///
    /// # Errors
    /// Fails if an image is missing, is of a foreign platform or has no app; if names are not distinct, a mount point
    /// has no volume or more than one, mount targets overlap, or two sockets use one port.
    pub fn assemble(id: PodId, manifest: &Manifest, images: &Images) -> Result<Self> {
        let mut pod = match manifest {
            Manifest::Runtime(manifest) => of_runtime(id, manifest, images)?,
            Manifest::Pod(manifest) => of_pod(id, manifest, images)?,
        };
        if pod.apps.is_empty() {
            return Err(Error::new("the pod has no app: expected one or more"));
        }
        let mut names = BTreeSet::new();
        if let Some(app) = pod.apps.iter().find(|app| !names.insert(&app.name)) {
            return Err(Error::new(format!("two apps are called {}: expected distinct names", app.name)));
        }
        super::ports::check_sockets(&pod.apps)?;
        pod.apps.iter().try_for_each(super::accounts::check_volumes)?;
        let unknown = pod.apps.iter().flat_map(|app| {
            let of_app = |name| format!("isolator {name} of app {} is not known, and not enforced", app.name);
            let shm = app.isolators.shm.map(|_| {
                format!(
                    "isolator resource/shm of app {} is not enforced: the pod's apps share /dev/shm; expected the pod's \
                     isolator",
                    app.name
                )
            });
            app.isolators.unknown.iter().map(of_app).chain(shm)
        });
        pod.warnings.splice(0..0, unknown.collect::<Vec<_>>());
        pod.add_rates();
        pod.check_boundary(match manifest {
            Manifest::Runtime(manifest) => &manifest.isolators,
            Manifest::Pod(manifest) => &manifest.isolators,
        })?;
        Ok(pod)
    }

    /// Limits the pod as its only app is to be limited. Nothing limits one of several apps.
    fn add_rates(&mut self) {
        let alone = self.apps.len() == 1;
        let (mut block, mut network) = (self.block, self.network_bandwidth);
        for app in &self.apps {
            let of_app = &app.isolators;
            for (name, all, own) in [
                ("resource/block-bandwidth", &mut block.bandwidth, of_app.block.bandwidth),
                ("resource/block-iops", &mut block.operations, of_app.block.operations),
                ("resource/network-bandwidth", &mut network, of_app.network_bandwidth),
            ] {
                match own {
                    Some(own) if alone => *all = Some(all.map_or(own, |all| all.min(own))),
                    Some(_) => self.warnings.push(format!(
                        "isolator {name} of app {} is not enforced: expected it of the pod, or no other app in the pod",
                        app.name
                    )),
                    None => {}
                }
            }
            if !of_app.sysctls.is_empty() {
                self.warnings.push(format!(
                    "isolator os/unix/sysctl of app {} is not enforced: expected it of the pod, whose apps share them",
                    app.name
                ));
            }
        }
        if network.is_some() && matches!(self.network.mode, Mode::Host | Mode::Cni(_)) {
            self.warnings.push(
                "isolator resource/network-bandwidth is not enforced: expected the pod to have a network that Gantry makes"
                    .into(),
            );
        }
        (self.block, self.network_bandwidth) = (block, network);
    }

    /// Checks what a pod without it would run with fewer bounds than its manifest says, or reach the host by.
    fn check_boundary(&self, of_pod: &Isolators) -> Result<()> {
        let of_apps = self.apps.iter().map(|app| (&app.isolators.label, format!("of app {}", app.name)));
        for (label, whose) in [(&of_pod.label, "of the pod".to_owned())].into_iter().chain(of_apps) {
            if let Some(name) = label {
                return Err(Error::new(format!(
                    "isolator {name} {whose}: no profile and no label of the host's security modules can be had: expected \
                     none"
                )));
            }
        }
        match self.sysctls.iter().find(|sysctl| sysctl.is_networks()) {
            Some(sysctl) if self.network.mode == Mode::Host => Err(Error::new(format!(
                "isolator os/unix/sysctl: {sysctl} is the host's: expected the pod to have a network of its own"
            ))),
            _ => Ok(()),
        }
    }

    fn new(id: PodId) -> Self {
        Self {
            id,
            apps: Vec::new(),
            cpu: Resource::default(),
            memory: Resource::default(),
            tasks: None,
            shm: Capacity::SHM,
            block: Rates::default(),
            network_bandwidth: None,
            sysctls: Vec::new(),
            has_hosts_users: false,
            host_name: None,
            network: Settings::default(),
            metadata: Metadata::default(),
            published: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

fn of_runtime(id: PodId, manifest: &ContainerRuntimeManifest, images: &Images) -> Result<Pod> {
    if manifest.uuid != id {
        return Err(Error::new(format!("the manifest is of pod {}: expected {id}", manifest.uuid)));
    }
    let mut volumes = Volumes::new();
    for entry in &manifest.volumes {
        entry.fulfills.iter().try_for_each(|name| mounts::add_volume(&mut volumes, name, &entry.volume))?;
    }
    let mut pod = Pod::new(id);
    pod.add_limits(&manifest.isolators);
    pod.has_hosts_users = manifest.annotations.users == Some(Users::Host);
    pod.network = manifest.annotations.network.clone();
    pod.metadata = manifest.annotations.metadata;
    for RuntimeApp { name, image_id, isolators, annotations } in &manifest.apps {
        let image = image_of(image_id, images)?;
        let spec = image_app(image)?;
        let users = users(annotations, &manifest.annotations).map_err(within(name))?;
        let annotations = all(annotations, &manifest.annotations, spec, image).map_err(within(name))?;
        let mut app = app(name, *image_id, spec, &annotations).map_err(within(name))?;
        app.names_user = true;
        app.users = users;
        app.isolators = isolators.clone().over(&app.isolators);
        check_seccomp(&app, image).map_err(within(name))?;
        let points = points(spec, &annotations, &volumes);
        app.mounts = mounts::place(name, &points, &volumes, &[], &mut pod.warnings).map_err(within(name))?;
        copy(&mut app.mounts, &annotations);
        app.sockets = super::ports::sockets(&spec.ports, &mut HostPorts::none()).map_err(within(name))?;
        pod.apps.push(app);
    }
    Ok(pod)
}

fn of_pod(id: PodId, manifest: &PodManifest, images: &Images) -> Result<Pod> {
    let mut volumes = Volumes::new();
    for entry in &manifest.volumes {
        mounts::add_volume(&mut volumes, &entry.name, &entry.volume)?;
    }
    let mut pod = Pod::new(id);
    pod.host_name = manifest.user_annotations.host_name.clone();
    pod.add_limits(&manifest.isolators);
    pod.has_hosts_users = manifest.annotations.users == Some(Users::Host);
    pod.network = manifest.annotations.network.clone();
    pod.metadata = manifest.annotations.metadata;
    let mut ports = HostPorts::new(&manifest.ports, pod.network.mode.clone())?;
    for entry in &manifest.apps {
        let PodApp { name, image: id, app: own, mounts: named, read_only_root, annotations } = entry;
        let image = image_of(&id.id, images)?;
        id.check(image).map_err(within(name))?;
        let spec = own.as_ref().map_or_else(|| image_app(image), Ok)?;
        let users = users(annotations, &manifest.annotations).map_err(within(name))?;
        let annotations = all(annotations, &manifest.annotations, spec, image).map_err(within(name))?;
        let mut app = app(name, id.id, spec, &annotations).map_err(within(name))?;
        check_seccomp(&app, image).map_err(within(name))?;
        app.read_only_root = *read_only_root;
        app.users = users;
        let points = points(spec, &annotations, &volumes);
        app.mounts =
            mounts::place(name, &points, &volumes, named, &mut pod.warnings).map_err(within(name))?;
        copy(&mut app.mounts, &annotations);
        app.sockets = super::ports::sockets(&spec.ports, &mut ports).map_err(within(name))?;
        pod.apps.push(app);
    }
    let (published, warnings) = ports.finish()?;
    (pod.published, pod.warnings) = (published, [pod.warnings, warnings].concat());
    Ok(pod)
}

impl Pod {
    /// Adds what the pod's isolators ask for; most isolators can only apply to apps.
    fn add_limits(&mut self, isolators: &Isolators) {
        let Isolators {
            capabilities,
            no_new_privileges,
            seccomp,
            oom_score_adjust,
            cpu_shares,
            cpu,
            memory,
            tasks,
            tmp,
            shm,
            block,
            network_bandwidth,
            sysctls,
            label: _,
            unknown,
        } = isolators;
        (self.block, self.network_bandwidth, self.sysctls) = (*block, *network_bandwidth, sysctls.clone());
        (self.cpu, self.memory, self.tasks) = (*cpu, *memory, *tasks);
        self.shm = shm.unwrap_or(self.shm);
        let unknown = unknown.iter().map(ToString::to_string);
        let of_apps = [
            (capabilities.is_some(), "os/linux/capabilities-*-set"),
            (no_new_privileges.is_some(), "os/linux/no-new-privileges"),
            (seccomp.is_some(), "os/linux/seccomp-*-set"),
            (oom_score_adjust.is_some(), "os/linux/oom-score-adj"),
            (cpu_shares.is_some(), "os/linux/cpu-shares"),
            (tmp.is_some(), "resource/tmp"),
        ];
        let of_apps = of_apps.into_iter().filter(|(there, _)| *there).map(|(_, name)| name.to_owned());
        let warning = |name| format!("isolator {name} of the pod is not known for pods, and not enforced");
        self.warnings.extend(unknown.chain(of_apps).map(warning));
    }
}

/// Returns an app as its spec and all of its annotations define it, without what depends on the rest of the pod.
///
/// # Errors
/// Fails if nothing says which program it runs.
fn app(name: &AppName, image_id: ImageId, spec: &AppSpec, annotations: &Annotations) -> Result<App> {
    let exec = spec.exec.clone().ok_or_else(|| {
        Error::new("no program: expected an \"exec\" in the image's manifest or in the pod's, or --exec")
    })?;
    Ok(App {
        name: name.clone(),
        image: image_id,
        exec,
        user: spec.user.clone(),
        group: spec.group.clone(),
        supplementary_gids: spec.supplementary_gids.clone(),
        has_users_groups: annotations.groups.is_some(),
        working_directory: spec.working_directory.clone().unwrap_or_else(mounts::root),
        environment: spec.environment.clone(),
        names_user: false,
        has_home: annotations.home.is_some(),
        pre_start: spec.event_handlers.pre_start.clone(),
        post_stop: spec.event_handlers.post_stop.clone(),
        read_only_root: false,
        mounts: Vec::new(),
        sockets: Vec::new(),
        isolators: spec.isolators.clone(),
        restart: annotations.restart.unwrap_or_default(),
        success_codes: annotations.success_codes.clone().unwrap_or_default(),
        stop_signal: annotations.stop_signal,
        stop_mode: annotations.stop_mode.unwrap_or_default(),
        stop_timeout: annotations.stop_timeout,
        post_stop_timeout: annotations.post_stop_timeout,
        notifies: annotations.notifies.unwrap_or_default(),
        tmp: annotations.tmp.unwrap_or_default(),
        users: Users::default(),
    })
}

/// Returns all annotations about an app: its own, the pod's, those of its spec and its image's.
fn all(own: &Annotations, pods: &Annotations, spec: &AppSpec, image: &ImageManifest) -> Result<Annotations> {
    let of_image = spec.annotations.clone().over(image.annotations.clone());
    let all = own.clone().over(pods.clone()).over(of_image);
    all.check_known().map(|()| all)
}

/// Lets empty volumes on disk begin with what the image has, where an annotation says so.
fn copy(mounts: &mut [Mount], annotations: &Annotations) {
    if annotations.mount_points != Some(MountPoints::Copied) {
        return;
    }
    for mount in mounts {
        if let Source::Empty { capacity: None, is_copied, .. } = &mut mount.source {
            *is_copied = true;
        }
    }
}

/// Returns whose users an app has by the annotations of a pod's manifest, those about the app and those about every app.
/// An image doesn't decide that.
///
/// The host's users are the whole pod's or nobody's.
fn users(own: &Annotations, all: &Annotations) -> Result<Users> {
    match (own.users, all.users.unwrap_or_default()) {
        (None | Some(Users::Host), Users::Host) => Ok(Users::Host),
        (Some(_), Users::Host) => Err(Error::new(
            "annotation gantry/users: expected none, since the whole pod has the host's users",
        )),
        (Some(Users::Host), _) => Err(Error::new(
            "annotation gantry/users is host: expected own or shared, or that the whole pod has the host's users",
        )),
        (own, of_all) => Ok(own.unwrap_or(of_all)),
    }
}

/// Returns an app's mount points. Those that may be left without volumes, and are, are no mount points: the app has the
/// image's own directory there, with all that the image has in it.
fn points(spec: &AppSpec, annotations: &Annotations, volumes: &mounts::Volumes) -> Vec<MountPoint> {
    let may_be_bare = annotations.mount_points.is_some();
    let has_volume = |point: &&MountPoint| !may_be_bare || volumes.contains_key(&point.name);
    spec.mount_points.iter().filter(has_volume).cloned().collect()
}

/// Checks that an app's own filter is one for its programs: it has the numbers of this machine.
fn check_seccomp(app: &App, image: &ImageManifest) -> Result<()> {
    if app.isolators.seccomp.as_ref().is_some_and(Seccomp::filters)
        && image.labels.get("arch").is_some_and(|arch| arch == "i386")
    {
        return Err(Error::new(
            "seccomp isolators for an image of arch i386: expected none, or a native image",
        ));
    }
    Ok(())
}

fn within(name: &AppName) -> impl Fn(Error) -> Error {
    move |error| error.within(format_args!("app {name}"))
}

fn image_of<'a>(id: &ImageId, images: &'a Images) -> Result<&'a ImageManifest> {
    let image = images
        .get(id)
        .ok_or_else(|| Error::new(format!("image {id} is missing: the pod's manifest names it")))?;
    image.check_platform(Arch::current())?;
    Ok(image)
}

fn image_app(image: &ImageManifest) -> Result<&AppSpec> {
    image.app.as_ref().ok_or_else(|| {
        Error::new(format!("image {} has no app: expected an \"app\" in its manifest, to run it", image.name))
    })
}
