// SPDX-License-Identifier: Apache-2.0
//! The system calls for which no safe wrapper exists; the only unsafe code in Gantry.
#![allow(unsafe_code, reason = "this is the module it is confined to")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid};
use rustix::mount::MountAttrFlags;

/// The first descriptor of the socket activation protocol (sd_listen_fds(3), `SD_LISTEN_FDS_START`).
const LISTEN_FD: i32 = 3;
/// How many signals there are (signal(7)).
const SIGNALS: i64 = 64;

/// Forks this process: fork(2).
pub(crate) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this program has one thread, so the child may go on as the parent would.
    unsafe { nix::unistd::fork() }
}

/// Sends a signal that may have no name: kill(2).
pub(crate) fn send(process: Pid, signal: i32) -> nix::Result<()> {
    // SAFETY: it takes two numbers.
    Errno::result(unsafe { libc::kill(process.as_raw(), signal) }).map(drop)
}

/// Returns the device number of a terminal, whatever name it was opened by: `TIOCGDEV` (linux/tty_io.c).
pub(crate) fn terminal_device(terminal: impl AsFd) -> nix::Result<u32> {
    let mut device = 0_u32;
    // SAFETY: the call writes a number of this size, or nothing.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGDEV as _, &raw mut device) };
    Errno::result(result).map(|_| device)
}

/// Copies `fds` to the numbers that socket activation uses, so that they survive exec.
///
/// Nothing else may be open at these numbers.
pub(crate) fn pass_as_listen_fds(fds: &[impl AsFd]) -> nix::Result<()> {
    for (fd, number) in fds.iter().zip(LISTEN_FD..) {
        // SAFETY: the new descriptor is given away at once, and nothing uses what was open at its number.
        let passed = unsafe { nix::unistd::dup2_raw(fd, number) }?;
        let _ = std::os::fd::IntoRawFd::into_raw_fd(passed);
    }
    Ok(())
}

/// Takes the first descriptor passed by socket activation.
pub(crate) fn take_listen_fd() -> nix::Result<OwnedFd> {
    nix::fcntl::fcntl(borrow(LISTEN_FD), nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, as F_SETFD showed, and this is called once, before anything else opens a file.
    Ok(unsafe { OwnedFd::from_raw_fd(LISTEN_FD) })
}

fn borrow(fd: i32) -> BorrowedFd<'static> {
    // SAFETY: the number is not −1, and the borrow is used for one call that fails where nothing is open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Takes ownership of the descriptors that a message brought.
pub(crate) fn own(received: &[i32]) -> Vec<OwnedFd> {
    // SAFETY: recvmsg(2) opened them for this process, and nothing else knows them.
    received.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }).collect()
}

/// Gives every signal its default action again, which exec keeps.
///
/// Rust's runtime ignores SIGPIPE, and callers may have ignored any signal. This calls the kernel directly, since C
/// libraries hide a few signals that exec passes on all the same.
///
/// SIGPIPE is the exception until a program is executed: it does nothing, so that a message without a reader doesn't
/// end this process. It has a handler, because exec keeps ignored and blocked signals but removes handlers
/// (execve(2)).
pub(crate) fn default_signals() {
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
pub(crate) fn set_filter(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::other("the filter is too long"))?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `program` is as long as it says and outlives the call, which copies it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends this process immediately, by one system call that every filter allows.
pub(crate) fn exit_at_once(code: u8) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

/// The mounts that an attribute is set on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Only the mount itself.
    One,
    /// The mount and all mounts below it.
    All,
}

/// Sets attributes (`MOUNT_ATTR_*`) on a mount, and makes it private: mount_setattr(2).
pub(crate) fn set_attributes(mount: impl AsFd, attributes: MountAttrFlags, depth: Depth) -> io::Result<()> {
    let attr_set = u64::from(attributes.bits());
    let attr = libc::mount_attr { attr_set, attr_clr: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if depth == Depth::All { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated empty string and `attr` outlives the call, with its own size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
