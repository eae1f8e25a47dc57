// SPDX-License-Identifier: Apache-2.0
//! A pod's link passes no packets of others, and none that claim to be of others, whatever the pod's processes may do there:
//! these tests have all rights in the pod's network namespace, which is more than an app can get.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};

use super::world::{HOST, Namespace, World, at};

/// Hears all packets of a network namespace, those that are not for it, too.
struct Listener(OwnedFd);

impl Listener {
    fn new(namespace: &Namespace) -> Self {
        let open = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
        };
        Self(namespace.run(open).unwrap())
    }

    /// Returns which of these addresses packets were from or to, of those that were heard since the last time.
    fn heard<'a>(&self, addresses: &[&'a str]) -> Vec<&'a str> {
        let mut packets = Vec::new();
        let mut packet = [0; 2048];
        loop {
            match recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(length) => packets.push(packet[..length].to_vec()),
                Err(Errno::EAGAIN) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let is_in = |address: &str| {
            let octets = address.parse::<Ipv4Addr>().unwrap().octets();
            packets.iter().any(|packet| packet.windows(4).any(|bytes| bytes == octets))
        };
        addresses.iter().copied().filter(|address| is_in(address)).collect()
    }
}

#[gate::root_test]
fn a_pod_hears_neither_other_pods_nor_the_host() {
    let world = World::new();
    let (pod, other) = (world.pod(&[]), world.pod(&["8080:80"]));
    let (own, others) = (pod.addresses()[0].clone(), other.addresses()[0].clone());
    let (in_pod, on_host) = (Listener::new(&pod.namespace), Listener::new(&world.host));
    world.outside.serve_tcp(443);
    world.host.serve_tcp(9000);
    // The other pod is asked and asks; the host speaks to itself and to its neighbour.
    world.outside.tcp("192.0.2.1:8080").unwrap();
    other.namespace.tcp("192.0.2.2:443").unwrap();
    world.host.tcp("127.0.0.1:9000").unwrap();
    world.host.tcp("192.0.2.2:443").unwrap();
    pod.namespace.tcp("192.0.2.2:443").unwrap();
    // What was sent before that answer has arrived by now, wherever it goes.
    assert_eq!(on_host.heard(&[&others]), [&others], "a control: these packets pass the host");
    world.host.tcp("127.0.0.1:9000").unwrap();
    assert_eq!(on_host.heard(&["127.0.0.1"]), ["127.0.0.1"], "a control: loopback can be heard");

    assert_eq!(in_pod.heard(&[&own, &others, HOST[0], "127.0.0.1"]), [&own], "it hears itself alone");
}

/// Gives a pod's link an address that is another pod's.
fn claim(namespace: &Namespace, address: &str) {
    namespace.run(|| {
        let socket = crate::netlink::socket::Socket::open(None).unwrap();
        let index = super::world::index(&socket, "eth0");
        socket.all(&[crate::route::address("eth0", index, address.parse().unwrap())]).unwrap();
    });
}

#[gate::root_test]
fn what_a_pod_sends_from_anothers_address_does_not_arrive() {
    let world = World::new();
    let (pod, other) = (world.pod(&[]), world.pod(&[]));
    let (own, stolen) = (pod.addresses()[0].clone(), other.addresses()[0].clone());
    claim(&pod.namespace, &stolen);
    let host = world.host.run(|| UdpSocket::bind(at(HOST[0], 9000))).unwrap();
    host.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let send = |from: &Namespace, address: &str, text: &[u8]| {
        let socket = from.run(|| UdpSocket::bind(at(address, 0))).unwrap();
        socket.send_to(text, at(HOST[0], 9000)).unwrap();
    };
    let next = || {
        let mut bytes = [0; 16];
        let length = host.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    send(&other.namespace, &stolen, b"other");
    assert_eq!(next(), "other", "a control: that address is heard");
    // The link keeps the order, so what was sent first would have arrived first.
    send(&pod.namespace, &stolen, b"stolen");
    send(&pod.namespace, &own, b"own");
    assert_eq!(next(), "own");
}

#[gate::root_test]
fn a_pod_that_claims_anothers_address_gets_none_of_its_packets() {
    let world = World::new();
    let (pod, other) = (world.pod(&[]), world.pod(&["8080:80"]));
    let stolen = other.addresses()[0].clone();
    claim(&pod.namespace, &stolen);
    let listener = Listener::new(&pod.namespace);
    for _ in 0..3 {
        world.outside.tcp("192.0.2.1:8080").unwrap();
        world.host.tcp(&at(&stolen, 80)).unwrap();
    }
    assert_eq!(
        listener.heard(&["192.0.2.2", "192.0.2.1"]),
        Vec::<&str>::new(),
        "what is for the other pod goes there"
    );
}
