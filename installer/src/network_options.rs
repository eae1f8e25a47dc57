// SPDX-License-Identifier: Apache-2.0
//! Options about a pod's network. Comments on them are the help that a person reads.

use std::net::IpAddr;

use anyhow::Result;
use clap::Args;
use clap::error::ErrorKind;
use pod::network::{Forwarding, HostName, HostsFile, Mode, MoreHost, Published, Settings, check_distinct};
use pods::cni::{self, Places};

/// The heading of these options.
const NETWORK: &str = "Options of the network";

/// A pod's network.
#[derive(Debug, Args)]
pub(crate) struct NetworkOptions {
    /// The pod's network: private (its own), none (loopback alone), host, or cni:NAME (its own, connected by the plugins
    /// of the host's CNI network) [default: private]
    #[arg(
        long = "net",
        visible_alias = "network",
        value_name = "NETWORK",
        help_heading = NETWORK,
        conflicts_with = "pod_manifest"
    )]
    mode: Option<Mode>,
    /// Publish a port of the pod on the host: [ADDRESS:]HOST:POD[/udp], both may be ranges, as 8000-8009:80-89
    #[arg(short, long = "publish", value_name = "PORTS", help_heading = NETWORK, conflicts_with = "pod_manifest")]
    published: Vec<Published>,
    /// A name by which other pods with network aliases find this one; these pods reach all of its ports
    #[arg(long = "net-alias", visible_alias = "network-alias", value_name = "NAME", help_heading = NETWORK, conflicts_with = "pod_manifest")]
    aliases: Vec<HostName>,
    /// Make the host forward IPv4 (net.ipv4.ip_forward=1) if it doesn't; it stays so
    #[arg(long, help_heading = NETWORK, conflicts_with = "pod_manifest")]
    set_forwarding: bool,
    /// A nameserver for the pod, instead of the host's
    #[arg(long = "dns", value_name = "ADDRESS", help_heading = NETWORK, conflicts_with = "pod_manifest")]
    servers: Vec<IpAddr>,
    /// A domain in which names are looked for, instead of the host's
    #[arg(long = "dns-search", value_name = "DOMAIN", help_heading = NETWORK, conflicts_with = "pod_manifest")]
    search: Vec<HostName>,
    /// The /etc/hosts of apps: own (the pod's), host (the host's) or none (the image's as it is) [default: own]
    #[arg(long = "hosts", value_name = "FILE", help_heading = NETWORK, conflicts_with = "pod_manifest")]
    hosts: Option<HostsFile>,
    /// A line of /etc/hosts
    #[arg(long = "add-host", value_name = "NAME=ADDRESS", help_heading = NETWORK, conflicts_with = "pod_manifest")]
    more_hosts: Vec<MoreHost>,
}

impl NetworkOptions {
    /// Checks what the parser can't.
    ///
    /// # Errors
    /// Fails if ports are published twice, or by a pod that can publish none.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let refused = |why: String| clap::Error::raw(ErrorKind::ArgumentConflict, why);
        check_distinct(&self.published).map_err(|error| refused(error.to_string()))?;
        if let (Some(mode @ (Mode::None | Mode::Host)), Some(alias)) = (&self.mode, self.aliases.first()) {
            return Err(refused(format!(
                "--net={mode} and --net-alias={alias}: expected --net=private, to be reached by other pods"
            )));
        }
        match (&self.mode, self.published.first()) {
            (Some(mode @ (Mode::None | Mode::Host)), Some(ports)) => Err(refused(format!(
                "--net={mode} and --publish={ports}: expected --net=private, to publish ports"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that the host has the CNI network that is asked for.
    ///
    /// # Errors
    /// Fails if it has none of this name that can be used.
    pub(crate) fn find(&self) -> Result<()> {
        match &self.mode {
            Some(Mode::Cni(name)) => cni::check(&Places::of_environment(), name, !self.published.is_empty()),
            _ => Ok(()),
        }
    }

    /// Tells whether something is said.
    pub(crate) fn is_given(&self) -> bool {
        let (settings, published) = self.parts();
        settings != Settings::default() || !published.is_empty()
    }

    /// Returns what is said: the settings and the published ports.
    pub(crate) fn parts(&self) -> (Settings, Vec<Published>) {
        let settings = Settings {
            mode: self.mode.clone().unwrap_or_default(),
            aliases: self.aliases.clone(),
            forwarding: if self.set_forwarding { Forwarding::Set } else { Forwarding::Keep },
            servers: self.servers.clone(),
            search: self.search.clone(),
            hosts: self.hosts.unwrap_or_default(),
            more_hosts: self.more_hosts.clone(),
        };
        (settings, self.published.clone())
    }
}
