// SPDX-License-Identifier: Apache-2.0
//! The system calls that `--call NAME` makes.

use std::fmt::{self, Debug};
use std::fs::{self, OpenOptions};
use std::process::ExitCode;

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknod};
use nix::sys::utsname::uname;
use nix::unistd::{chdir, chroot, getcwd, getpid, linkat, sethostname, unlink};
use serde::Deserialize;

/// Makes a call and undoes its effects.
type Make = fn() -> nix::Result<()>;

/// The calls by their names.
const CALLS: [(&str, Make); 13] = [
    ("chroot", || chroot("/")),
    ("getcwd", || getcwd().map(drop)),
    ("kill0", || kill(getpid(), None)),
    ("leave_root", leave_root),
    ("link", make_link),
    ("mkdir", make_directory),
    ("mknod", make_node),
    ("mount", mount_tmpfs),
    // The names of host and domain are set to what they are already: a UTS namespace may be shared.
    ("setdomainname", || rustix::system::setdomainname(&own("domainname")?).map_err(errno)),
    ("sethostname", || sethostname(String::from_utf8_lossy(&own("hostname")?).as_ref())),
    ("socket_raw", open_raw_socket),
    ("uname", || uname().map(drop)),
    ("unshare", || unshare(CloneFlags::CLONE_NEWUTS)),
];

/// One of [`CALLS`], by its index.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct Call(usize);

impl Call {
    pub(crate) fn name(self) -> &'static str {
        CALLS[self.0].0
    }
}

impl TryFrom<String> for Call {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = CALLS.iter().position(|(known, _)| *known == name);
        known.map(Self).ok_or_else(|| format!("{name:?} is not a call known here"))
    }
}

impl Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(formatter)
    }
}

/// Makes a call in this process. The exit code is its error's number, or 0; Linux's error numbers are below 256.
///
/// # Errors
/// Fails if no call has this name.
pub(crate) fn make(name: &str) -> Result<ExitCode> {
    let Call(index) = Call::try_from(name.to_owned()).map_err(anyhow::Error::msg)?;
    let (_, call) = CALLS[index];
    let number = call().map_or_else(|errno| errno as i32, |()| 0);
    Ok(ExitCode::from(u8::try_from(number).unwrap_or(u8::MAX)))
}

fn make_directory() -> nix::Result<()> {
    let path = "/tmp/conformance-dir";
    mkdirat(AT_FDCWD, path, Mode::S_IRWXU)?;
    fs::remove_dir(path).map_err(|error| number(&error))
}

/// Both names are in one directory, so that no mount point is between them.
fn make_link() -> nix::Result<()> {
    let (path, link) = ("/tmp/conformance-file", "/tmp/conformance-link");
    OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(|error| number(&error))?;
    let linked = linkat(AT_FDCWD, path, AT_FDCWD, link, AtFlags::empty());
    unlink(path)?;
    linked.and_then(|()| unlink(link))
}

/// Leaves a chroot: enters another one with the working directory outside, and goes up from there. The way leads to
/// where the pod has its apps; ENOENT means that all ways up end in the app's own root.
fn leave_root() -> nix::Result<()> {
    let path = "/tmp/conformance-root";
    mkdirat(AT_FDCWD, path, Mode::S_IRWXU)?;
    chroot(path)?;
    for _ in 0..64 {
        chdir("..")?;
    }
    chroot(".")?;
    fs::remove_dir(path).map_err(|error| number(&error))?;
    fs::metadata("/apps").map(drop).map_err(|error| number(&error))
}

/// A node like /dev/null.
fn make_node() -> nix::Result<()> {
    let path = "/tmp/conformance-node";
    mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 3))?;
    unlink(path)
}

fn mount_tmpfs() -> nix::Result<()> {
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    umount("/tmp")
}

fn open_raw_socket() -> nix::Result<()> {
    socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp).map(drop)
}

/// Reads the name of the host or domain. uname(2) may be denied.
fn own(name: &str) -> nix::Result<Vec<u8>> {
    let mut name = fs::read(format!("/proc/sys/kernel/{name}")).map_err(|error| number(&error))?;
    name.pop_if(|last| *last == b'\n');
    Ok(name)
}

fn number(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}
