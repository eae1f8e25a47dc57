// SPDX-License-Identifier: Apache-2.0
//! What can't be had is refused in one line, before anything is made.

use std::net::{TcpListener, UdpSocket};

use pod::network::Forwarding;

use super::world::{World, wanted};
use crate::addresses::Range;
use crate::setup::{preview, reserve};

fn refused(world: &World, published: &[&str]) -> String {
    world.reserve(published).unwrap_err().to_string()
}

#[gate::root_test]
fn a_port_that_is_taken_is_refused_with_the_process_that_has_it() {
    let world = World::new();
    let tcp = world.host.run(|| TcpListener::bind("127.0.0.1:8080")).unwrap();
    let udp = world.host.run(|| UdpSocket::bind("[::]:5353")).unwrap();
    let own = format!("process {} (", std::process::id());
    for (published, port) in [("8080:80", "8080/tcp"), ("5353:53/udp", "5353/udp")] {
        let error = refused(&world, &[published]);
        assert!(error.starts_with(&format!("port {port} of the host is taken by {own}")), "{error}");
    }
    drop((tcp, udp));
    world.reserve(&["8080:80", "5353:53/udp"]).unwrap();
}

#[gate::root_test]
fn a_port_of_a_pod_is_neither_another_pods_nor_the_hosts() {
    let world = World::new();
    let pod = world.pod(&["8080:80", "127.0.0.1:5353:53/udp"]);
    assert_eq!(refused(&world, &["8080:80"]), "port 8080/tcp of the host is taken: expected a free one");
    assert!(refused(&world, &["5353:53/udp"]).starts_with("port 5353/udp of the host is taken"));
    world.host.run(|| {
        // The standard library sets SO_REUSEADDR.
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        assert!(TcpListener::bind("[::1]:8080").is_err());
        assert!(UdpSocket::bind("127.0.0.1:5353").is_err());
    });
    drop(pod);
    world.pod(&["8080:80", "127.0.0.1:5353:53/udp"]);
}

#[gate::root_test]
fn addresses_that_are_not_the_hosts_are_refused() {
    let world = World::new();
    assert_eq!(
        refused(&world, &["192.0.2.9:8080:80"]),
        "192.0.2.9 is no address of the host: expected one that it has, to publish 8080/tcp on it"
    );
    world.host.set("ipv6/conf/all/disable_ipv6", "1");
    let error = refused(&world, &["[::1]:8080:80"]);
    assert!(error.starts_with("IPv6 is off"), "{error}");
    let pod = world.reserve(&["8080:80"]).unwrap();
    assert_eq!(pod.plan.v6, None, "without IPv6, a pod has none");
}

#[gate::root_test]
fn a_host_that_forwards_nothing_is_an_error_only_where_it_has_to() {
    let world = World::without_forwarding();
    let error = refused(&world, &["8080:80"]);
    assert!(error.starts_with("net.ipv4.ip_forward is 0: expected 1"), "{error}");
    let pod = world.pod(&["127.0.0.1:8080:80"]);
    assert!(pod.reserved.warnings[0].contains("net.ipv4.ip_forward is 0"), "{:?}", pod.reserved.warnings);
    world.host.tcp("127.0.0.1:8080").unwrap();

    let mut asked = wanted(&["8081:80"]);
    asked.forwarding = Forwarding::Set;
    let pod = world.host.run(|| reserve(&asked)).unwrap();
    assert_eq!(pod.warnings, Vec::<String>::new());
    world.pod(&["8082:80"]);
    world.outside.tcp("192.0.2.1:8082").unwrap_err();
}

#[gate::root_test]
fn a_range_that_a_route_covers_is_passed_over() {
    let world = World::new();
    let route = |to: &str| {
        let to = to.parse().unwrap();
        world.host.run(|| {
            let socket = crate::netlink::socket::Socket::open(None).unwrap();
            let index = super::world::index(&socket, "up0");
            socket.all(&[crate::route::route_to("up0", index, to)]).unwrap();
        });
    };
    let asked = wanted(&[]);
    let first = world.host.run(|| preview(&asked)).unwrap().v4;
    assert!(first.to_string().starts_with("10.177."), "{first}");
    route(&first.to_string());
    let second = world.host.run(|| preview(&asked)).unwrap().v4;
    assert!(second.to_string().starts_with("172.30."), "{second}");

    let mut alone = asked.clone();
    alone.ranges = vec!["10.177.0.0/18".parse::<Range>().unwrap()];
    let error = world.host.run(|| reserve(&alone)).unwrap_err().to_string();
    let expected = format!(
        "no address for the pod: expected a range without a route on the host, but 10.177.0.0/18 has a route by up0 to {first}/32"
    );
    assert_eq!(error, expected);
}

#[gate::root_test]
fn a_range_that_is_full_is_an_error() {
    let world = World::new();
    let mut asked = wanted(&[]);
    asked.ranges = vec!["10.9.9.8/29".parse().unwrap()];
    let take = || world.host.run(|| reserve(&asked));
    let all: Vec<_> = (0..6).map(|_| take().unwrap()).collect();
    let numbers: std::collections::BTreeSet<_> = all.iter().map(|one| one.plan.number).collect();
    assert_eq!(numbers.len(), 6);
    assert_eq!(
        take().unwrap_err().to_string(),
        "no address for the pod: expected a free one in 10.9.9.8/29, but each is in use"
    );
}
