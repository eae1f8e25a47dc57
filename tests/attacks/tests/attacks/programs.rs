// SPDX-License-Identifier: Apache-2.0
//! Programs of the attackers' image that make calls which no safe function makes. They are in its directory `calls`.

use testing::few_calls::{self, Argument::Data, Argument::Last, Argument::Number as N, Call};
use testing::one_call::{Argument, Entry, program as one_call};
use testing::rootfs::Node;

/// `CLONE_NEWUSER` (linux/sched.h).
const NEW_USER: u32 = 0x1000_0000;
/// `ADDR_NO_RANDOMIZE` (linux/personality.h).
const NO_RANDOM_ADDRESSES: u32 = 0x4_0000;
/// `KEYCTL_JOIN_SESSION_KEYRING` (linux/keyctl.h).
const JOIN_KEYRING: u32 = 1;
/// `SYSLOG_ACTION_SIZE_BUFFER` (syslog(2)).
const SIZE_OF_THE_LOG: u32 = 10;
/// `UFFD_USER_MODE_ONLY` (linux/userfaultfd.h), which asks for nothing that is root's alone.
const USER_MODE_ONLY: u32 = 1;

/// Calls with their numbers (asm/unistd_64.h, asm/unistd_32.h) and first arguments. The others are zero.
const ONE: [(&str, Entry, u32, Argument); 17] = [
    ("clone", Entry::Syscall, 56, Argument::Number(NEW_USER)),
    ("clone3", Entry::Syscall, 435, Argument::CloneArgs(NEW_USER as u64)),
    ("unshare", Entry::Syscall, 272, Argument::Number(NEW_USER)),
    ("i386-clone", Entry::Int80, 120, Argument::Number(NEW_USER)),
    ("i386-clone3", Entry::Int80, 435, Argument::CloneArgs(NEW_USER as u64)),
    ("i386-unshare", Entry::Int80, 310, Argument::Number(NEW_USER)),
    ("io_uring_setup", Entry::Syscall, 425, Argument::Number(1)),
    ("join_keyring", Entry::Syscall, 250, Argument::Number(JOIN_KEYRING)),
    ("personality", Entry::Syscall, 135, Argument::Number(NO_RANDOM_ADDRESSES)),
    ("syslog", Entry::Syscall, 103, Argument::Number(SIZE_OF_THE_LOG)),
    ("i386-join_keyring", Entry::Int80, 288, Argument::Number(JOIN_KEYRING)),
    ("i386-personality", Entry::Int80, 136, Argument::Number(NO_RANDOM_ADDRESSES)),
    ("i386-socketcall", Entry::Int80, 102, Argument::Number(1)),
    ("landlock", Entry::Syscall, 444, Argument::Number(0)),
    ("mlockall", Entry::Syscall, 151, Argument::Number(1)),
    ("pkey_alloc", Entry::Syscall, 330, Argument::Number(0)),
    ("userfaultfd", Entry::Syscall, 323, Argument::Number(USER_MODE_ONLY)),
];

/// Calls, one after the other: a name, data, the calls.
type Few = (&'static str, &'static [&'static [u8]], &'static [Call<'static>]);

/// Calls that attack by more than their first argument.
const FEW: [Few; 8] = [
    ("io_uring", &[&[0; 120]], &[(425, &[N(1), Data(0)])]),
    // The parent's memory is compared with that of process 1: KCMP_VM.
    ("kcmp", &[], &[(110, &[]), (312, &[Last, N(1), N(1)])]),
    ("vmsplice", &[], &[(278, &[N(1)])]),
    // TIOCSTI types what continues output: it isn't shown.
    ("type", &[b"\x11"], &[(16, &[N(1), N(0x5412), Data(0)])]),
    // open_by_handle_at: /dev by its handle, whose size stands before it (struct file_handle).
    (
        "handle",
        &[b"/dev\0", &HANDLE, &[0; 8]],
        &[(303, &[N(AT_FDCWD), Data(0), Data(1), Data(2)]), (2, &[Data(0)]), (304, &[Last, Data(1)])],
    ),
    ("packets", &[], &[(41, &[N(17), N(3), N(0x300)])]),
    ("raw-socket", &[], &[(41, &[N(2), N(3), N(1)])]),
    ("audit", &[], &[(41, &[N(16), N(3), N(9)])]),
];

/// `AT_FDCWD` (fcntl.h).
const AT_FDCWD: u64 = -100_i64 as u64;
/// A `struct file_handle` with room for 128 bytes, the most there is.
const HANDLE: [u8; 136] = {
    let mut handle = [0; 136];
    handle[0] = 128;
    handle
};

/// Calls whose permission is asked for before anything happens: by their arguments, nothing can. Others have no effect
/// but on the process, which ends, or on files of the test's own.
const RIGHTS: [Few; 33] = [
    ("chown", &[OWN], &[(92, &[Data(0), N(7), N(7)])]),
    ("open-to-write", &[CLOSED], &[(2, &[Data(0), N(1)])]),
    ("open-to-read", &[CLOSED], &[(2, &[Data(0)])]),
    ("chmod", &[OTHERS], &[(90, &[Data(0), N(0o444)])]),
    ("setgid", &[], &[(106, &[N(7)])]),
    ("setuid", &[], &[(105, &[N(7)])]),
    // PR_CAPBSET_DROP
    ("drop-bounding-set", &[], &[(157, &[N(24)])]),
    // FS_IOC_SETFLAGS, FS_APPEND_FL, of a file without a name (O_TMPFILE) in memory.
    (
        "set-append-only",
        &[b"/dev/shm\0", &[0x20, 0, 0, 0, 0, 0, 0, 0]],
        &[(2, &[Data(0), N(0x41_0002), N(0o600)]), (16, &[Last, N(0x4008_6602), Data(1)])],
    ),
    (
        "bind-low-port",
        &[&[2, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
        &[(41, &[N(2), N(1)]), (49, &[Last, Data(0), N(16)])],
    ),
    // SIOCSIFMTU of lo to what it is.
    ("configure-link", &[&LINK], &[(41, &[N(2), N(1)]), (16, &[Last, N(0x8922), Data(0)])]),
    // RLIMIT_MEMLOCK
    ("mlock", &[&[0; 16]], &[(160, &[N(8), Data(0)]), (149, &[Data(0), N(1)])]),
    // IPC_STAT of a queue that nobody may read.
    ("msgctl", &[&[0; 256]], &[(68, &[]), (71, &[Last, N(2), Data(0)])]),
    ("init_module", &[b"\0"], &[(175, &[N(0), N(0), Data(0)])]),
    // FIBMAP
    ("fibmap", &[OWN, &[0; 8]], &[(2, &[Data(0)]), (16, &[Last, N(1), Data(1)])]),
    ("chroot", &[b"/tmp\0"], &[(161, &[Data(0)])]),
    ("acct", &[NONE], &[(163, &[Data(0)])]),
    ("sethostname", &[b"pod"], &[(170, &[Data(0), N(3)])]),
    ("mount", &[b"none\0", b"/tmp\0", b"tmpfs\0"], &[(165, &[Data(0), Data(1), Data(2)])]),
    ("swapon", &[NONE], &[(167, &[Data(0)])]),
    // Not the kernel's magic numbers.
    ("reboot", &[], &[(169, &[N(0), N(0), N(0)])]),
    // More segments than there can be, and no flags that there are.
    ("kexec_load", &[], &[(246, &[N(0), N(1000), N(0), N(0xffff)])]),
    ("setpriority", &[], &[(141, &[N(0), N(0), N(u32::MAX as u64)])]),
    // RLIMIT_CORE: down, and up again.
    (
        "raise-limit",
        &[&[0; 16], &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
        &[(160, &[N(4), Data(0)]), (160, &[N(4), Data(1)])],
    ),
    // Neither a time nor a time zone.
    ("settimeofday", &[], &[(164, &[])]),
    ("vhangup", &[], &[(153, &[])]),
    ("mknod", &[b"/tmp/made\0"], &[(133, &[Data(0), N(0o020_600), N(0x103)])]),
    // F_SETLEASE, F_RDLCK
    ("lease", &[OTHERS], &[(2, &[Data(0)]), (72, &[Last, N(1024)])]),
    (
        "set-file-capability",
        &[OWN, b"security.capability\0", &FILE_CAPABILITY],
        &[(188, &[Data(0), Data(1), Data(2), N(20)])],
    ),
    // SYSLOG_ACTION_SIZE_UNREAD
    ("read-log", &[], &[(103, &[N(9)])]),
    // CLOCK_REALTIME_ALARM
    ("timer-that-wakes", &[], &[(283, &[N(8)])]),
    // PERF_TYPE_SOFTWARE, of all processes on the first CPU.
    ("perf_event_open", &[&PERF], &[(298, &[Data(0), N(u64::MAX), N(0), N(u64::MAX)])]),
    // BPF_MAP_CREATE, BPF_MAP_TYPE_LRU_HASH
    ("bpf", &[&[9, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]], &[(321, &[N(0), Data(0), N(16)])]),
    ("bind-audit", &[&AUDIT], &[(41, &[N(16), N(3), N(9)]), (49, &[Last, Data(0), N(12)])]),
];

/// A file of root's.
const OWN: &[u8] = b"/files/own\0";
/// A file of another user's that nobody may open.
const CLOSED: &[u8] = b"/files/closed\0";
/// A file of another user's that everybody may read.
const OTHERS: &[u8] = b"/files/others\0";
/// No file.
const NONE: &[u8] = b"/files/none\0";
/// A `struct ifreq` with the size of packets: 65536.
const LINK: [u8; 40] = {
    let mut request = [0; 40];
    (request[0], request[1]) = (b'l', b'o');
    request[18] = 1;
    request
};
/// A `struct vfs_cap_data` of version 2: CAP_NET_RAW.
const FILE_CAPABILITY: [u8; 20] = {
    let mut capability = [0; 20];
    (capability[3], capability[5]) = (2, 0x20);
    capability
};
/// A `struct perf_event_attr` of the first version.
const PERF: [u8; 64] = {
    let mut attributes = [0; 64];
    (attributes[0], attributes[4]) = (1, 64);
    attributes
};
/// A `struct sockaddr_nl` in the group that reads the audit log.
const AUDIT: [u8; 12] = [16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];

/// Returns all programs by their names.
pub(crate) fn programs() -> Vec<(String, Vec<u8>)> {
    let one = ONE.iter().map(|(name, entry, number, argument)| {
        let Node::File(_, content) = one_call(*entry, *number, *argument) else { unreachable!() };
        ((*name).to_owned(), content)
    });
    let few = FEW.iter().chain(&RIGHTS);
    one.chain(few.map(|(name, data, calls)| ((*name).to_owned(), few_calls::program(data, calls)))).collect()
}
