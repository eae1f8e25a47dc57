// SPDX-License-Identifier: Apache-2.0
//! Proxies: which host is reached through which proxy. The environment is read once, when a program starts.

use std::net::IpAddr;

use ureq::{Proxy, ProxyProtocol};

use crate::error::Error;

/// The proxies of the environment. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Hosts that are reached without one.
    without: Vec<String>,
}

impl Proxies {
    /// Reads `http_proxy`, `HTTPS_PROXY`, `https_proxy`, `ALL_PROXY`, `all_proxy`, `NO_PROXY` and `no_proxy`.
    /// `HTTP_PROXY` is not read, since a remote client can set it for a program that serves CGI.
    ///
    /// # Errors
    /// Fails if a proxy's URL is invalid, or its scheme is neither `http` nor `https`.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let first = |names: &[&'static str]| {
            let all = names.iter().map(|name| (*name, variable(name).unwrap_or_default()));
            all.into_iter().find(|(_, value)| !value.is_empty())
        };
        let proxy =
            |names: &[&'static str]| first(names).map(|(name, value)| proxy(name, &value)).transpose();
        let without = first(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default();
        let without = without.split([',', ' ']).filter(|entry| !entry.is_empty());
        Ok(Self {
            http: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            without: without.map(str::to_ascii_lowercase).collect(),
        })
    }

    /// Returns the proxy for a host, if there is one.
    pub(crate) fn of(&self, host: &str, tls: bool) -> Option<Proxy> {
        let proxy = if tls { &self.https } else { &self.http };
        if self.is_direct(host) { None } else { proxy.clone() }
    }

    /// Tells whether a host, with its port, is reached without a proxy. The machine itself always is.
    fn is_direct(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        let bare = name.trim_matches(['[', ']']);
        let own = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        own || self.without.iter().any(|entry| entry == "*" || matches(entry, &host, bare))
    }
}

/// Tells whether an entry of `no_proxy` is this host, or a domain that it is in.
fn matches(entry: &str, host: &str, name: &str) -> bool {
    if entry == host || entry.trim_matches(['[', ']']) == name {
        return true;
    }
    let domain = entry.trim_start_matches('*').trim_start_matches('.');
    let below = name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    !domain.is_empty() && (below || domain == name)
}

fn proxy(name: &'static str, value: &str) -> Result<Proxy, Error> {
    let proxy =
        Proxy::new(value).ok().filter(|proxy| proxy.uri().host().is_some_and(|host| !host.is_empty()));
    let proxy = proxy.ok_or(Error::Setting { name, problem: "expected the URL of a proxy" })?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(proxy),
        _ => Err(Error::Setting { name, problem: "expected a proxy that speaks HTTP" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(all: &[(&str, &str)]) -> Result<Proxies, Error> {
        Proxies::from_environment(|name| {
            all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn hosts_that_are_listed_are_reached_directly() {
        let without = ".corp.example,plain.example,*.star.example,10.0.0.1,port.example:5000,[fe80::1]";
        let all = proxies(&[("https_proxy", "http://p:1"), ("no_proxy", without)]).unwrap();
        let cases = [
            ("quay.io", false),
            ("a.corp.example:5000", true),
            ("corp.example", true),
            ("corp.example.org", false),
            ("xcorp.example", false),
            ("plain.example", true),
            ("b.plain.example", true),
            ("c.star.example", true),
            ("10.0.0.1:5000", true),
            ("10.0.0.11", false),
            ("port.example:5000", true),
            ("port.example", false),
            ("[fe80::1]:5000", true),
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("[::1]:5000", true),
        ];
        for (host, direct) in cases {
            assert_eq!(all.of(host, true).is_none(), direct, "{host}");
        }
        assert!(all.of("quay.io", false).is_none());
    }

    #[test]
    fn variables_have_an_order() {
        let all = proxies(&[
            ("HTTPS_PROXY", "http://up:1"),
            ("https_proxy", "http://low:1"),
            ("ALL_PROXY", "http://all:1"),
        ]);
        let all = all.unwrap();
        assert_eq!(all.of("a.b", true).unwrap().host(), "low");
        assert_eq!(all.of("a.b", false).unwrap().host(), "all");
        assert!(proxies(&[("HTTP_PROXY", "http://x:1")]).unwrap().of("a.b", false).is_none());
        assert!(proxies(&[("https_proxy", "")]).unwrap().of("a.b", true).is_none());
    }

    #[test]
    fn a_password_is_in_no_message() {
        for value in ["socks5://u:hunter2@p:1", "wrong://u:hunter2@p:1", "http://u:hunter2@:x"] {
            let error = proxies(&[("https_proxy", value)]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let all = proxies(&[("https_proxy", "http://u:hunter2@p:1")]).unwrap();
        assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
    }
}
