// SPDX-License-Identifier: Apache-2.0
//! The pod's network: the host's settings that it depends on, and what is reserved for the pod before anything of it
//! runs.

use std::env;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use anyhow::{Context as _, Result, bail};
use network::addresses::Range;
use network::metadata::{ADDRESS, lead_to};
use network::plan::Plan;
use network::resolver::{RESOLV_CONF, UPSTREAM};
use network::setup::{self, Reserved, Wanted};
use network::sysctls::Sysctls;
use pod::Pod;
use pod::isolators::Quantity;
use pod::network::{HostsFile, Mode};

use crate::exchange::ready::{Attendant, Namespaces};
use crate::failure::warn;
use crate::load::sysctls::Sysctls as OfPod;

/// How much of a file about names is read at most.
const FILE_MAX: u64 = 64 << 10;
/// The ranges that addresses come from, in place of the usual ones, with commas between them.
const RANGES: &str = "GANTRY_ADDRESSES";
const HOSTS: &str = "/etc/hosts";

/// The pod's network, and the host's settings that names in the pod depend on.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The pod's own network, if it has one with a way out.
    pub plan: Option<Plan>,
    /// The restrictions that this host puts on the pod, one line each.
    pub warnings: Vec<String>,
    /// The host's /etc/resolv.conf.
    pub resolv_conf: Option<String>,
    /// The servers that programs which serve names on the host's loopback ask.
    pub upstream: Vec<String>,
    /// The host's /etc/hosts, if the pod is to have it.
    pub hosts: Option<String>,
}

/// The resources that are reserved for the pod's network.
#[derive(Debug)]
pub(crate) struct Reservation {
    kind: Kind,
    /// If there is one, it must answer before apps start.
    attendant: Option<Attendant>,
    /// The port of the metadata service, if apps look for it at 0.1's address.
    metadata: Option<u16>,
    /// The sysctls that are set in the pod's namespaces once the network is there.
    sysctls: Option<OfPod>,
}

/// The work in the pod's network namespace, once that is there.
#[derive(Debug)]
enum Kind {
    /// No work: it is the host's.
    Hosts,
    /// It stays alone.
    Alone(Sysctls),
    /// It is connected.
    Connected(Box<Reserved>),
}

/// Plans the network of a pod that is not started.
pub(crate) fn preview(pod: &Pod) -> Result<Network> {
    let plan = match pod.network.mode {
        Mode::Private => Some(setup::preview(&wanted(pod)?)?),
        Mode::None | Mode::Host | Mode::Cni(_) => None,
    };
    look(pod, plan, Vec::new())
}

/// Takes what has to be the pod's, whose root is the host's user `root`. Connections to 0.1's address of the metadata
/// service will lead to the port `metadata`.
pub(crate) fn take(pod: &Pod, root: u32, metadata: Option<u16>) -> Result<(Network, Reservation)> {
    let attendant = Attendant::find().context("cannot reach the attendant of the pod's network")?;
    let kind = match &pod.network.mode {
        Mode::Cni(name) if attendant.is_none() => {
            bail!("nothing connects the pod to {name}: expected it to be started by gantry run or start")
        }
        Mode::Host => Kind::Hosts,
        Mode::None | Mode::Cni(_) => Kind::Alone(Sysctls::open()?),
        Mode::Private => Kind::Connected(Box::new(setup::reserve(&wanted(pod)?)?)),
    };
    let (plan, warnings) = match &kind {
        Kind::Connected(reserved) => (Some(reserved.plan.clone()), reserved.warnings.clone()),
        Kind::Hosts | Kind::Alone(_) => (None, Vec::new()),
    };
    let sysctls = OfPod::of(pod, root)?;
    Ok((look(pod, plan, warnings)?, Reservation { kind, attendant, metadata, sysctls }))
}

impl Reservation {
    /// Returns the descriptors that a process must keep for as long as the pod is to have its network.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let mut all: Vec<_> = match &self.kind {
            Kind::Hosts | Kind::Alone(_) => Vec::new(),
            Kind::Connected(reserved) => reserved.descriptors(),
        };
        all.extend(self.attendant.iter().map(|attendant| attendant.descriptor().as_raw_fd()));
        all
    }

    /// Does what can be done before the pod has its network namespace. If it fails, so does [`Reservation::prepare`].
    pub(crate) fn guard(&self) {
        if let Kind::Connected(reserved) = &self.kind {
            reserved.guard();
        }
    }

    /// Prepares the network namespace of the pod, and sets the pod's sysctls.
    pub(crate) fn prepare(&self, namespaces: &Namespaces) -> Result<()> {
        let namespace = &namespaces.network;
        match &self.kind {
            Kind::Hosts => {}
            Kind::Alone(sysctls) => setup::prepare_alone(sysctls, namespace.as_fd())?,
            Kind::Connected(reserved) => reserved.connect(namespace.as_fd())?,
        }
        if let Some(port) = self.metadata
            && let Err(error) = lead_to(port, namespace.as_fd())
        {
            warn(&format!(
                "the metadata service is not at http://{ADDRESS}: {error} (--no-metadata, or the annotation \
                 gantry/metadata, makes a pod without one)"
            ));
        }
        self.attendant.iter().try_for_each(|attendant| attendant.ask(namespace.as_fd()))?;
        self.sysctls.iter().try_for_each(|sysctls| sysctls.set(namespaces))
    }

    /// Lets go of what another pod can have as soon as this one has ended.
    pub(crate) fn let_go(&self) {
        if let Kind::Connected(reserved) = &self.kind {
            reserved.let_go_of_ports();
        }
    }

    /// Does what the apps need not wait for. Returns warnings.
    pub(crate) fn settle(&self) -> Result<Vec<String>> {
        match &self.kind {
            Kind::Hosts | Kind::Alone(_) => Ok(Vec::new()),
            Kind::Connected(reserved) => Ok(reserved.settle()?),
        }
    }
}

fn wanted(pod: &Pod) -> Result<Wanted> {
    let ranges = match env::var(RANGES) {
        Err(_) => Range::usual(),
        Ok(list) => list.split(',').map(str::parse).collect::<Result<_, _>>().context(RANGES)?,
    };
    let forwarding = pod.network.forwarding;
    let is_known = !pod.network.aliases.is_empty();
    let rate = pod.network_bandwidth.map(Quantity::units);
    Ok(Wanted { pod: pod.id, published: pod.published.clone(), ranges, is_known, forwarding, rate })
}

fn look(pod: &Pod, plan: Option<Plan>, warnings: Vec<String>) -> Result<Network> {
    let mut upstream = Vec::new();
    for path in UPSTREAM {
        // A program that is not there, or does not say, is no help.
        upstream.extend(read(path).ok().flatten());
    }
    let hosts = match pod.network.hosts {
        HostsFile::Host => read(HOSTS).context("cannot read the host's /etc/hosts")?,
        HostsFile::Own | HostsFile::None => None,
    };
    let resolv_conf = read(RESOLV_CONF).context("cannot read the host's /etc/resolv.conf")?;
    Ok(Network { plan, warnings, resolv_conf, upstream, hosts })
}

fn read(path: &str) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut content = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut content)?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}
