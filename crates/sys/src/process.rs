// SPDX-License-Identifier: Apache-2.0
//! A process, its end and its signals, as far as no safe wrapper exists.
#![allow(unsafe_code, reason = "each call is sound for the reason that stands beside it")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
// rustix has no fork.
pub use nix::unistd::ForkResult;
use rustix::process::Pid;

/// This program's file, even if it was replaced or removed meanwhile.
pub const PROGRAM: &str = "/proc/self/exe";
/// How many signals there are (signal(7)).
const SIGNALS: i64 = 64;
/// A flag of clone3(2) (linux/sched.h), which the libc crate doesn't have for every C library.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Forks this process: fork(2). The process must have one thread.
///
/// # Errors
/// Returns the system's error.
pub fn fork() -> io::Result<ForkResult> {
    // SAFETY: the process has one thread, so the child may go on as the parent would.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// Forks this process, with the child in a cgroup from its first moment on: clone3(2), `CLONE_INTO_CGROUP`. The process must
/// have one thread.
///
/// To move a process, the kernel waits until no processor can be making another one in the old cgroup, which takes
/// milliseconds.
///
/// # Errors
/// Returns the system's error; `ENOSYS` or `EPERM` where a filter doesn't allow the call.
pub fn fork_into(cgroup: impl AsFd) -> io::Result<ForkResult> {
    let descriptor = u64::try_from(cgroup.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?;
    // SAFETY: all zero is a valid value: no flags, no pointers.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    arguments.cgroup = descriptor;
    // SAFETY: the memory is copied as by fork(2), and the process has one thread, so the child may go on as the parent would.
    // The C library doesn't know of the child: it may have cached the parent's thread id, which counts for threads and locks
    // alone.
    let id = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    match i32::try_from(Errno::result(id)?) {
        Ok(0) => Ok(ForkResult::Child),
        Ok(child) => Ok(ForkResult::Parent { child: nix::unistd::Pid::from_raw(child) }),
        Err(_) => Err(Errno::EINVAL.into()),
    }
}

/// Blocks every signal that can be blocked, in this thread.
///
/// # Errors
/// Returns the system's error.
pub fn block_signals() -> io::Result<()> {
    Ok(SigSet::all().thread_block()?)
}

/// Sends a signal that may have no name: kill(2).
///
/// # Errors
/// Returns the system's error.
pub fn send(process: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: it takes two numbers.
    Ok(Errno::result(unsafe { libc::kill(process.as_raw_nonzero().get(), signal) }).map(drop)?)
}

/// Sends a signal that may have no name to the process that a descriptor is of: pidfd_send_signal(2).
///
/// # Errors
/// Returns the system's error: `ESRCH` if that process has ended and was waited for.
pub fn send_by(process: impl AsFd, signal: i32) -> io::Result<()> {
    let process = process.as_fd().as_raw_fd();
    // SAFETY: it takes numbers, and no information to send along.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process, signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    Ok(Errno::result(sent).map(drop)?)
}

/// Gives every signal its default action again, which exec keeps.
///
/// Rust's runtime ignores SIGPIPE, and callers may have ignored any signal. This calls the kernel directly, since C
/// libraries hide a few signals that exec passes on all the same.
///
/// SIGPIPE is the exception until a program is executed: it does nothing, so that a message without a reader doesn't
/// end this process. It has a handler, because exec keeps ignored and blocked signals but removes handlers
/// (execve(2)).
pub fn default_signals() {
    // All zero: SIG_DFL, no flags, an empty mask (rt_sigaction(2)).
    let action = [0_u64; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: `action` is as large as the kernel's structure; the default action runs no code of this process.
        // Signals whose action can't be set, SIGKILL and SIGSTOP, have their default already.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const action,
                std::ptr::null::<u8>(),
                SIGNALS / 8,
            );
        }
    }
    let ignored = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing, which is safe at any moment. It can't fail for this signal.
    let _ = unsafe { sigaction(Signal::SIGPIPE, &ignored) };
}

extern "C" fn nothing(_signal: i32) {}

/// Filters this process's system calls from here on: seccomp(2).
///
/// # Errors
/// Fails if the program is too long, and with the system's error.
pub fn set_filter(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `program` is as long as it says and outlives the call, which copies it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process immediately, by one system call that every filter allows.
pub fn exit_at_once(code: u8) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}
