// SPDX-License-Identifier: Apache-2.0
//! Tells the service manager that has started the pod how it goes (sd_notify(3), `Type=notify` in systemd.service(5)):
//! that the apps are up, that the pod stops, and its exit code. Nothing in the pod ever has the manager's socket.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use anyhow::Result;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::exchange::service::{READY, STOPPING, manager};
use crate::failure::warn;

/// The longest message of nspawn's: it passes on what the pod's systemd says of itself.
const MESSAGE_MAX: usize = 4096;

/// The caller's service manager, if it waits for this process.
#[derive(Debug)]
pub(crate) struct Notify(Option<OwnedFd>);

impl Notify {
    /// Connects to it while this process is in the caller's mount namespace. That it can't be reached is a warning:
    /// the pod runs without.
    pub(crate) fn of_caller() -> Result<Self> {
        Ok(Self(manager().unwrap_or_else(|error| {
            warn(&format!("the service manager is not told how the pod goes: {error:#}"));
            None
        })))
    }

    /// Returns the number of its descriptor.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        self.0.as_ref().map(|socket| socket.as_raw_fd())
    }

    /// Tells that the apps are up.
    pub(crate) fn tell_ready(&self) {
        self.tell(&format!("{READY}\nSTATUS=The apps are up"));
    }

    /// Tells that the pod stops.
    pub(crate) fn tell_stop(&self) {
        self.tell(&format!("{STOPPING}\nSTATUS=The pod stops"));
    }

    /// Tells the code that this process is about to end with.
    pub(crate) fn tell_end(&self, code: u8) {
        self.tell(&format!("{STOPPING}\nEXIT_STATUS={code}\nSTATUS=The pod has ended with {code}"));
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.0 {
            // It is lost if the manager has no room: the pod waits for no process outside of it.
            let _ = send(socket, message.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }
}

/// Tells whether nspawn has said that the apps are up. Reads one message, if there is any.
pub(crate) fn is_up(socket: &OwnedFd) -> bool {
    let mut message = [0; MESSAGE_MAX];
    let Ok((count, _)) = recv(socket, &mut message[..], RecvFlags::DONTWAIT) else { return false };
    message[..count].split(|byte| *byte == b'\n').any(|line| line == READY.as_bytes())
}
