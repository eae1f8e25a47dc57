// SPDX-License-Identifier: Apache-2.0
//! The table: each system call of Linux stands in one group, with what an app may do with it and why.
//!
//! The build script turns the table into runs of call numbers (`runs.rs`), and fails where a call that the kernel's
//! own tables have is in no group or in two. A call that is newer than those tables is absent: `ENOSYS`.

/// The rule for a system call: what happens when an app makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The kernel decides.
    Allow,
    /// `EPERM`, whatever the app has.
    Deny,
    /// `ENOSYS`, as if the kernel had no such call: programs then take an older one.
    Absent,
    /// `EPERM`, unless the app has the capability.
    Needs(Capability),
    /// `ENOSYS`, unless the app has the capability.
    AbsentWithout(Capability),
    /// Its arguments decide.
    Check(Check),
}

/// Capabilities that a rule names, by their numbers (linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "capabilities(7) says what each is")]
pub enum Capability {
    DacReadSearch = 2,
    NetRaw = 13,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysTime = 25,
    SysTtyConfig = 26,
    Syslog = 34,
}

/// A condition on a call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// `clone`: no new namespace without `CAP_SYS_ADMIN` (flags: first argument).
    Clone,
    /// `unshare`: likewise, and none of time, whose flag `clone` has no room for.
    Unshare,
    /// `personality`: Linux, 32 bits of it, or a question; nothing that weakens the layout of memory.
    Personality,
    /// `socket`, `socketpair`: no `AF_ALG`, no `AF_VSOCK`, not the audit log; `AF_PACKET` with `CAP_NET_RAW`.
    Socket,
    /// `ioctl`: nothing that puts characters into a terminal's input.
    Ioctl,
}

impl Check {
    /// Says it to a person.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Clone | Self::Unshare => {
                "without flags for new namespaces, or with CAP_SYS_ADMIN; else `EPERM`"
            }
            Self::Personality => "for Linux, 32 bits of it, or to ask; else `EPERM`",
            Self::Socket => {
                "but for AF_ALG and AF_VSOCK (`EAFNOSUPPORT`), and AF_PACKET without CAP_NET_RAW (`EPERM`)"
            }
            Self::Ioctl => "but for TIOCSTI and TIOCLINUX: `EPERM`",
        }
    }
}

/// Calls with the same rule for the same reason.
#[derive(Debug)]
pub struct Group {
    /// The word for what these calls have in common.
    pub name: &'static str,
    /// Why they have the rule.
    pub why: &'static str,
    /// The rule.
    pub rule: Rule,
    /// Their names, parted by white space.
    pub calls: &'static str,
}

/// The table.
pub const GROUPS: &[Group] = &[
    Group {
        name: "files",
        why: "acts on files that the app's root and permissions give it",
        rule: Rule::Allow,
        calls: "
            _llseek access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3
            faccessat faccessat2 fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2
            fchown fchown32 fchownat fcntl fcntl64 fdatasync file_getattr file_setattr flock fstat fstat64 fstatat
            fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 lchown
            lchown32 link linkat lseek lstat lstat64 mkdir mkdirat name_to_handle_at newfstatat oldfstat oldlstat
            oldstat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readdir
            readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs
            statfs64 statx symlink symlinkat sync sync_file_range arm_sync_file_range sync_file_range2 syncfs tee
            truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes write writev cachestat",
    },
    Group {
        name: "extended attributes",
        why: "acts on files that permissions give the app; the kernel checks each name's namespace",
        rule: Rule::Allow,
        calls: "
            fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
            lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
    },
    Group {
        name: "waiting for files",
        why: "tells of events on descriptors and directories that the app has",
        rule: Rule::Allow,
        calls: "
            _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
            epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1
            inotify_rm_watch poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4
            timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64",
    },
    Group {
        name: "asynchronous input and output",
        why: "the older interface, which databases use; it does no more than read and write",
        rule: Rule::Allow,
        calls: "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit",
    },
    Group {
        name: "sockets",
        why: "acts on sockets of the pod's network; which kinds there may be is checked where they are made",
        rule: Rule::Allow,
        calls: "
            accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
            recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown",
    },
    Group {
        name: "sockets by one number",
        why: "32-bit programs of most distributions make sockets by no other call. What kind is asked for stands in \
              memory, where no filter can read it",
        rule: Rule::Allow,
        calls: "socketcall",
    },
    Group {
        name: "memory",
        why: "acts on the app's own memory; how much there may be is a matter of limits",
        rule: Rule::Allow,
        calls: "
            brk get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore mlock mlock2
            mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
            pkey_mprotect remap_file_pages set_mempolicy set_mempolicy_home_node",
    },
    Group {
        name: "processes",
        why: "acts on the app's own processes; the kernel checks whose others are",
        rule: Rule::Allow,
        calls: "
            arch_prctl breakpoint cacheflush capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu
            getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid
            getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32
            ioprio_get ioprio_set kill modify_ldt nice pause pidfd_open pidfd_send_signal pipe pipe2 prctl prlimit64
            process_mrelease process_vm_readv process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending
            rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
            rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
            sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
            sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area
            set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid
            setpriority set_tls setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
            setsid setuid setuid32 sigaction sigaltstack signal sigpending sigprocmask sigreturn sigsuspend tgkill
            tkill ugetrlimit vfork wait4 waitid waitpid",
    },
    Group {
        name: "locks between threads",
        why: "acts on words of memory that the app shares with itself",
        rule: Rule::Allow,
        calls: "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake",
    },
    Group {
        name: "queues, semaphores and shared memory",
        why: "the pod has an IPC namespace of its own",
        rule: Rule::Allow,
        calls: "
            ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
            mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
            semtimedop_time64 shmat shmctl shmdt shmget",
    },
    Group {
        name: "time",
        why: "asks what time it is, waits, or measures; adjtimex asks the kernel for CAP_SYS_TIME where it sets",
        rule: Rule::Allow,
        calls: "
            adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
            clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time
            timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
            times",
    },
    Group {
        name: "about the system",
        why: "says what any process may know",
        rule: Rule::Allow,
        calls: "getrandom listmount lsm_get_self_attr lsm_list_modules statmount sysinfo uname",
    },
    Group {
        name: "sandboxes of the app's own",
        why: "takes rights away from the caller, never gives any",
        rule: Rule::Allow,
        calls: "
            landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_set_self_attr seccomp",
    },
    Group {
        name: "probes",
        why: "the kernel itself puts these into a process that somebody traces, and checks where they come from; \
              refused, they would end the app",
        rule: Rule::Allow,
        calls: "uprobe uretprobe",
    },
    Group {
        name: "processes and threads, and what they share",
        why: "a new namespace needs CAP_SYS_ADMIN: in a user namespace of its own, a process has every capability, \
              and with it far more of the kernel",
        rule: Rule::Check(Check::Clone),
        calls: "clone",
    },
    Group {
        name: "leaving namespaces",
        why: "as clone",
        rule: Rule::Check(Check::Unshare),
        calls: "unshare",
    },
    Group {
        name: "clone with its flags in memory",
        why: "no filter can read them; C libraries take clone where there is no clone3",
        rule: Rule::AbsentWithout(Capability::SysAdmin),
        calls: "clone3",
    },
    Group {
        name: "personality",
        why: "other personalities turn off what makes attacks harder, such as random addresses",
        rule: Rule::Check(Check::Personality),
        calls: "personality",
    },
    Group {
        name: "making sockets",
        why: "AF_VSOCK knows no namespaces and reaches the machine's host; AF_ALG opens much of the kernel to \
              attacks; AF_PACKET reads what others send; \
              the audit log is the host's",
        rule: Rule::Check(Check::Socket),
        calls: "socket socketpair",
    },
    Group {
        name: "devices' own requests",
        why: "TIOCSTI and TIOCLINUX type for the person at the terminal",
        rule: Rule::Check(Check::Ioctl),
        calls: "ioctl",
    },
    Group {
        name: "making devices",
        why: "the kernel asks for CAP_MKNOD, and what is made opens nowhere in the pod. A volume of the host's should be \
              mounted nodev there",
        rule: Rule::Allow,
        calls: "mknod mknodat",
    },
    Group {
        name: "another root",
        why: "the kernel asks for the capability as well",
        rule: Rule::Needs(Capability::SysChroot),
        calls: "chroot",
    },
    Group {
        name: "mounts",
        why: "what an app has mounted is decided by its manifest",
        rule: Rule::Needs(Capability::SysAdmin),
        calls: "
            fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr pivot_root umount
            umount2",
    },
    Group {
        name: "namespaces of others",
        why: "an app stays in its own",
        rule: Rule::Needs(Capability::SysAdmin),
        calls: "setns",
    },
    Group {
        name: "names of the pod",
        why: "the pod's host name is the pod's, not an app's",
        rule: Rule::Needs(Capability::SysAdmin),
        calls: "setdomainname sethostname",
    },
    Group {
        name: "the kernel's own programs and counters",
        why: "bpf and perf are where many of the kernel's faults were; they see beyond the pod",
        rule: Rule::Needs(Capability::SysAdmin),
        calls: "bpf perf_event_open",
    },
    Group {
        name: "keys",
        why: "keyrings belong to a user id, not to a pod",
        rule: Rule::Needs(Capability::SysAdmin),
        calls: "add_key keyctl request_key",
    },
    Group {
        name: "quotas, swap and the whole system's files",
        why: "acts on the host's disks and memory, or watches all of a file system",
        rule: Rule::Needs(Capability::SysAdmin),
        calls: "fanotify_init lookup_dcookie quotactl quotactl_fd swapoff swapon",
    },
    Group {
        name: "files by handle",
        why: "a handle leads past directories, and so out of the app's root",
        rule: Rule::Needs(Capability::DacReadSearch),
        calls: "open_by_handle_at",
    },
    Group {
        name: "the kernel's messages",
        why: "they have addresses and what other pods do",
        rule: Rule::Needs(Capability::Syslog),
        calls: "syslog",
    },
    Group {
        name: "the machine's power and next kernel",
        why: "belongs to the host",
        rule: Rule::Needs(Capability::SysBoot),
        calls: "kexec_file_load kexec_load reboot",
    },
    Group {
        name: "kernel modules",
        why: "belongs to the host",
        rule: Rule::Needs(Capability::SysModule),
        calls: "create_module delete_module finit_module init_module",
    },
    Group {
        name: "the machine's clocks",
        why: "all processes of the host have the same",
        rule: Rule::Needs(Capability::SysTime),
        calls: "clock_settime clock_settime64 settimeofday stime",
    },
    Group {
        name: "accounting",
        why: "writes about all processes of the host",
        rule: Rule::Needs(Capability::SysPacct),
        calls: "acct",
    },
    Group {
        name: "ports of the machine",
        why: "reaches the hardware past the kernel",
        rule: Rule::Needs(Capability::SysRawio),
        calls: "ioperm iopl pciconfig_iobase pciconfig_read pciconfig_write",
    },
    Group {
        name: "terminals of others",
        why: "hangs up whoever else has the terminal",
        rule: Rule::Needs(Capability::SysTtyConfig),
        calls: "vhangup",
    },
    Group {
        name: "inside of other processes",
        why: "userfaultfd makes races in the kernel easy to win; the others look into processes and take what they \
              have open",
        rule: Rule::Needs(Capability::SysPtrace),
        calls: "kcmp pidfd_getfd process_madvise userfaultfd",
    },
    Group {
        name: "pages of other processes",
        why: "moves memory between the machine's nodes, and tells where it is",
        rule: Rule::Needs(Capability::SysNice),
        calls: "migrate_pages move_pages",
    },
    Group {
        name: "pages given away",
        why: "it was part of attacks, and programs have no need of it",
        rule: Rule::Deny,
        calls: "vmsplice",
    },
    Group {
        name: "the ring",
        why: "does what other calls do, past this filter; programs go on with those",
        rule: Rule::Absent,
        calls: "io_uring_enter io_uring_register io_uring_setup",
    },
    Group {
        name: "virtual machines of sixteen bits",
        why: "nothing but emulators of DOS has a use for them",
        rule: Rule::Absent,
        calls: "vm86 vm86old",
    },
    Group {
        name: "what was",
        why: "no kernel of today has them, or no program",
        rule: Rule::Absent,
        calls: "
            _sysctl afs_syscall bdflush break ftime get_kernel_syms getpmsg gtty idle lock mpx nfsservctl oldolduname
            olduname prof profil putpmsg query_module security sgetmask ssetmask stty sysfs tuxcall ulimit uselib
            ustat vserver",
    },
];
