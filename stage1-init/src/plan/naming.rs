// SPDX-License-Identifier: Apache-2.0
//! Names in the pod: its hosts file and its resolver's configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use network::hosts::{Entry, complete, entries};
use network::resolver::{Asked, for_pod, parse, render};
use pod::name::AppName;
use pod::network::{HostsFile, Mode, Settings};
use pod::{Accounts, Pod};

use crate::load::network::Network;

/// The names and addresses that complete hosts files.
pub(super) struct Hosts<'h> {
    /// The file that the pod has.
    text: &'h str,
    lines: Vec<Entry>,
}

impl Hosts<'_> {
    /// Returns the hosts file for apps that have none.
    pub(super) fn pods(&self) -> String {
        complete(self.text, &self.lines)
    }

    /// Returns the hosts file for an app whose tree has this one.
    pub(super) fn complete(&self, own: &str) -> String {
        complete(own, &self.lines)
    }
}

/// Returns what hosts files are made of, if apps are to have any.
pub(super) fn hosts<'h>(pod: &Pod, network: &'h Network) -> Option<Hosts<'h>> {
    let addresses: Vec<IpAddr> = network.plan.iter().flat_map(network::plan::Plan::addresses).collect();
    let host_name = pod.host_name.as_ref().map_or_else(|| pod.id.host_name(), ToString::to_string);
    let mut lines = entries(&host_name, &addresses);
    lines.extend(
        pod.network
            .more_hosts
            .iter()
            .map(|more| Entry { address: more.address, names: vec![more.name.to_string()] }),
    );
    match pod.network.hosts {
        HostsFile::None => None,
        HostsFile::Own => Some(Hosts { text: "", lines }),
        HostsFile::Host => Some(Hosts { text: network.hosts.as_deref().unwrap_or_default(), lines }),
    }
}

/// Returns a warning if an app that is root has the host's network.
pub(super) fn of_hosts_network(pod: &Pod, credentials: &BTreeMap<AppName, Accounts>) -> Option<String> {
    let root = pod.apps.iter().find(|app| credentials[&app.name].uid == 0)?;
    (pod.network.mode == Mode::Host).then(|| {
        let name = &root.name;
        format!(
            "app {name} is root in the host's network, with the host's loopback and abstract sockets: --net=private \
             keeps it apart"
        )
    })
}

/// Returns the resolv.conf for apps that have none, if there is to be one.
pub(super) fn resolv_conf(pod: &Pod, network: &Network, warnings: &mut Vec<String>) -> Option<String> {
    let Settings { mode, servers, search, .. } = &pod.network;
    let search: Vec<_> = search.iter().map(ToString::to_string).collect();
    let asked = Asked { servers: servers.clone(), search };
    let says_nothing = asked == Asked::default();
    match mode {
        Mode::Private | Mode::Cni(_) => {
            let host = network.resolv_conf.as_deref().unwrap_or_default();
            let (configuration, warning) = for_pod(host, &network.upstream, &asked);
            warnings.extend(warning.map(str::to_owned));
            Some(render(&configuration))
        }
        Mode::Host if says_nothing => network.resolv_conf.clone(),
        Mode::None if says_nothing => None,
        Mode::Host | Mode::None => {
            let mut configuration = parse(network.resolv_conf.as_deref().unwrap_or_default());
            if !asked.servers.is_empty() {
                configuration.servers = asked.servers;
            }
            if !asked.search.is_empty() {
                configuration.search = asked.search;
            }
            Some(render(&configuration))
        }
    }
}
