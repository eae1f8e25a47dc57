// SPDX-License-Identifier: Apache-2.0
//! The network's sysctls, below /proc/sys/net. Those that are read or written are of the network namespace that the
//! process is in at that moment, whenever the directory was opened.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::Error;

/// The directory.
#[derive(Debug)]
pub struct Sysctls(OwnedFd);

impl Sysctls {
    /// Opens the directory of this mount namespace.
    ///
    /// # Errors
    /// Fails with the system's error.
    pub fn open() -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, "/proc/sys/net", flags, Mode::empty())
            .map(Self)
            .map_err(|errno| Error::Kernel { what: "open /proc/sys/net".into(), errno })
    }

    /// Tells whether a sysctl is there and is not 0.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.read(name).is_some_and(|value| value.trim() != "0")
    }

    /// Tells whether the host has IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        let is_off =
            |of: &str| self.read(&format!("ipv6/conf/{of}/disable_ipv6")).is_none_or(|off| off.trim() != "0");
        !is_off("all") && !is_off("default")
    }

    fn read(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        File::from(file).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Sets a sysctl.
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), Error> {
        let write = || -> Result<(), Errno> {
            let file = openat(&self.0, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            let written = File::from(file).write_all(value.as_bytes());
            written.map_err(|error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
        };
        let failed = |errno| {
            let name = name.replace('/', ".");
            Error::Kernel { what: format!("set net.{name} to {value}"), errno }
        };
        write().map_err(failed)
    }
}
