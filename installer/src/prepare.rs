// SPDX-License-Identifier: Apache-2.0
//! Prepare: verified inputs → a pod directory.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat, umask};
use nix::unistd::geteuid;
use pod::digest::Digest;
use pod::manifest::{ContainerRuntimeManifest, ImageManifest, Manifest, RuntimeApp};
use pod::name::AppName;
use pod::user::{resolve_group, resolve_user};
use pod::{Pod, layout};
use rustix::fs::{RenameFlags, renameat_with};

use crate::directory::Directory;
use crate::image::{Image, unpack};
use crate::in_root::Rootfs;
use crate::input::{ImageArgument, ImageInput, ManifestInput, VolumeArgument, check_sources, open_manifest};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::stage1::Stage1;
use crate::staging::{Staging, create_dir, create_file, sweep};

/// What prepare is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) directory: PathBuf,
    pub(crate) images: Vec<ImageArgument>,
    pub(crate) volumes: Vec<VolumeArgument>,
    pub(crate) stage1: Option<PathBuf>,
    pub(crate) stage1_digest: Option<Digest>,
    pub(crate) pod_manifest: Option<PathBuf>,
}

/// Every input, open; nothing is written before this is there.
#[derive(Debug)]
struct Plan {
    images: Vec<ImageInput>,
    stage1: Stage1,
    manifest: Option<ManifestInput>,
    volumes: Vec<VolumeArgument>,
}

/// Prepares a pod and returns its directory, absolute.
///
/// # Errors
/// In one line, with nothing left of the pod.
pub(crate) fn prepare(request: &Request, interrupt: &Interrupt) -> Result<PathBuf> {
    require_root()?;
    let plan = plan(request)?;
    // Modes are those of the archives.
    umask(Mode::empty());
    let directory = Directory::open(&request.directory)?;
    match build(&plan, &directory, interrupt) {
        Ok(name) => Ok(directory.path().join(layout::CONTAINERS).join(name)),
        Err(error) => {
            directory.unmake();
            Err(error)
        }
    }
}

/// Only root can give files their owners, and pods their namespaces.
pub(crate) fn require_root() -> Result<()> {
    ensure!(geteuid().is_root(), "not root: expected to be run as root, to give files their owners");
    Ok(())
}

fn plan(request: &Request) -> Result<Plan> {
    let manifest = request.pod_manifest.as_deref().map(open_manifest).transpose()?;
    ensure!(
        manifest.is_none() || request.volumes.is_empty(),
        "--volume beside --pod-manifest: expected the volumes in the pod manifest"
    );
    let images = request.images.iter().map(ImageArgument::open).collect::<Result<_>>()?;
    let stage1 = Stage1::open(request.stage1.as_deref(), request.stage1_digest)?;
    Ok(Plan { images, stage1, manifest, volumes: request.volumes.clone() })
}

/// Builds the pod in staging and publishes it, or removes what was built.
fn build(plan: &Plan, directory: &Directory, interrupt: &Interrupt) -> Result<String> {
    sweep(directory).context("cannot sweep staging")?;
    let staging = Staging::new(directory)?;
    let built = fill(plan, &staging, interrupt).and_then(|()| {
        interrupt.check()?;
        staging.publish(directory)
    });
    match built {
        Ok(()) => Ok(staging.id.to_string()),
        Err(error) => {
            staging.discard(directory).context("while undoing what had failed")?;
            Err(error)
        }
    }
}

fn fill(plan: &Plan, staging: &Staging, interrupt: &Interrupt) -> Result<()> {
    let root = &*staging.root;
    let total = plan.images.iter().map(|image| &image.file).chain([&plan.stage1.file, &plan.stage1.file]);
    let total = total.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum();
    let progress = Progress::new(total, interrupt.clone());
    let stage1 = create_dir(root, layout::STAGE1, Mode::from_bits_truncate(0o755))?;
    let parts = create_dir(root, "images", Mode::S_IRWXU)?;
    // Stage1 and the images meet only below: each is extracted into a directory of its own.
    let images = thread::scope(|scope| {
        let stage1 = stage1.as_fd().try_clone_to_owned()?;
        let unpacking = scope.spawn(|| plan.stage1.unpack(stage1, &progress));
        let images = plan.images.iter().enumerate().map(|(n, image)| {
            unpack(image, create_dir(&parts, &n.to_string(), Mode::from_bits_truncate(0o755))?, &progress)
        });
        let images = images.collect::<Result<Vec<_>>>();
        unpacking.join().map_err(|_| anyhow!("unpacking stage1 failed"))??;
        images
    })?;
    progress.done();
    place(&images, &parts, &stage1)?;
    nix::unistd::unlinkat(root, "images", nix::unistd::UnlinkatFlags::RemoveDir)?;
    write_manifest(plan, staging, &images, &stage1)
}

/// Moves the images' trees to where their ids say.
fn place(images: &[Image], parts: &OwnedFd, stage1: &OwnedFd) -> Result<()> {
    let mut all = stage1.as_fd().try_clone_to_owned()?;
    for name in layout::IMAGES.split('/') {
        match mkdirat(&all, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make stage1's {}", layout::IMAGES));
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        all = openat(&all, name, flags, Mode::empty())
            .with_context(|| format!("stage1's {}", layout::IMAGES))?;
    }
    for (n, image) in images.iter().enumerate() {
        let id = image.id.to_string();
        match renameat_with(parts, n.to_string(), &all, &id, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => bail!("image {}: is given twice, with id {id}", image.shown),
            placed => placed.with_context(|| format!("cannot place image {id}"))?,
        }
    }
    Ok(())
}

fn write_manifest(plan: &Plan, staging: &Staging, images: &[Image], stage1: &OwnedFd) -> Result<()> {
    let written;
    let (bytes, manifest) = match &plan.manifest {
        Some(input) => (input.bytes.as_slice(), &input.manifest),
        None => {
            let generated = generate(plan, staging, images)?;
            written = (generated.to_json(), Manifest::Runtime(generated));
            (written.0.as_bytes(), &written.1)
        }
    };
    let manifests: BTreeMap<Digest, ImageManifest> =
        images.iter().map(|image| (image.id, image.manifest.clone())).collect();
    let pod = Pod::assemble(staging.id, manifest, &manifests)?;
    check(&pod, stage1)?;
    create_file(&*staging.root, layout::MANIFEST)
        .map_err(std::io::Error::from)
        .and_then(|mut file| file.write_all(bytes))
        .context("cannot write the pod's manifest")
}

/// The manifest of a pod in which every image is an app.
fn generate(plan: &Plan, staging: &Staging, images: &[Image]) -> Result<ContainerRuntimeManifest> {
    let mut seen: BTreeMap<AppName, &str> = BTreeMap::new();
    let mut apps = Vec::new();
    for image in images {
        let name = AppName::of_image(&image.manifest.name)?;
        if let Some(other) = seen.insert(name.clone(), &image.shown) {
            bail!(
                "images {other} and {} both make an app called {name}: expected distinct names",
                image.shown
            );
        }
        apps.push(RuntimeApp { name, image_id: image.id, isolators: Vec::new() });
    }
    let volumes = plan.volumes.iter().map(VolumeArgument::to_manifest).collect();
    Ok(ContainerRuntimeManifest::new(staging.id, apps, volumes))
}

/// What would otherwise be found only when the pod starts.
fn check(pod: &Pod, stage1: &OwnedFd) -> Result<()> {
    check_sources(pod.apps.iter().flat_map(|app| &app.mounts).map(|mount| &mount.source))?;
    for app in &pod.apps {
        let rootfs = layout::image_rootfs(&app.image);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let rootfs = Rootfs(openat(stage1, rootfs.as_str(), flags, Mode::empty())?);
        let within = || format!("app {}", app.name);
        resolve_user(&app.user, &rootfs).with_context(within)?;
        resolve_group(&app.group, &rootfs).with_context(within)?;
    }
    for (app, isolator) in &pod.unenforced {
        let whose = app.as_ref().map_or_else(|| "the pod".into(), |app| format!("app {app}"));
        eprintln!("warning: isolator {isolator} of {whose} is not enforced");
    }
    Ok(())
}
