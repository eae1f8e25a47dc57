// SPDX-License-Identifier: Apache-2.0
//! What reaches what, and with which source address.

use super::world::{HOST, OUTSIDE, World, ask_udp, at};
use crate::addresses::{HOST_V4, HOST_V6};
use crate::firewall::{V4, header, table};
use crate::netlink::message::{CREATE, Message};
use crate::netlink::socket::Request;

const PUBLISHED: [&str; 2] = ["8080:80", "5353:53/udp"];

#[gate::root_test]
fn published_ports_are_reached_from_outside_and_the_pod_sees_who_asks() {
    let world = World::new();
    let _pod = world.pod(&PUBLISHED);
    for (host, outside) in HOST.into_iter().zip(OUTSIDE) {
        assert_eq!(world.outside.tcp(&at(host, 8080)).unwrap(), outside);
        assert_eq!(world.outside.udp(&at(host, 5353)).unwrap(), outside);
        assert!(world.outside.is_barred(&at(host, 80)), "only what is published is reached");
    }
}

#[gate::root_test]
fn published_ports_are_reached_from_the_host_by_all_of_its_addresses() {
    let world = World::new();
    let _pod = world.pod(&PUBLISHED);
    for address in HOST {
        assert_eq!(world.host.tcp(&at(address, 8080)).unwrap(), address);
        assert_eq!(world.host.udp(&at(address, 5353)).unwrap(), address);
    }
    for (address, seen) in
        [("127.0.0.1", HOST_V4.to_string()), ("127.9.9.9", HOST_V4.to_string()), ("::1", HOST_V6.to_string())]
    {
        assert_eq!(world.host.tcp(&at(address, 8080)).unwrap(), seen, "{address}");
        assert_eq!(world.host.udp(&at(address, 5353)).unwrap(), seen, "{address}");
    }
}

#[gate::root_test]
fn ports_published_on_one_address_are_reached_by_no_other() {
    let world = World::new();
    let pod = world.pod(&["127.0.0.1:8080:80", "[::1]:8081:80", "192.0.2.1:8082:80"]);
    for (here, port) in [("127.0.0.1", 8080), ("::1", 8081), ("192.0.2.1", 8082)] {
        world.host.tcp(&at(here, port)).unwrap();
    }
    world.outside.tcp("192.0.2.1:8082").unwrap();
    pod.namespace.tcp("192.0.2.1:8082").unwrap();
    for (namespace, to) in [
        (&world.host, "192.0.2.1:8080"),
        (&world.host, "127.0.0.1:8082"),
        (&world.outside, "192.0.2.1:8080"),
        (&world.outside, "[2001:db8::1]:8081"),
        (&pod.namespace, "169.254.77.1:8080"),
    ] {
        assert!(namespace.is_barred(to), "{to}");
    }
}

#[gate::root_test]
fn a_range_of_ports_leads_to_a_range() {
    let world = World::new();
    let pod = world.pod(&["8000-8002:90-92"]);
    pod.namespace.serve_tcp(91);
    assert_eq!(world.outside.tcp("192.0.2.1:8001").unwrap(), OUTSIDE[0]);
    assert!(world.outside.is_barred("192.0.2.1:8003"));
}

#[gate::root_test]
fn a_pod_reaches_the_outside_by_the_hosts_address() {
    let world = World::new();
    let pod = world.pod(&[]);
    world.outside.serve_tcp(443);
    world.outside.serve_udp(53);
    for (host, outside) in HOST.into_iter().zip(OUTSIDE) {
        assert_eq!(pod.namespace.tcp(&at(outside, 443)).unwrap(), host);
        assert_eq!(pod.namespace.udp(&at(outside, 53)).unwrap(), host);
    }
}

#[gate::root_test]
fn a_pod_reaches_its_own_published_ports_and_another_pods() {
    let world = World::new();
    let (pod, other) = (world.pod(&PUBLISHED), world.pod(&[]));
    for (family, gateway) in [HOST_V4.to_string(), HOST_V6.to_string()].into_iter().enumerate() {
        for address in [HOST[family], &gateway] {
            assert_eq!(pod.namespace.tcp(&at(address, 8080)).unwrap(), gateway, "its own");
            assert_eq!(pod.namespace.udp(&at(address, 5353)).unwrap(), gateway, "its own");
            let seen = &other.addresses()[family];
            assert_eq!(&other.namespace.tcp(&at(address, 8080)).unwrap(), seen, "another's");
            assert_eq!(&other.namespace.udp(&at(address, 5353)).unwrap(), seen, "another's");
        }
    }
}

#[gate::root_test]
fn what_is_not_published_is_reached_by_the_host_alone() {
    let world = World::new();
    let (pod, other) = (world.pod(&PUBLISHED), world.pod(&[]));
    world.outside.run(|| {
        // A neighbour may send the host what it likes.
        let socket = crate::netlink::socket::Socket::open(None).unwrap();
        let index = super::world::index(&socket, "eth0");
        let by_host = HOST.map(|host| crate::route::default_route("eth0", index, host.parse().unwrap()));
        socket.all(&by_host).unwrap();
    });
    for (family, address) in pod.addresses().iter().enumerate() {
        let gateway = [HOST_V4.to_string(), HOST_V6.to_string()];
        // The kernel prefers an address of the same kind.
        assert!(
            [HOST[family], &gateway[family]].contains(&world.host.tcp(&at(address, 80)).unwrap().as_str())
        );
        assert!(other.namespace.is_barred(&at(address, 80)));
        assert!(world.outside.is_barred(&at(address, 80)));
    }
}

#[gate::root_test]
fn pods_that_know_each_other_are_reached_on_all_ports_by_each_other_alone() {
    let world = World::new();
    let (one, other, third) = (world.known_pod(), world.known_pod(), world.pod(&[]));
    for (family, address) in one.addresses().iter().enumerate() {
        assert_eq!(other.namespace.tcp(&at(address, 80)).unwrap(), other.addresses()[family]);
        assert_eq!(other.namespace.udp(&at(address, 53)).unwrap(), other.addresses()[family]);
        assert!(third.namespace.is_barred(&at(address, 80)), "it has no alias");
    }
    for address in third.addresses() {
        assert!(one.namespace.is_barred(&at(&address, 80)), "it knows nobody");
    }
}

#[gate::root_test]
fn a_pod_reaches_nothing_of_the_hosts_loopback() {
    let world = World::new();
    let pod = world.pod(&[]);
    world.host.serve_tcp(9000);
    assert_eq!(
        pod.namespace.tcp("169.254.77.1:9000").unwrap(),
        pod.addresses()[0],
        "a control: the server answers"
    );
    // The pod does all that its own administrator could: loopback is down, so that its address leads to the host.
    pod.namespace.set("ipv4/conf/eth0/route_localnet", "1");
    pod.namespace.run(|| {
        let socket = crate::netlink::socket::Socket::open(None).unwrap();
        socket.all(&[crate::route::down("lo", 1)]).unwrap();
        let index = super::world::index(&socket, "eth0");
        socket.all(&[crate::route::route_to("eth0", index, "127.0.0.2".parse().unwrap())]).unwrap();
    });
    assert!(pod.namespace.is_barred("127.0.0.2:9000"));
}

#[gate::root_test]
fn a_client_that_goes_on_sending_reaches_the_pod_once_it_is_there() {
    let world = World::new();
    let socket = world.outside.udp_socket("192.0.2.1:5353").unwrap();
    // A table of any pod makes the kernel remember connections.
    let _other = world.pod(&[]);
    let _ = socket.send(b"nobody is there");
    let pod = world.pod(&PUBLISHED);
    assert!(socket.take_error().is_ok());
    assert_eq!(ask_udp(&socket).unwrap(), OUTSIDE[0]);
    drop(pod);
    let _again = world.pod(&PUBLISHED);
    let _ = socket.take_error();
    assert_eq!(ask_udp(&socket).unwrap(), OUTSIDE[0], "and the next pod, too");
}

#[gate::root_test]
fn a_table_of_others_that_drops_is_named_with_the_rule_that_helps() {
    let world = World::new();
    let socket = world.host.run(|| table::socket().unwrap());
    let request = |kind: u16, flags: u16, message: fn(Message) -> Message| {
        Request::new("test", message(Message::new(10 << 8 | kind, CREATE | flags, &header(V4))))
    };
    let chain = [
        request(0, 0, |message| message.text(1, "filter")),
        request(3, 0, |message| {
            message
                .text(1, "filter")
                .text(3, "FORWARD")
                .nest(4, |message| message.big_endian(1, 2).big_endian(2, 0))
                .text(7, "filter")
                .big_endian(5, 0)
        }),
    ];
    table::transaction(&socket, &chain).unwrap();
    let pod = world.pod(&PUBLISHED);
    assert_eq!(pod.warnings.len(), 1, "{:?}", pod.warnings);
    assert!(pod.warnings[0].contains("nft insert rule ip filter FORWARD iifname \"gantry*\" accept"));
    assert!(world.outside.is_barred("192.0.2.1:8080"), "a control: it drops");
    world.host.tcp("127.0.0.1:8080").unwrap();

    let accept = |rule: fn(Message) -> Message| {
        Request::new(
            "test",
            rule(Message::new(10 << 8 | 6, CREATE, &header(V4)).text(1, "filter").text(2, "FORWARD")),
        )
    };
    let rules = [
        accept(|message| message.nest(4, |message| crate::firewall::encode::accept_pods(message, 6))),
        accept(|message| message.nest(4, |message| crate::firewall::encode::accept_pods(message, 7))),
    ];
    table::transaction(&socket, &rules).unwrap();
    world.outside.tcp("192.0.2.1:8080").unwrap();
    assert_eq!(world.pod(&[]).warnings, Vec::<String>::new(), "with the rule, there is nothing to say");
}
