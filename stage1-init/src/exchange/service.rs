// SPDX-License-Identifier: Apache-2.0
//! Messages between a service manager and its service (sd_notify(3)): datagrams of lines, to the socket that
//! `$NOTIFY_SOCKET` names.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with};

/// The service is up.
pub(crate) const READY: &str = "READY=1";
/// The service is about to end.
pub(crate) const STOPPING: &str = "STOPPING=1";
/// The variable that names the socket.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// Connects to the service manager that has started this process; `None` if none waits for it.
pub(crate) fn manager() -> Result<Option<OwnedFd>> {
    let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else { return Ok(None) };
    let socket = datagrams()?;
    connect(&socket, &address(&name)?).with_context(|| format!("cannot reach {}", shown(&name)))?;
    Ok(Some(socket))
}

/// Makes the socket at which this process is the manager of another one.
pub(crate) fn listen(path: &str) -> Result<OwnedFd> {
    let socket = datagrams()?;
    bind(&socket, &SocketAddrUnix::new(path)?).with_context(|| format!("cannot bind {path}"))?;
    Ok(socket)
}

fn datagrams() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .context("cannot make a socket")
}

/// Reads an address: a path, or an abstract name after an `@`.
fn address(name: &OsStr) -> Result<SocketAddrUnix> {
    match name.as_bytes() {
        [b'/', ..] => Ok(SocketAddrUnix::new(name)?),
        [b'@', rest @ ..] => Ok(SocketAddrUnix::new_abstract_name(rest)?),
        _ => bail!("${VARIABLE} is {}: expected a path, or @ and a name", shown(name)),
    }
}

fn shown(name: &OsStr) -> String {
    pod::text::escape(&name.to_string_lossy())
}
