// SPDX-License-Identifier: Apache-2.0
//! Confines the service: it gives up its user, its capabilities and most system calls, since answering needs none of
//! them.

use anyhow::{Context as _, Result};
use filter::{List, of_list};
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use sys::process::set_filter;

use sys::rights::drop_from_bounding_set;

/// The system calls that the service may make: it accepts connections, reads and writes them, waits, allocates, and ends.
const CALLS: [i64; 21] = [
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_write,
    POLL,
];
#[cfg(target_arch = "x86_64")]
const POLL: i64 = libc::SYS_poll;
#[cfg(not(target_arch = "x86_64"))]
const POLL: i64 = libc::SYS_ppoll;

/// Confines this process, which is the pod's root, to this user.
pub(super) fn confine(user: u32) -> Result<()> {
    drop_from_bounding_set(CapabilitySet::empty()).context("cannot drop capabilities for good")?;
    set_no_new_privs(true)?;
    set_thread_groups(&[])?;
    // CAP_SYS_PTRACE is kept until the process is not dumpable: until then it keeps apps from looking into it.
    set_keep_capabilities(true)?;
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // The change of user may have made it dumpable (prctl(2), PR_SET_DUMPABLE).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_keep_capabilities(false)?;
    let calls: Vec<u32> = CALLS.iter().filter_map(|call| u32::try_from(*call).ok()).collect();
    Ok(set_filter(&mut of_list(&List { retain: true, calls: &calls, errno: None }))?)
}
