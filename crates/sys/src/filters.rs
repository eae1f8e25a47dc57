// SPDX-License-Identifier: Apache-2.0
//! The programs that filter another process's system calls, as the kernel has them: seccomp(2), ptrace(2).
#![allow(unsafe_code, reason = "no safe wrapper exists")]

use std::io;

use libc::sock_filter;
use nix::errno::Errno;
use rustix::process::Pid;

/// ptrace(2), `PTRACE_SECCOMP_GET_FILTER` (linux/ptrace.h).
const GET_FILTER: libc::c_long = 0x420c;

/// Returns the programs, in the order in which they were set. The process must be one that this thread traces and that is stopped.
///
/// # Errors
/// Returns the system's error; this process needs CAP_SYS_ADMIN and no filter of its own.
pub fn of(process: Pid) -> io::Result<Vec<Vec<sock_filter>>> {
    let mut all = Vec::new();
    // The kernel counts from the one that was set first (kernel/seccomp.c, `get_nth_filter`).
    while let Some(length) = get(process, all.len(), std::ptr::null_mut())? {
        // All zero is an instruction.
        let mut program = vec![sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length];
        get(process, all.len(), program.as_mut_ptr())?;
        all.push(program);
    }
    Ok(all)
}

/// Returns the length of a program, and copies it, unless `to` is null; `None` if there is no such program.
fn get(process: Pid, index: usize, to: *mut sock_filter) -> io::Result<Option<usize>> {
    let process = process.as_raw_nonzero().get();
    // SAFETY: `to` is null, or has room for the program, whose length the kernel has said; a program never changes.
    match Errno::result(unsafe { libc::syscall(libc::SYS_ptrace, GET_FILTER, process, index, to) }) {
        Ok(length) => Ok(Some(usize::try_from(length).map_err(io::Error::other)?)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
