// SPDX-License-Identifier: Apache-2.0
//! The system calls for which no safe wrapper exists; the only unsafe code in Gantry.
#![allow(unsafe_code, reason = "this is the module it is confined to")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;
use nix::unistd::ForkResult;
use rustix::mount::MountAttrFlags;

/// The first descriptor of the socket activation protocol (sd_listen_fds(3), `SD_LISTEN_FDS_START`).
const LISTEN_FD: i32 = 3;

/// fork(2).
pub(crate) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this program has one thread, so the child may go on as the parent would.
    unsafe { nix::unistd::fork() }
}

/// Moves `fd` to where socket activation passes the first descriptor, to survive exec.
pub(crate) fn pass_as_listen_fd(fd: impl AsFd) -> nix::Result<()> {
    // SAFETY: the new descriptor is given away at once; what stood there is nobody's after `close_inherited`.
    unsafe { nix::unistd::dup2_raw(fd, LISTEN_FD) }.map(|passed| {
        let _ = std::os::fd::IntoRawFd::into_raw_fd(passed);
    })
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

/// Takes the three descriptors that a message brought.
pub(crate) fn own(received: &[i32]) -> io::Result<[OwnedFd; 3]> {
    let three: [i32; 3] = received.try_into().map_err(|_| io::Error::other("expected three descriptors"))?;
    // SAFETY: recvmsg(2) opened them for this process, and nothing else knows them.
    Ok(three.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sets attributes (`MOUNT_ATTR_*`) on a mount and all below it: mount_setattr(2).
pub(crate) fn set_attributes(mount: impl AsFd, attributes: MountAttrFlags) -> io::Result<()> {
    let attr_set = u64::from(attributes.bits());
    let attr = libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a NUL-terminated empty string and `attr` outlives the call, with its own size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
