// SPDX-License-Identifier: Apache-2.0
//! Every name inside Gantry's directory, once.
//!
//! ```text
//! DIR/                             0700
//!   staging/ID/                    a pod directory being built, locked by its builder
//!   containers/ID/                 a pod directory, 0700
//!     container                    the pod's manifest
//!     stage1/                      stage1's root
//!       init
//!       opt/stage2/IMAGE-ID/       manifest, rootfs/
//!       rkt/status/APP             exit status, decimal and newline
//!       rkt/upper/APP/             what an app changed of an image that it shares with others
//!       rkt/volumes/NAME/          a volume of kind empty
//!       apps/APP/                  where the app's root is mounted while the pod runs
//!       etc/gantry/                what apps are started with
//! ```
//!
//! Names are relative to the directory above them, so that they serve with directory descriptors.

use crate::digest::Digest;
use crate::name::{AppName, VolumeName};

/// Where Gantry keeps its pods when nobody says otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/gantry";
/// Pod directories, in DIR.
pub const CONTAINERS: &str = "containers";
/// Pod directories that are not yet complete, in DIR.
pub const STAGING: &str = "staging";
/// The pod's manifest, in the pod directory.
pub const MANIFEST: &str = "container";
/// Stage1's root, in the pod directory.
pub const STAGE1: &str = "stage1";
/// Stage1's program, in stage1.
pub const INIT: &str = "init";
/// The images' directory, in stage1.
pub const IMAGES: &str = "opt/stage2";
/// An image's manifest, in the image's directory.
pub const IMAGE_MANIFEST: &str = "manifest";
/// An image's file system tree, in the image's directory.
pub const IMAGE_ROOTFS: &str = "rootfs";
/// The apps' exit statuses, in stage1.
pub const STATUS: &str = "rkt/status";
/// What apps that share an image have changed of it, in stage1.
pub const UPPER: &str = "rkt/upper";
/// Volumes of kind empty, in stage1.
pub const VOLUMES: &str = "rkt/volumes";
/// Where the apps' roots are mounted, in stage1.
pub const APPS: &str = "apps";
/// What this pod's apps are started with, in stage1.
pub const OWN: &str = "etc/gantry";
/// Units rendered for this pod, in stage1.
pub const UNITS: &str = "etc/systemd/system";

/// An image's directory, in stage1.
pub fn image(id: &Digest) -> String {
    format!("{IMAGES}/{id}")
}

/// An image's manifest, in stage1.
pub fn image_manifest(id: &Digest) -> String {
    format!("{}/{IMAGE_MANIFEST}", image(id))
}

/// An image's file system tree, in stage1.
pub fn image_rootfs(id: &Digest) -> String {
    format!("{}/{IMAGE_ROOTFS}", image(id))
}

/// An app's status file, in stage1.
pub fn status(app: &AppName) -> String {
    format!("{STATUS}/{app}")
}

/// An app's root while the pod runs, in stage1.
pub fn app(app: &AppName) -> String {
    format!("{APPS}/{app}")
}

/// What an app changed of an image that it shares, in stage1.
pub fn upper(app: &AppName) -> String {
    format!("{UPPER}/{app}")
}

/// A volume of kind empty, in stage1.
pub fn volume(name: &VolumeName) -> String {
    format!("{VOLUMES}/{name}")
}
