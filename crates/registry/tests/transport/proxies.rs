// SPDX-License-Identifier: Apache-2.0
//! A proxy: it is asked for the registry, and for nothing that the environment of the process says.

use registry::{Host, Proxies};

use super::*;

/// Options with this proxy for everything but `without`.
fn through(proxy: &Server, without: &'static str) -> Options {
    let url = format!("http://user:hunter2@{}", proxy.address);
    let proxies = Proxies::from_environment(|name| match name {
        "https_proxy" => Some(url.clone()),
        "no_proxy" => Some(without.to_owned()),
        _ => None,
    });
    Options { proxies: proxies.unwrap(), ..options() }
}

fn far() -> Plan {
    let mut plan = plan(&[]);
    let host: Host = plan.reference.host().clone();
    plan.endpoints.push(Endpoint { host, repository: "a/b".to_owned(), insecure: false });
    plan
}

#[test]
fn a_registry_is_reached_through_the_proxy() {
    let proxy = Server::start(|_| Reply::new(403, ""));
    let error = manifest(through(&proxy, ""), &far()).unwrap_err();
    assert!(error.contains("registry.example: the proxy does not connect to it"), "{error}");
    assert!(!error.contains("hunter2"));
    let seen = &proxy.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("CONNECT", "registry.example:443"));
    // `user:hunter2`.
    assert_eq!(seen.header("proxy-authorization"), "Basic dXNlcjpodW50ZXIy");
}

#[test]
fn loopback_and_listed_hosts_are_reached_without_it() {
    let proxy = Server::start(|_| Reply::new(403, ""));
    let server = Server::start(just_manifests);
    manifest(through(&proxy, ""), &plan(&[&server])).unwrap();
    let error = manifest(through(&proxy, ".example"), &far()).unwrap_err();
    assert!(error.contains("registry.example: "), "{error}");
    assert_eq!(proxy.connections(), 0);
}
