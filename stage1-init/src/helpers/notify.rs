// SPDX-License-Identifier: Apache-2.0
//! Tells the pod's systemd that an app's program is about to start (sd_notify(3)), where a caller of the pod waits for
//! that and the app doesn't say so itself. Such an app's unit is of `Type=notify`, and it is up from then on.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{SendFlags, send};

use super::OUT_OF_THE_WAY;
use crate::exchange::service;

/// The pod's systemd, as it waits for an app.
#[derive(Debug)]
pub(super) struct Systemd(OwnedFd);

impl Systemd {
    /// Connects to it, from the pod's root; `None` if it doesn't wait.
    pub(super) fn find() -> Result<Option<Self>> {
        let Some(socket) = service::manager().context("cannot reach the pod's systemd")? else {
            return Ok(None);
        };
        // Out of the way of the app's sockets.
        Ok(Some(Self(fcntl_dupfd_cloexec(socket, OUT_OF_THE_WAY)?)))
    }

    /// Tells it that the program is about to start.
    pub(super) fn tell_start(&self) {
        // If that fails, systemd ends the app when it has waited long enough.
        let _ = send(&self.0, service::READY.as_bytes(), SendFlags::NOSIGNAL);
    }
}
