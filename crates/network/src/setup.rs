// SPDX-License-Identifier: Apache-2.0
//! Carries a plan out in two steps. Before anything of the pod runs, its addresses and ports are reserved. Once its
//! network namespace is there, it is connected.

use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use pod::id::PodId;
use pod::network::{Forwarding, Published};
use rustix::io::Errno;
use sys::namespaces::in_network;

use crate::addresses::{Range, preferred, v6};
use crate::conntrack;
use crate::error::Error;
use crate::firewall::rules::KNOWN;
use crate::firewall::{foreign, legacy, table};
use crate::netlink::socket::Socket;
use crate::plan::{LOOPBACK, LOOPBACK_INDEX, POD_LINK, POD_SYSCTLS, Plan, veth};
use crate::ports;
use crate::rate;
use crate::route;
use crate::sysctls::Sysctls;

/// An address that no host has (RFC 5737): the route to it leads out.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The size of the largest packet where there is no way out.
const USUAL_MTU: u32 = 1500;
/// The smallest one that IPv6 works with (RFC 8200).
const LEAST_MTU: u32 = 1280;
const ENTER: &str = "enter the pod's network";
const FORWARDING_V4: &str = "net.ipv4.ip_forward";

/// A pod's request for a network.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The pod.
    pub pod: PodId,
    /// Its published ports.
    pub published: Vec<Published>,
    /// The ranges that its address may come from, the best one first.
    pub ranges: Vec<Range>,
    /// Whether it is one of the pods that reach each other.
    pub is_known: bool,
    /// The action on a host that forwards nothing.
    pub forwarding: Forwarding,
    /// How many bytes a second it may send, and receive.
    pub rate: Option<u64>,
}

/// A pod's reservations of addresses and ports. They last until no process has [`Reserved::descriptors`] open any more.
#[derive(Debug)]
pub struct Reserved {
    /// The plan.
    pub plan: Plan,
    /// The restrictions that this host puts on the pod, one line each.
    pub warnings: Vec<String>,
    sysctls: Sysctls,
    route: Socket,
    table: Socket,
    ports: RefCell<Vec<OwnedFd>>,
    /// The result of filling the table; `None` until that was tried.
    guarded: RefCell<Option<Result<(), Error>>>,
    /// Why what it sends or receives is not limited.
    unlimited: OnceCell<Error>,
}

/// Plans a pod's network without reserving anything: another pod may have its address by the time it starts.
///
/// # Errors
/// Fails if no range is free.
pub fn preview(wanted: &Wanted) -> Result<Plan, Error> {
    let (sysctls, route) = (Sysctls::open()?, route_socket()?);
    let (range, number) = ranges(wanted, &route)?;
    plan(wanted, range, number, &sysctls, &route)
}

/// Reserves a number, with its address, and the published ports.
///
/// # Errors
/// Fails if one of them is not to be had, or if the host can't give pods a network.
pub fn reserve(wanted: &Wanted) -> Result<Reserved, Error> {
    let (sysctls, route) = (Sysctls::open()?, route_socket()?);
    let mut warnings = forwarding(wanted, &sysctls)?;
    warnings.extend(legacy::find());
    let ports = ports::reserve(&wanted.published, sysctls.has_ipv6())?;
    let (range, first) = ranges(wanted, &route)?;
    let table = table::socket()?;
    let number = take_number(&table, &route, wanted.pod, range, first)?;
    let plan = plan(wanted, range, number, &sysctls, &route)?;
    Ok(Reserved {
        plan,
        warnings,
        sysctls,
        route,
        table,
        ports: RefCell::new(ports),
        guarded: RefCell::default(),
        unlimited: OnceCell::new(),
    })
}

impl Reserved {
    /// Returns what a process must keep open for as long as the pod is to have its network.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let ports = self.ports.borrow();
        [self.table.as_fd()]
            .into_iter()
            .chain(ports.iter().map(AsFd::as_fd))
            .map(|one| one.as_raw_fd())
            .collect()
    }

    /// Releases the published ports of a pod that has ended, so that another pod can have them while this one is being
    /// cleared. The rules that guard the pod stay.
    ///
    /// The ports are kept if connections to them may still lead to the pod.
    pub fn let_go_of_ports(&self) {
        // Another process that had the socket may have been killed before it read the answers.
        let closed =
            self.table.receive(|_| ()).is_ok() && table::close(&self.table, &self.plan.veth()).is_ok();
        if closed {
            self.ports.take();
        }
    }

    /// Sets up the rules that guard a pod before it is connected, so that connecting need not wait for them. If this
    /// fails, so does connecting.
    pub fn guard(&self) {
        *self.guarded.borrow_mut() = Some(self.fill());
    }

    fn fill(&self) -> Result<(), Error> {
        table::fill(&self.table, &self.plan.veth(), &self.plan.rules())
    }

    /// Connects the pod whose network namespace this is.
    ///
    /// # Errors
    /// Fails if the kernel refuses something. What was made until then goes with the pod.
    pub fn connect(&self, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        let Self { plan, sysctls, route, table, .. } = self;
        let (veth, alias) = (plan.veth(), format!("pod {}", plan.pod));
        let group = if plan.is_known { KNOWN } else { 0 };
        // The rules come first, so that nothing passes without them.
        self.guarded.take().unwrap_or_else(|| self.fill())?;
        let pair = route::Pair { name: &veth, alias: &alias, group, peer: POD_LINK, mtu: plan.mtu };
        route.all(&[route::new_pair(pair, namespace)]).map_err(no_veth)?;
        let index = index_of(route, &veth)?;
        plan.host_sysctls().iter().try_for_each(|(name, value)| sysctls.write(name, value))?;
        self.limit(route, &veth, index);
        route.all(&plan.host_requests(index))?;
        let connected = in_network(namespace, || self.connect_pod());
        connected.map_err(|errno| Error::Kernel { what: ENTER.into(), errno })??;
        // Before, they would lead to an address that is nobody's yet.
        table::open(table, &veth, &plan.rules())
    }

    /// Does what the pod's apps need not wait for. Returns what may keep the pod from being reached, one line each.
    ///
    /// # Errors
    /// Fails if the kernel refuses something.
    pub fn settle(&self) -> Result<Vec<String>, Error> {
        conntrack::forget(&self.table, &self.plan.published)?;
        let unlimited = self.unlimited.get().map(|error| {
            let Error::Kernel { what, errno } = error else { return error.to_string() };
            format!("isolator resource/network-bandwidth is not enforced: cannot {what}: {errno}")
        });
        let foreign = foreign::find(&self.table)?;
        Ok(unlimited.into_iter().chain(foreign.iter().map(ToString::to_string)).collect())
    }

    /// Makes the pod's part, in the pod's namespace.
    fn connect_pod(&self) -> Result<(), Error> {
        let route = route_socket()?;
        let index = index_of(&route, POD_LINK)?;
        self.plan.pod_sysctls().iter().try_for_each(|(name, value)| self.sysctls.write(name, value))?;
        self.limit(&route, POD_LINK, index);
        route.all(&self.plan.pod_requests(index))
    }

    /// Limits what one end of the veth sends. A kernel that can't is no reason to keep the pod from running.
    fn limit(&self, route: &Socket, name: &str, index: u32) {
        let Some(rate) = self.plan.rate else { return };
        if let Err(error) = route.all(&[rate::limit(name, index, rate)]) {
            let _ = self.unlimited.set(error);
        }
    }
}

/// Checks whether the host forwards what it has to. Returns a warning if it only keeps the pod from the outside.
fn forwarding(wanted: &Wanted, sysctls: &Sysctls) -> Result<Vec<String>, Error> {
    if sysctls.is_on("ipv4/ip_forward") {
        return Ok(Vec::new());
    }
    if wanted.forwarding == Forwarding::Set {
        return sysctls.write("ipv4/ip_forward", "1").map(|()| Vec::new());
    }
    let is_for_outside = |ports: &Published| match ports.address() {
        Some(IpAddr::V4(address)) => !address.is_loopback(),
        Some(IpAddr::V6(_)) => false,
        None => true,
    };
    if wanted.published.iter().any(is_for_outside) {
        return Err(Error::NoForwarding { sysctl: FORWARDING_V4 });
    }
    Ok(vec![format!(
        "the pod reaches the host alone: {FORWARDING_V4} is 0: expected 1, as with sysctl -w {FORWARDING_V4}=1"
    )])
}

/// Finds a range that no route of the host's covers, and the number in it at which to begin.
fn ranges<'a>(wanted: &'a Wanted, socket: &Socket) -> Result<(&'a Range, u32), Error> {
    let mut taken = Vec::new();
    for range in &wanted.ranges {
        let number = preferred(wanted.pod, range);
        match route::route(socket, range.address(number))? {
            Some(found) if found.prefix > 0 && !is_of_pod(socket, found.link) => {
                let by = found.link.and_then(|link| route::name_of(socket, link));
                let by = by.map_or(String::new(), |link| format!(" by {link}"));
                taken.push(format!("{range} has a route{by} to {}/{}", range.address(number), found.prefix));
            }
            _ => return Ok((range, number)),
        }
    }
    Err(Error::RangesTaken { taken: taken.join(", and ") })
}

/// Tells whether a link is a pod's veth. Then only this address is taken, and not the range.
fn is_of_pod(socket: &Socket, link: Option<u32>) -> bool {
    let name = link.and_then(|link| route::name_of(socket, link));
    name.is_some_and(|name| name.starts_with(crate::firewall::rules::VETHS))
}

/// Takes the first free number, by making the pod's table.
fn take_number(table: &Socket, socket: &Socket, pod: PodId, range: &Range, first: u32) -> Result<u32, Error> {
    for more in 0..range.capacity() {
        let number = (first + more) % range.capacity();
        let name = veth(number);
        // A pod whose processes were killed may have its veth for a moment longer than its table.
        let is_free = route::link(socket, &name)?.is_none();
        if is_free && table::make(table, &name, &format!("pod {pod}"))? {
            return Ok(number);
        }
    }
    Err(Error::RangeFull { range: range.to_string() })
}

fn plan(
    wanted: &Wanted,
    range: &Range,
    number: u32,
    sysctls: &Sysctls,
    socket: &Socket,
) -> Result<Plan, Error> {
    let way_out = route::route(socket, OUTSIDE)?.and_then(|route| route.link);
    let mtu = match way_out {
        Some(link) => {
            route::link_at(socket, link)?.map_or(USUAL_MTU, |link| link.mtu.clamp(LEAST_MTU, 65_535))
        }
        None => USUAL_MTU,
    };
    Ok(Plan {
        pod: wanted.pod,
        number,
        v4: range.address(number),
        v6: sysctls.has_ipv6().then(|| v6(wanted.pod)),
        mtu,
        published: wanted.published.clone(),
        is_known: wanted.is_known,
        forwards_v6: sysctls.is_on("ipv6/conf/all/forwarding"),
        rate: wanted.rate,
    })
}

/// Sets loopback up in the network namespace of this process.
///
/// # Errors
/// Fails if the kernel refuses it.
pub fn loopback() -> Result<(), Error> {
    route_socket()?.all(&[route::up(LOOPBACK, LOOPBACK_INDEX)])
}

/// Prepares a network namespace that stays alone.
///
/// # Errors
/// Fails if the kernel refuses something.
pub fn prepare_alone(sysctls: &Sysctls, namespace: BorrowedFd<'_>) -> Result<(), Error> {
    let prepare = || {
        POD_SYSCTLS.iter().try_for_each(|(name, value)| sysctls.write(name, value))?;
        loopback()
    };
    in_network(namespace, prepare).map_err(|errno| Error::Kernel { what: ENTER.into(), errno })?
}

fn route_socket() -> Result<Socket, Error> {
    Socket::open(None).map_err(|errno| Error::Kernel { what: "open a netlink socket".into(), errno })
}

fn index_of(socket: &Socket, name: &str) -> Result<u32, Error> {
    let missing = || Error::Kernel { what: format!("look for {name}"), errno: Errno::NODEV };
    route::link(socket, name)?.map(|link| link.index).ok_or_else(missing)
}

fn no_veth(error: Error) -> Error {
    match error {
        Error::Kernel { errno: errno @ Errno::OPNOTSUPP, .. } => Error::NoVeth { errno },
        other => other,
    }
}
