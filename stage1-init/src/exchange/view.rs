// SPDX-License-Identifier: Apache-2.0
//! Mounts of apps beside their trees and volumes: `/init` and the pod make them, and `--dry-run` lists them.
//!
//! An app's root is completed in two parts. `/init` does the first ([`crate::enter::roots`]): what the plan has for that root.
//! The second needs the pod's namespaces and is done inside the pod ([`crate::helpers::mounts`]), for all apps in the
//! same way: the apps' /dev is made, then the pod's /proc and /sys are masked, then each root gets a copy of the three.

use pod::{App, layout};

use crate::load::trees::Tree;
use crate::plan::{HOSTS, RESOLV_CONF, Root};

/// The apps' /dev, in the pod.
pub(crate) const DEV: &str = "/run/gantry/dev";
/// Devices in it, by name and number (admin-guide/devices). There is no console behind /dev/console: it behaves as
/// /dev/null.
pub(crate) const DEVICES: [(&str, u64, u64); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("console", 1, 3),
];
/// Symbolic links in it.
pub(crate) const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Parts of the pod's /dev that its apps share.
pub(crate) const SHARED: [&str; 3] = ["pts", "shm", "mqueue"];
/// Files and directories that reveal the host's hardware, memory or secrets. They are hidden, as OCI runtimes do by
/// default (runtime-tools and containerd's default `maskedPaths`). Not every kernel has all of them.
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
/// Files and directories that change the host. They are read-only (likewise, `readonlyPaths`).
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A part of the pod's tree that is copied into every app's root, with all that is mounted in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    /// Where it goes in the app's root.
    pub(crate) at: &'static str,
    /// Its path in the pod.
    pub(crate) source: &'static str,
    pub(crate) read_only: bool,
}

/// The last mounts that apps get. The pod's cgroups come with /sys.
pub(crate) const COPIED: [Copied; 3] = [
    Copied { at: "/proc", source: "/proc", read_only: false },
    Copied { at: "/sys", source: "/sys", read_only: true },
    Copied { at: "/dev", source: DEV, read_only: false },
];

/// The directory that every user may write to: the app's own, or in memory.
pub(crate) const TMP: &str = "/tmp";

/// A file of the pod's that an app sees if its tree has none, and can't write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Where it goes in the app's root.
    pub at: &'static str,
    /// Its path in stage1.
    pub source: &'static str,
}

/// Plans an app's root. `/etc/resolv.conf` is supplied only if the host has one.
pub(crate) fn root(app: &App, tree: &Tree, has_resolv_conf: bool) -> Root {
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
