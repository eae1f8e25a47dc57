// SPDX-License-Identifier: Apache-2.0
//! Overlays (the kernel's filesystems/overlayfs): made of layers that are named by descriptors, so that their paths may
//! have any character, and mounted nowhere until they are attached.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{StatVfsMountFlags, fstatvfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};

use crate::open::proc_path;

/// The layers of an overlay. They have to be opened in the mount namespace in which the overlay is made.
#[derive(Clone, Copy, Debug)]
pub struct Layers<L, U, W> {
    /// The tree that stays as it is.
    pub lower: L,
    /// The directory that takes the changes.
    pub upper: U,
    /// overlayfs's own directory, on the same file system as the upper layer.
    pub work: W,
}

/// The step of making an overlay that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmade {
    /// The kernel has no overlayfs.
    #[error("this kernel has no overlayfs")]
    NoOverlayfs(#[source] Errno),
    /// A layer is refused.
    #[error("cannot set its {0}")]
    Layer(&'static str, #[source] Errno),
    /// The file system can't hold an upper layer.
    #[error("the file system can't hold an overlay's changes")]
    UpperLayer(#[source] Errno),
    /// It can't be mounted.
    #[error("cannot mount an overlay")]
    Mount(#[source] Errno),
    /// It can't be examined.
    #[error("cannot look at the overlay")]
    Look(#[source] Errno),
    /// It is read-only, which overlayfs silently makes it if it can't use the working directory (overlayfs.rst).
    #[error("an overlay could not be written to")]
    ReadOnly,
}

impl Unmade {
    /// Returns the kernel's error, where there was one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::NoOverlayfs(errno)
            | Self::Layer(_, errno)
            | Self::UpperLayer(errno)
            | Self::Mount(errno)
            | Self::Look(errno) => Some(*errno),
            Self::ReadOnly => None,
        }
    }
}

/// Makes an overlay that can be written to.
///
/// # Errors
/// See [`Unmade`].
pub fn make<L: AsFd, U: AsFd, W: AsFd>(layers: &Layers<L, U, W>) -> Result<OwnedFd, Unmade> {
    make_with(layers, &[], MountAttrFlags::empty())
}

/// Makes an overlay that can be written to, with these options of overlayfs and attributes of the mount.
///
/// # Errors
/// See [`Unmade`].
pub fn make_with<L: AsFd, U: AsFd, W: AsFd>(
    layers: &Layers<L, U, W>,
    options: &[(&'static str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Unmade> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(Unmade::NoOverlayfs)?;
    let Layers { lower, upper, work } = layers;
    for (key, layer) in [("lowerdir", lower.as_fd()), ("upperdir", upper.as_fd()), ("workdir", work.as_fd())]
    {
        fsconfig_set_string(context.as_fd(), key, proc_path(layer))
            .map_err(|errno| Unmade::Layer(key, errno))?;
    }
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value).map_err(|errno| Unmade::Layer(key, errno))?;
    }
    fsconfig_create(context.as_fd()).map_err(Unmade::UpperLayer)?;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(Unmade::Mount)?;
    let flags = fstatvfs(&mount).map_err(Unmade::Look)?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) { Err(Unmade::ReadOnly) } else { Ok(mount) }
}
