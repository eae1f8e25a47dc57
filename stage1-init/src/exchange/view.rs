// SPDX-License-Identifier: Apache-2.0
//! The mounts, devices and links that every app has beside its tree and volumes. `/init` and the helpers make them, and
//! `--dry-run` lists them.
//!
//! An app's root is completed in two parts. `/init` does the first (`enter::roots`): a /dev, and what the plan has for that
//! root. The second needs the pod's namespaces and is done inside the pod (`helpers::mounts`), for all apps in the same
//! way: the boot program masks the pod's /proc and /sys, and each launcher mounts copies of these, and of parts of the pod's
//! /dev, in the root that it enters.

/// Devices in an app's /dev, by name and number (admin-guide/devices). There is no console behind /dev/console: it behaves as
/// /dev/null.
pub(crate) const DEVICES: [(&str, u32, u32); 7] = [
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
/// The directories in it on which parts of the pod's /dev are mounted, which its apps share.
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
    /// The place in the app's root.
    pub(crate) at: &'static str,
    /// Its path in the pod.
    pub(crate) source: &'static str,
    pub(crate) read_only: bool,
}

/// The last mounts that apps get. The pod's cgroups come with /sys.
pub(crate) const COPIED: [Copied; 5] = [
    Copied { at: "/proc", source: "/proc", read_only: false },
    Copied { at: "/sys", source: "/sys", read_only: true },
    Copied { at: "/dev/pts", source: "/dev/pts", read_only: false },
    Copied { at: "/dev/shm", source: "/dev/shm", read_only: false },
    Copied { at: "/dev/mqueue", source: "/dev/mqueue", read_only: false },
];
/// The directories of an app's root that are mount points in every pod. A place that is missing is made.
pub(crate) const PLACES: [&str; 3] = [DEV, "/proc", "/sys"];
/// The app's own devices.
pub(crate) const DEV: &str = "/dev";

/// The directory that every user may write to: the app's own, or in memory.
pub(crate) const TMP: &str = "/tmp";

/// The directory of what belongs to a run that is mounted only where it is no link.
pub(crate) const OWN_RUN: &str = "/var/run";

/// The socket, in an app's root, at which an app tells the pod's systemd that it is up. It is in /dev, which no app can change.
pub(crate) const NOTIFY: &str = "/dev/notify";
/// The same socket in the pod's root, where systemd makes it (systemd's manager.c, `manager_setup_notify`).
pub(crate) const NOTIFY_OF_POD: &str = "/run/systemd/notify";
