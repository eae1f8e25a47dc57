// SPDX-License-Identifier: Apache-2.0
//! The system calls that unpacking needs. All others are refused with EPERM.
//!
//! A worker runs as user 0 and can see the host's processes, so calls that could affect another process (kill(2),
//! ptrace(2), prlimit(2), signals of fcntl(2), …) or reach rarely used parts of the kernel are refused, and so is any
//! other call that is not listed here.

use std::error::Error;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use syscalls::Sysno;

use crate::fault::{Result, Within as _};

/// linux/sched.h, `CLONE_THREAD`.
const CLONE_THREAD: u64 = 0x1_0000;
/// linux/prctl.h, `PR_SET_NAME`.
const PR_SET_NAME: u64 = 15;
/// fcntl.h: `F_GETFD`, `F_SETFD`, `F_GETFL`, `F_DUPFD_CLOEXEC`.
const OF_DESCRIPTORS: [u64; 4] = [1, 2, 3, 1030];

/// The calls for memory and threads that a confined process takes whatever it does.
pub const MEMORY_AND_THREADS: &[Sysno] = &[
    Sysno::brk,
    Sysno::mmap,
    Sysno::mremap,
    Sysno::munmap,
    Sysno::mprotect,
    Sysno::madvise,
    Sysno::futex,
    Sysno::gettid,
    Sysno::getpid,
    Sysno::set_tid_address,
    Sysno::set_robust_list,
    Sysno::rseq,
    Sysno::sched_yield,
    Sysno::sched_getaffinity,
    Sysno::rt_sigaction,
    Sysno::rt_sigprocmask,
    Sysno::rt_sigreturn,
    Sysno::restart_syscall,
    Sysno::sigaltstack,
    Sysno::clock_gettime,
    Sysno::clock_nanosleep,
    Sysno::nanosleep,
    Sysno::getrandom,
    Sysno::exit,
    Sysno::exit_group,
];

/// The further calls that are permitted with any arguments.
const PERMITTED: &[Sysno] = &[
    // Streams.
    Sysno::read,
    Sysno::readv,
    Sysno::pread64,
    Sysno::write,
    Sysno::writev,
    Sysno::lseek,
    // A hole at a file's end, and a record that is begun anew.
    Sysno::ftruncate,
    Sysno::close,
    Sysno::dup,
    Sysno::ppoll,
    // The tree. The root and openat2(2) restrict what can be reached.
    Sysno::openat,
    Sysno::openat2,
    Sysno::fstat,
    Sysno::newfstatat,
    Sysno::statx,
    Sysno::mkdirat,
    Sysno::mknodat,
    Sysno::symlinkat,
    Sysno::linkat,
    Sysno::fchmod,
    Sysno::fchmodat,
    Sysno::fchown,
    Sysno::fchownat,
    Sysno::utimensat,
    Sysno::fsetxattr,
    Sysno::fgetxattr,
    Sysno::flistxattr,
    Sysno::syncfs,
    // What a layer changes of the tree that lower layers made.
    Sysno::getdents64,
    Sysno::readlinkat,
    Sysno::unlinkat,
    Sysno::fremovexattr,
    // musl calls these although newer ones exist.
    #[cfg(target_arch = "x86_64")]
    Sysno::open,
    #[cfg(target_arch = "x86_64")]
    Sysno::poll,
];

/// Restricts this thread, and all threads that it starts, to the permitted calls.
pub(super) fn permit_only_what_unpacking_takes() -> Result<()> {
    done("cannot have the kernel take the filter", apply_filter(&filter()?))
}

fn filter() -> Result<BpfProgram> {
    let number = |call: Sysno| i64::from(call.id());
    let permitted = PERMITTED.iter().chain(MEMORY_AND_THREADS).map(|call| (number(*call), Vec::new()));
    // New threads only: no new process.
    let threads = argument(SeccompCmpOp::MaskedEq(CLONE_THREAD), 0, CLONE_THREAD)?;
    let names = argument(SeccompCmpOp::Eq, 0, PR_SET_NAME)?;
    let descriptors = OF_DESCRIPTORS.map(|command| argument(SeccompCmpOp::Eq, 1, command));
    let rules = permitted.chain([
        (number(Sysno::clone), vec![threads]),
        (number(Sysno::prctl), vec![names]),
        (number(Sysno::fcntl), descriptors.into_iter().collect::<Result<_>>()?),
    ]);
    let refused = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error().unsigned_abs());
    let arch = done("no filter for this architecture", TargetArch::try_from(std::env::consts::ARCH))?;
    let filter = SeccompFilter::new(rules.collect(), refused, SeccompAction::Allow, arch);
    done("cannot compile the filter", done("cannot make the filter", filter)?.try_into())
}

/// Makes a rule that matches calls whose argument `index` compares with `value` as `is` says.
fn argument(is: SeccompCmpOp, index: u8, value: u64) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, is, value);
    done("no rule", SeccompRule::new(vec![done("no condition", condition)?]))
}

/// Says which step of making the filter failed.
fn done<T, E: Error + Send + Sync + 'static>(about: &str, step: Result<T, E>) -> Result<T> {
    step.map_err(io::Error::other).within(|| about)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind;
    use std::net::UdpSocket;
    use std::process::Command;

    use rustix::process::{
        DumpableBehavior, Resource, Rlimit, getpid, prlimit, set_dumpable_behavior, test_kill_process,
    };

    use super::*;

    #[test]
    fn nothing_reaches_another_process() {
        // A filter applies to its thread alone.
        let thread = std::thread::spawn(|| {
            permit_only_what_unpacking_takes().unwrap();
            assert_eq!(test_kill_process(getpid()), Err(rustix::io::Errno::PERM));
            let none = Rlimit { current: None, maximum: None };
            assert_eq!(prlimit(None, Resource::Core, none).unwrap_err(), rustix::io::Errno::PERM);
            assert_eq!(
                rustix::fs::fcntl_setfl(File::open("/").unwrap(), rustix::fs::OFlags::ASYNC),
                Err(rustix::io::Errno::PERM)
            );
            assert_eq!(
                set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap_err(),
                rustix::io::Errno::PERM
            );
            assert_eq!(UdpSocket::bind("127.0.0.1:0").unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert!(Command::new("/proc/self/exe").spawn().is_err());
            std::thread::Builder::new().name("named".into()).spawn(|| 7).unwrap().join().unwrap()
        });
        assert_eq!(thread.join().unwrap(), 7);
    }
}
