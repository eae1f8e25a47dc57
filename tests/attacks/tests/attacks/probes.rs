// SPDX-License-Identifier: Apache-2.0
//! What capabilities permit: tries that each need one, and what one that succeeds reaches.

use Reach::{App, Host, Pod};

/// How far something reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Processes and files of the app, its volumes among them.
    App,
    /// What the apps of a pod share, and the pod's systemd.
    Pod,
    /// What is not the pod's.
    Host,
}

/// Something that a capability permits.
pub(crate) struct Probe {
    /// The attack, or the program that makes the calls.
    pub(crate) name: &'static str,
    /// What it reaches where the pod has users of its own.
    pub(crate) own: Reach,
    /// What it reaches where the pod's users are the host's.
    pub(crate) host: Reach,
    /// Errors that come after the kernel has permitted it.
    pub(crate) counts: &'static [&'static str],
}

const fn same(name: &'static str, reach: Reach) -> Probe {
    Probe { name, own: reach, host: reach, counts: &[] }
}

const fn after(name: &'static str, reach: Reach, counts: &'static [&'static str]) -> Probe {
    Probe { name, own: reach, host: reach, counts }
}

/// All tries.
pub(crate) const PROBES: &[Probe] = &[
    same("chown", App),
    same("open-to-write", App),
    same("open-to-read", App),
    same("handle", Host),
    same("chmod", App),
    same("keep-setgid", App),
    same("signal-other-user", App),
    same("victim-signal", Pod),
    same("setgid", App),
    same("setuid", App),
    same("drop-bounding-set", App),
    same("set-append-only", App),
    after("bind-low-port", Pod, &["EADDRINUSE"]),
    same("configure-link", Pod),
    same("packets", Pod),
    same("raw-socket", Pod),
    same("mlock", Host),
    same("msgctl", Pod),
    after("init_module", Host, &["ENOEXEC"]),
    after("fibmap", Host, &["EINVAL"]),
    same("chroot", App),
    same("victim-memory", Pod),
    // Systemd is the host's root where users are the host's.
    Probe { name: "systemd-memory", own: Pod, host: Host, counts: &[] },
    after("acct", Pod, &["ENOENT"]),
    same("sethostname", Pod),
    same("mount", App),
    after("swapon", Host, &["ENOENT"]),
    after("reboot", Pod, &["EINVAL"]),
    after("kexec_load", Host, &["EINVAL"]),
    same("setpriority", Host),
    same("raise-limit", Host),
    same("settimeofday", Host),
    same("vhangup", App),
    same("mknod", Host),
    same("lease", App),
    same("audit", Host),
    same("bind-audit", Host),
    same("set-file-capability", App),
    same("read-log", Host),
    same("timer-that-wakes", Host),
    same("epoll-wakeup", Host),
    same("perf_event_open", Host),
    same("bpf", Host),
    same("map-files", App),
];

/// Tries that not every machine has something for, and the capability that each is about: kernels without modules, without
/// another kernel to load or without sleep, and machines whose root has not every capability.
pub(crate) const OPTIONAL: &[(&str, &str)] = &[
    ("init_module", "CAP_SYS_MODULE"),
    ("kexec_load", "CAP_SYS_BOOT"),
    ("raise-limit", "CAP_SYS_RESOURCE"),
    ("epoll-wakeup", "CAP_BLOCK_SUSPEND"),
];

/// The number of capabilities (`CAP_LAST_CAP` of linux/capability.h, and one).
pub(crate) const ALL: usize = 41;

/// All capabilities, and what the kernel asks for each.
pub(crate) const CAPABILITIES: &[(&str, &str)] = &[
    ("CAP_CHOWN", "owners of files"),
    ("CAP_DAC_OVERRIDE", "files whatever their modes"),
    ("CAP_DAC_READ_SEARCH", "reading files whatever their modes, files by handle"),
    ("CAP_FOWNER", "modes of others' files"),
    ("CAP_FSETID", "setuid and setgid bits"),
    ("CAP_KILL", "signals to other users' processes"),
    ("CAP_SETGID", "groups"),
    ("CAP_SETUID", "users"),
    ("CAP_SETPCAP", "the bounding set"),
    ("CAP_LINUX_IMMUTABLE", "files that can't be changed"),
    ("CAP_NET_BIND_SERVICE", "ports below 1024"),
    ("CAP_NET_BROADCAST", "nothing: the kernel doesn't ask for it"),
    ("CAP_NET_ADMIN", "links, routes, firewalls"),
    ("CAP_NET_RAW", "packets"),
    ("CAP_IPC_LOCK", "locked memory"),
    ("CAP_IPC_OWNER", "others' queues and shared memory"),
    ("CAP_SYS_MODULE", "kernel modules"),
    ("CAP_SYS_RAWIO", "hardware, and where files lie on disks"),
    ("CAP_SYS_CHROOT", "another root directory"),
    ("CAP_SYS_PTRACE", "other processes' memory"),
    ("CAP_SYS_PACCT", "accounting of processes"),
    ("CAP_SYS_ADMIN", "mounts, namespaces, swap and most else"),
    ("CAP_SYS_BOOT", "a reboot, the next kernel"),
    ("CAP_SYS_NICE", "priorities"),
    ("CAP_SYS_RESOURCE", "limits"),
    ("CAP_SYS_TIME", "clocks"),
    ("CAP_SYS_TTY_CONFIG", "hanging up the process's terminal"),
    ("CAP_MKNOD", "making devices"),
    ("CAP_LEASE", "leases on others' files"),
    ("CAP_AUDIT_WRITE", "writing to the audit log"),
    ("CAP_AUDIT_CONTROL", "rules of the audit log"),
    ("CAP_SETFCAP", "capabilities of files"),
    ("CAP_MAC_OVERRIDE", "exceptions from Smack's rules"),
    ("CAP_MAC_ADMIN", "rules of Smack and AppArmor"),
    ("CAP_SYSLOG", "the kernel's messages"),
    ("CAP_WAKE_ALARM", "waking the machine"),
    ("CAP_BLOCK_SUSPEND", "keeping the machine awake"),
    ("CAP_AUDIT_READ", "reading the audit log"),
    ("CAP_PERFMON", "counters of the processor"),
    ("CAP_BPF", "programs in the kernel"),
    ("CAP_CHECKPOINT_RESTORE", "what a checkpoint of a process needs"),
];
