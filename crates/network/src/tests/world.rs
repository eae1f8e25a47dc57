// SPDX-License-Identifier: Apache-2.0
//! A small world: a host with a neighbour outside, and pods. Each is a network namespace.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use pod::id::PodId;
use pod::network::Forwarding;
use rustix::fs::{CWD, Mode, OFlags, openat};
use sys::namespaces::in_network;

use crate::addresses::Range;
use crate::netlink::socket::Socket;
use crate::route;
use crate::setup::{Reserved, Wanted, reserve};
use crate::sysctls::Sysctls;

/// How long to wait for an answer that is to come, and for one that is not.
const PATIENCE: Duration = Duration::from_secs(5);
const IMPATIENCE: Duration = Duration::from_millis(300);

/// The host's addresses on its link to the outside.
pub(super) const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
/// The neighbour's.
pub(super) const OUTSIDE: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// A network namespace.
#[derive(Debug)]
pub(super) struct Namespace(OwnedFd);

impl Namespace {
    pub(super) fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            openat(CWD, "/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        });
        Self(made.join().unwrap())
    }

    /// Runs something in it.
    pub(super) fn run<T>(&self, visit: impl FnOnce() -> T) -> T {
        in_network(&self.0, visit).unwrap()
    }

    /// Makes a TCP server of both families that tells each client which address it sees.
    pub(super) fn serve_tcp(&self, port: u16) {
        let listener = self.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let seen = client.peer_addr().map(|address| address.ip().to_canonical().to_string());
                let _ = client.write_all(seen.unwrap_or_default().as_bytes());
            }
        });
    }

    /// Makes a UDP server that does the same.
    pub(super) fn serve_udp(&self, port: u16) {
        let socket = self.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))).unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 8];
            while let Ok((_, client)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(client.ip().to_canonical().to_string().as_bytes(), client);
            }
        });
    }

    /// Asks a server which address it sees.
    pub(super) fn tcp(&self, to: &str) -> io::Result<String> {
        self.tcp_within(to, PATIENCE)
    }

    /// Tells whether a server can't be reached.
    pub(super) fn is_barred(&self, to: &str) -> bool {
        self.tcp_within(to, IMPATIENCE).is_err()
    }

    fn tcp_within(&self, to: &str, time: Duration) -> io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        let mut stream = self.run(|| TcpStream::connect_timeout(&to, time))?;
        stream.set_read_timeout(Some(time))?;
        let mut seen = String::new();
        stream.read_to_string(&mut seen)?;
        Ok(seen)
    }

    /// Asks a UDP server which address it sees.
    pub(super) fn udp(&self, to: &str) -> io::Result<String> {
        let socket = self.udp_socket(to)?;
        ask_udp(&socket)
    }

    /// Makes a UDP socket that is connected to a server.
    pub(super) fn udp_socket(&self, to: &str) -> io::Result<UdpSocket> {
        let to: SocketAddr = to.parse().unwrap();
        let any: IpAddr = if to.is_ipv6() { "::".parse().unwrap() } else { "0.0.0.0".parse().unwrap() };
        let socket = self.run(|| UdpSocket::bind((any, 0)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to)?;
        Ok(socket)
    }

    pub(super) fn has_link(&self, name: &str) -> bool {
        self.run(|| route::link(&Socket::open(None).unwrap(), name)).unwrap().is_some()
    }

    pub(super) fn set(&self, sysctl: &str, value: &str) {
        self.run(|| Sysctls::open().unwrap().write(sysctl, value)).unwrap();
    }
}

/// Asks over a socket that is connected.
pub(super) fn ask_udp(socket: &UdpSocket) -> io::Result<String> {
    socket.send(b"who?")?;
    let mut bytes = [0; 64];
    let length = socket.recv(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A host, and a neighbour outside that has no route to pods.
pub(super) struct World {
    pub(super) host: Namespace,
    pub(super) outside: Namespace,
}

impl World {
    /// Makes a host that forwards both protocols.
    pub(super) fn new() -> Self {
        let world = Self::without_forwarding();
        world.host.set("ipv4/ip_forward", "1");
        world.host.set("ipv6/conf/all/forwarding", "1");
        world
    }

    pub(super) fn without_forwarding() -> Self {
        let (host, outside) = (Namespace::new(), Namespace::new());
        host.run(|| {
            let socket = Socket::open(None).unwrap();
            let pair = route::Pair { name: "up0", alias: "", group: 0, peer: "eth0", mtu: 1400 };
            socket.all(&[route::up("lo", 1), route::new_pair(pair, outside.as_fd())]).unwrap();
            connect(&socket, "up0", HOST, OUTSIDE);
            let default = |to: &str| route::default_route("up0", index(&socket, "up0"), to.parse().unwrap());
            socket.all(&OUTSIDE.map(default)).unwrap();
        });
        outside.run(|| {
            let socket = Socket::open(None).unwrap();
            socket.all(&[route::up("lo", 1)]).unwrap();
            connect(&socket, "eth0", OUTSIDE, HOST);
        });
        Self { host, outside }
    }

    /// Reserves what a pod asks for.
    pub(super) fn reserve(&self, published: &[&str]) -> Result<Reserved, crate::Error> {
        self.host.run(|| reserve(&wanted(published)))
    }

    /// Starts a pod, with servers on its ports 80 (TCP) and 53 (UDP).
    pub(super) fn pod(&self, published: &[&str]) -> Pod {
        self.start(&wanted(published))
    }

    /// Starts a pod that reaches other such pods.
    pub(super) fn known_pod(&self) -> Pod {
        self.start(&Wanted { is_known: true, ..wanted(&[]) })
    }

    fn start(&self, wanted: &Wanted) -> Pod {
        let namespace = Namespace::new();
        let reserved = self.host.run(|| reserve(wanted)).unwrap();
        self.host.run(|| reserved.connect(namespace.as_fd())).unwrap();
        let warnings = reserved.settle().unwrap();
        namespace.serve_tcp(80);
        namespace.serve_udp(53);
        Pod { namespace, reserved, warnings }
    }
}

/// A pod that runs.
pub(super) struct Pod {
    pub(super) namespace: Namespace,
    pub(super) reserved: Reserved,
    pub(super) warnings: Vec<String>,
}

impl Pod {
    /// Returns its addresses, of both families.
    pub(super) fn addresses(&self) -> [String; 2] {
        [self.reserved.plan.v4.to_string(), self.reserved.plan.v6.unwrap().to_string()]
    }
}

/// Returns what a pod of an id that no other test uses asks for.
pub(super) fn wanted(published: &[&str]) -> Wanted {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let mut bytes = [7; 16];
    bytes[15] = NEXT.fetch_add(1, Ordering::Relaxed);
    Wanted {
        pod: PodId::from_random(bytes),
        published: published.iter().map(|text| text.parse().unwrap()).collect(),
        ranges: Range::usual(),
        is_known: false,
        forwarding: Forwarding::Keep,
        rate: None,
    }
}

/// Gives a link its addresses, and routes to its neighbour.
fn connect(socket: &Socket, link: &str, own: [&str; 2], other: [&str; 2]) {
    let index = index(socket, link);
    let addresses = own.map(|one| route::address(link, index, one.parse().unwrap()));
    let routes = other.map(|one| route::route_to(link, index, one.parse().unwrap()));
    socket.all(&[&addresses[..], &[route::up(link, index)], &routes].concat()).unwrap();
}

pub(super) fn index(socket: &Socket, link: &str) -> u32 {
    route::link(socket, link).unwrap().unwrap().index
}

/// Writes an address and a port as one.
pub(super) fn at(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
