// SPDX-License-Identifier: Apache-2.0
//! Assignment of sockets: which ones an app is started with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{App, Socket};
use crate::error::{Error, Result};
use crate::manifest::{PodPort, Port};
use crate::name::PortName;
use crate::network::{Mode, Published, check_distinct};

/// The most sockets that a pod can be given: one message carries them and the caller's stdio (linux/net.h, SCM_MAX_FD:
/// 253).
const SOCKETS_MAX: usize = 250;

/// The most ports that a pod can publish: each takes two descriptors and a rule for each protocol.
const PUBLISHED_MAX: usize = 250;

/// The pod's ports on the host, by the names of the apps' ports.
pub(super) struct HostPorts {
    mode: Mode,
    ports: BTreeMap<PortName, (u16, Option<IpAddr>)>,
    met: BTreeSet<PortName>,
    published: Vec<Published>,
    warnings: Vec<String>,
}

impl HostPorts {
    pub(super) fn none() -> Self {
        let (mode, ports, met) = (Mode::Host, BTreeMap::new(), BTreeSet::new());
        Self { mode, ports, met, published: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn new(list: &[PodPort], mode: Mode) -> Result<Self> {
        let mut all = Self { mode, ..Self::none() };
        let mut names = BTreeSet::new();
        for PodPort { name, host_port, host_ip, pod_port } in list {
            if !names.insert(name) {
                return Err(Error::new(format!("two ports {name} of the pod: expected distinct names")));
            }
            match pod_port {
                None => drop(all.ports.insert(name.clone(), (*host_port, *host_ip))),
                Some(port) => all.publish(name, port, *host_port, *host_ip)?,
            }
        }
        Ok(all)
    }

    /// Returns the host's port for a socket-activated port's first number, if the pod gives one. Publishes other ports.
    fn host_port(&mut self, port: &Port) -> Result<Option<u16>> {
        let name = &port.name;
        let Some((host_port, address)) = self.ports.get(name).copied() else { return Ok(None) };
        if !self.met.insert(name.clone()) {
            return Err(Error::new(format!(
                "port {name} of the pod: expected one app with a port of this name"
            )));
        }
        match (port.socket_activated, address) {
            (true, None) => {}
            (true, Some(address)) => {
                return Err(Error::new(format!(
                    "port {name} has hostIP {address}: expected none, or 0.0.0.0 or [::], where its sockets listen"
                )));
            }
            (false, _) => self.publish(name, port, host_port, address)?,
        }
        Ok(Some(host_port))
    }

    fn publish(&mut self, name: &PortName, port: &Port, host: u16, address: Option<IpAddr>) -> Result<()> {
        let first = port.numbers().next().expect("a range of ports has a first one");
        let has = match &self.mode {
            Mode::Private => {
                let published = Published::new(address, port.protocol, host, first, port.count());
                self.published.push(published.map_err(|error| error.within(format_args!("port {name}")))?);
                return Ok(());
            }
            // Plugins publish it.
            Mode::Cni(_) => return Ok(()),
            Mode::Host if host == first => return Ok(()),
            Mode::Host => "the host's network",
            Mode::None => "no network",
        };
        self.warnings.push(format!("hostPort {host} of port {name} is not enforced: the pod has {has}"));
        Ok(())
    }

    /// Returns the published ports, and warnings about what is not enforced. A port that no app has is an error.
    pub(super) fn finish(self) -> Result<(Vec<Published>, Vec<String>)> {
        if let Some(name) = self.ports.keys().find(|name| !self.met.contains(*name)) {
            return Err(Error::new(format!(
                "port {name} of the pod: expected an app with a port of this name"
            )));
        }
        check_distinct(&self.published)?;
        let count: usize = self.published.iter().map(Published::count).sum();
        if count > PUBLISHED_MAX {
            return Err(Error::new(format!("{count} published ports: expected at most {PUBLISHED_MAX}")));
        }
        Ok((self.published, self.warnings))
    }
}

/// Returns the sockets for an app's ports. They are opened on the host, whichever network the pod has, so a socket listens
/// at the host's port.
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
pub(super) fn check_sockets(apps: &[App]) -> Result<()> {
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
