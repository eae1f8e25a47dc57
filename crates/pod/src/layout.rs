// SPDX-License-Identifier: Apache-2.0
//! The names of everything inside Gantry's directory, each defined once.
//!
//! ```text
//! DIR/                             0700
//!   store/                         content-addressed, 0700
//!     tree-v1/sha256-HEX/          an image or a stage1, by the sha256 of its tar; complete, and never changed
//!       info                       what it is: JSON
//!       record                     describes every object in it, for verification
//!       tree/                      the archive's root: an image's manifest and rootfs/, or stage1's root
//!     alias-v1/                    links to trees:
//!       file-LENGTH-sha256-HEX     by the length and digest of the archive file that the tree came from
//!       sha512-HEX                 by the sha512 of its tar
//!     name-v1/names                what images are called, and which blobs they are made of: JSON. `names.next` beside it
//!                                  means nothing
//!     blob-v1/sha256-HEX           a blob of an OCI image: a layer, a configuration, a manifest; complete
//!   staging/ID/                    a pod directory or tree being built, locked by its builder
//!   containers/ID/                 a pod directory, 0700
//!     container                    the pod's manifest
//!     layers                       where its trees are: in the store, or here ([`crate::layers`])
//!     stage1/                      stage1's root; only its upper layer if the trees are in the store
//!       init
//!       opt/stage2/IMAGE-ID/       manifest, rootfs/; absent if they are in the store
//!       rkt/status/APP             exit status, decimal and newline
//!       rkt/status/.APP            space reserved for it
//!       rkt/outcome/               where the pod's outcome is mounted while the pod runs
//!       rkt/upper/APP/changes/     what an app changed of its image, and beside it overlayfs's work/
//!       rkt/roots/APP/             if trees are copied: its copy of an image's rootfs that another app has
//!       rkt/volumes/NAME/          a volume of kind empty
//!       rkt/app-volumes/APP/NAME/  a volume of kind empty that only this app knows
//!       apps/APP/                  where the app's root is mounted while the pod runs
//!       etc/gantry/                what apps are started with
//!     work/                        overlayfs's working directory, for stage1
//!     history                      when the pod was started and how it ended, each time
//!     name                         the pod's name, if it has one
//!     removed-at-end               there if the pod is removed when it has ended
//!     logs/APP.log                 what an app of a detached pod has written
//!     attendant.N                  the socket of the attendant of the network, while the pod's process N starts
//!     cni                          how plugins have connected the pod, until they have taken that back
//! ```
//!
//! APP and NAME are names of apps and volumes, escaped if they are not plain ([`crate::name`]). Names are relative to
//! the directory above them, so that they can be used with directory descriptors.

use crate::id::{ImageId, PodId};
use crate::name::{AppName, VolumeName};

/// The default directory of Gantry's pods.
pub const DEFAULT_DIR: &str = "/var/lib/gantry";
/// Pod directories, in DIR.
pub const CONTAINERS: &str = "containers";
/// Pod directories that are not yet complete, in DIR.
pub const STAGING: &str = "staging";
/// Content-addressed trees, in DIR.
pub const STORE: &str = "store";
/// Trees by their tars' sha256, in DIR.
pub const TREES: &str = "store/tree-v1";
/// Links from other names to trees, in DIR.
pub const ALIASES: &str = "store/alias-v1";
/// The directory of the names of images, in DIR.
pub const NAMES: &str = "store/name-v1";
/// The file of these names, in its directory.
pub const NAMES_FILE: &str = "names";
/// Blobs of OCI images by their digests, in DIR.
pub const BLOBS: &str = "store/blob-v1";
/// The file that describes a tree, in a tree's directory.
pub const TREE_INFO: &str = "info";
/// The file that describes a tree's objects, in a tree's directory.
pub const TREE_RECORD: &str = "record";
/// The tree itself, in a tree's directory.
pub const TREE: &str = "tree";
/// The file that says where the pod's trees are, in the pod directory.
pub const LAYERS: &str = "layers";
/// overlayfs's working directory for stage1, in the pod directory.
pub const WORK: &str = "work";
/// When the pod was started and how it ended, in the pod directory.
pub const HISTORY: &str = "history";
/// The pod's name and a newline, in the pod directory; absent if it has none.
pub const NAME: &str = "name";
/// A file that is there if the pod has another `/init` than its stage1, in the pod directory.
pub const OWN_INIT: &str = "own-init";
/// A file that is there if the pod is removed when it has ended, in the pod directory. Where a command runs the pod as soon as
/// it is prepared, it has the command's process: the id, and when that was started, as proc_pid_stat(5) has them.
pub const REMOVED_AT_END: &str = "removed-at-end";
/// The directory of a detached pod's logs, in the pod directory.
pub const LOGS: &str = "logs";
/// The record of how plugins have connected the pod, in the pod directory. It is removed once they have taken that
/// back.
pub const CNI: &str = "cni";
/// The name of that file while it is being written.
pub const NEW_CNI: &str = "cni.new";
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
/// The mount point for the record of the pod's own end, which is kept in memory; in stage1.
pub const OUTCOME: &str = "rkt/outcome";
/// The directory of the apps' changes to their images, in stage1.
pub const UPPER: &str = "rkt/upper";
/// The directory of apps' own copies of images that another app has, in stage1.
pub const ROOTS: &str = "rkt/roots";
/// Volumes of kind empty, in stage1.
pub const VOLUMES: &str = "rkt/volumes";
/// A volume of kind empty that is being made, beside its final place; no volume has such a name.
pub const NEW_VOLUME: &str = ".new";
/// Volumes of kind empty that are an app's own, in stage1.
pub const APP_VOLUMES: &str = "rkt/app-volumes";
/// The directory in which the apps' roots are mounted, in stage1.
pub const APPS: &str = "apps";
/// The launch files of this pod's apps, in stage1.
pub const OWN: &str = "etc/gantry";
/// Units rendered for this pod, in stage1.
pub const UNITS: &str = "etc/systemd/system";

/// The prefix of the names of all pods' cgroups.
const CGROUP: &str = "gantry-";

/// Returns the name of a pod's cgroup.
pub fn cgroup(id: PodId) -> String {
    format!("{CGROUP}{id}")
}

/// Tells whether a cgroup has the name of a pod's.
pub fn is_cgroup(name: &str) -> bool {
    name.strip_prefix(CGROUP).is_some_and(|id| id.parse::<PodId>().is_ok())
}

/// Returns the socket of the attendant of the network, in the pod directory, for the pod's process of this number.
///
/// The installer makes it before it becomes that process, so a start that fails disturbs no other.
pub fn attendant(process: u32) -> String {
    format!("attendant.{process}")
}

/// The hosts file, in stage1, for apps that have none.
pub const HOSTS: &str = "etc/gantry/hosts";
/// The resolv.conf, in stage1, for apps that have none. Absent with `--net=none`, unless servers or domains are given,
/// and with the host's network if the host has none. What CNI plugins say about names is written there.
pub const RESOLV_CONF: &str = "etc/gantry/resolv.conf";

/// Returns the hosts file, in stage1, of an app whose tree has one that says something.
pub fn own_hosts(app: &AppName) -> String {
    format!("{HOSTS}-{app}")
}

/// Returns an image's directory, in stage1.
pub fn image(id: &ImageId) -> String {
    format!("{IMAGES}/{id}")
}

/// Returns an image's manifest, in stage1.
pub fn image_manifest(id: &ImageId) -> String {
    format!("{}/{IMAGE_MANIFEST}", image(id))
}

/// Returns an image's file system tree, in stage1.
pub fn image_rootfs(id: &ImageId) -> String {
    format!("{}/{IMAGE_ROOTFS}", image(id))
}

/// Returns an app's status file, in stage1.
pub fn status(app: &AppName) -> String {
    format!("{STATUS}/{app}")
}

/// Returns an app's root while the pod runs, in stage1.
pub fn app(app: &AppName) -> String {
    format!("{APPS}/{app}")
}

/// Returns an app's own copy of an image that another app has, in stage1.
pub fn own_root(app: &AppName) -> String {
    format!("{ROOTS}/{app}")
}

/// Returns the directory of an app's changes to its image, in stage1.
pub fn upper(app: &AppName) -> String {
    format!("{UPPER}/{app}")
}

/// Returns a volume of kind empty, the pod's or an app's own, in stage1.
pub fn volume(name: &VolumeName, app: Option<&AppName>) -> String {
    match app {
        None => format!("{VOLUMES}/{}", name.file_name()),
        Some(app) => format!("{APP_VOLUMES}/{app}/{}", name.file_name()),
    }
}
