// SPDX-License-Identifier: Apache-2.0
//! What is mounted for apps beside their trees and volumes: what `/init` and the pod mount, and `--dry-run` lists.
//!
//! An app's root is completed in two parts. `/init` does the first ([`crate::roots`]): what the plan has for that root.
//! The second takes the pod's namespaces and is done inside ([`crate::in_pod::mounts`]), for all apps in the same way:
//! the apps' /dev is made, then the pod's /proc and /sys are masked, then each root gets a copy of the three.

use pod::{App, layout};

use super::{HOSTS, RESOLV_CONF, Root};
use crate::trees::Tree;

/// The apps' /dev, in the pod.
pub(crate) const DEV: &str = "/run/gantry/dev";
/// Devices in it, by name and number (admin-guide/devices). There is no console behind /dev/console: it takes and gives
/// what /dev/null does.
pub(crate) const DEVICES: [(&str, u64, u64); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("console", 1, 3),
];
/// Links in it.
pub(crate) const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// What the pod's apps share: parts of the pod's /dev.
pub(crate) const SHARED: [&str; 3] = ["pts", "shm", "mqueue"];
/// What tells of the host's hardware, memory or secrets: hidden, as OCI runtimes do by default (runtime-tools and
/// containerd's default `maskedPaths`). Not every kernel has every one.
pub(crate) const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// What changes the host: can be read alone (likewise, `readonlyPaths`).
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A copy of a part of the pod's tree, with all that is mounted in it, in every app's root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    /// Where in the app's root.
    pub(crate) at: &'static str,
    /// What of the pod's.
    pub(crate) source: &'static str,
    pub(crate) read_only: bool,
}

/// The last that apps get. With /sys come the pod's cgroups.
pub(crate) const COPIED: [Copied; 3] = [
    Copied { at: "/proc", source: "/proc", read_only: false },
    Copied { at: "/sys", source: "/sys", read_only: true },
    Copied { at: "/dev", source: DEV, read_only: false },
];

/// What everybody may write to: the app's own, or in memory.
pub(crate) const TMP: &str = "/tmp";

/// A file of the pod's that an app sees, and can't write to, where its tree has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Where in the app's root.
    pub at: &'static str,
    /// What, in stage1.
    pub source: &'static str,
}

/// An app's root. A `resolv_conf` is supplied only where the host has one.
pub(super) fn root(app: &App, tree: &Tree, has_resolv_conf: bool) -> Root {
    let resolv_conf = Supplied { at: "/etc/resolv.conf", source: RESOLV_CONF };
    let mut supplied = vec![Supplied { at: "/etc/hosts", source: HOSTS }];
    supplied.extend(has_resolv_conf.then_some(resolv_conf));
    Root {
        at: layout::app(&app.name),
        tree: tree.clone(),
        read_only: app.read_only_root,
        tmp_in_memory: app.read_only_root,
        supplied,
        mounts: app.mounts.clone(),
    }
}
