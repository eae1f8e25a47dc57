// SPDX-License-Identifier: Apache-2.0
//! Assignment of sockets: which ones an app is started with.

use std::collections::{BTreeMap, BTreeSet};

use super::{App, Socket};
use crate::error::{Error, Result};
use crate::manifest::{PodPort, Port};
use crate::name::PortName;

/// The most sockets that a pod can be given: one message carries them and the caller's stdio (linux/net.h, SCM_MAX_FD:
/// 253).
const SOCKETS_MAX: usize = 250;

/// The host's ports by the names of the apps' ports.
pub(super) struct HostPorts {
    ports: BTreeMap<PortName, u16>,
    met: BTreeSet<PortName>,
    warnings: Vec<String>,
}

impl HostPorts {
    pub(super) fn none() -> Self {
        Self { ports: BTreeMap::new(), met: BTreeSet::new(), warnings: Vec::new() }
    }

    pub(super) fn new(list: &[PodPort]) -> Result<Self> {
        let mut all = Self::none();
        for PodPort { name, host_port } in list {
            if all.ports.insert(name.clone(), *host_port).is_some() {
                return Err(Error::new(format!("two ports {name} of the pod: expected distinct names")));
            }
        }
        Ok(all)
    }

    /// Returns the host's port for a port's first number, if the pod gives one.
    fn host_port(&mut self, port: &Port) -> Result<Option<u16>> {
        let Some(host_port) = self.ports.get(&port.name).copied() else { return Ok(None) };
        if !self.met.insert(port.name.clone()) {
            let name = &port.name;
            return Err(Error::new(format!(
                "port {name} of the pod: expected one app with a port of this name"
            )));
        }
        if !port.socket_activated && port.numbers().next() != Some(host_port) {
            self.warnings.push(format!(
                "hostPort {host_port} of port {} is not enforced: the pod has the host's network",
                port.name
            ));
        }
        Ok(Some(host_port))
    }

    /// Returns warnings about what is not enforced. A port that no app has is an error.
    pub(super) fn finish(self) -> Result<Vec<String>> {
        match self.ports.keys().find(|name| !self.met.contains(*name)) {
            Some(name) => {
                Err(Error::new(format!("port {name} of the pod: expected an app with a port of this name")))
            }
            None => Ok(self.warnings),
        }
    }
}

/// Returns the sockets for an app's ports. The pod has the host's network, so a socket listens at the host's port.
pub(super) fn sockets(ports: &[Port], host: &mut HostPorts) -> Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    let mut names = BTreeSet::new();
    for port in ports {
        let (name, protocol) = (&port.name, port.protocol);
        if !names.insert(name) {
            return Err(Error::new(format!("two ports {name}: expected distinct names")));
        }
        let moved = host.host_port(port)?;
        if !port.socket_activated {
            continue;
        }
        for (index, number) in port.numbers().enumerate() {
            let number = match moved {
                None => Some(number),
                Some(first) => u16::try_from(usize::from(first) + index).ok(),
            };
            let number = number.ok_or_else(|| {
                Error::new(format!("port {name}: its last hostPort is above 65535: expected 1 to 65535"))
            })?;
            sockets.push(Socket { name: name.clone(), protocol, port: number });
        }
    }
    Ok(sockets)
}

/// Checks that all of a pod's sockets can exist at the same time.
pub(super) fn check_distinct(apps: &[App]) -> Result<()> {
    let mut taken = BTreeMap::new();
    for (app, socket) in apps.iter().flat_map(|app| app.sockets.iter().map(move |socket| (app, socket))) {
        if let Some(other) = taken.insert((socket.protocol, socket.port), &app.name) {
            let (app, Socket { name, protocol, port }) = (&app.name, socket);
            return Err(Error::new(format!(
                "app {app}: port {name} is {protocol} {port}, as one of app {other}: expected distinct ports"
            )));
        }
    }
    if taken.len() > SOCKETS_MAX {
        return Err(Error::new(format!(
            "{} socket-activated ports: expected at most {SOCKETS_MAX}",
            taken.len()
        )));
    }
    Ok(())
}
