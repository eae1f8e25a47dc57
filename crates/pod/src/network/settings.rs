// SPDX-License-Identifier: Apache-2.0
//! The settings of a pod's network, which are annotations of the pod in its manifest:
//!
//! - `gantry/net`: `private`, `none`, `host` or `cni:NAME`.
//! - `gantry/net-alias`: names by which other pods that have such names find this one, with commas between them.
//! - `gantry/forwarding`: `set`: a host that does not forward IPv4 is made to.
//! - `gantry/dns`: nameservers in place of the host's, with commas between them; `gantry/dns-search`: domains.
//! - `gantry/hosts`: `own`, `host` or `none`.
//! - `gantry/add-host`: `NAME=ADDRESS`, with commas between them: more lines for the hosts file.
//!
//! An image can't have these annotations: the person who runs a pod decides which network it has.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::mode::Mode;
use crate::error::{Error, Result};
use crate::text::escape;

/// The annotations' names.
pub const NET: &str = "gantry/net";
const NET_ALIAS: &str = "gantry/net-alias";
const FORWARDING: &str = "gantry/forwarding";
const DNS: &str = "gantry/dns";
const DNS_SEARCH: &str = "gantry/dns-search";
const HOSTS: &str = "gantry/hosts";
const ADD_HOST: &str = "gantry/add-host";

/// The longest name of a host (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;

/// The settings of a pod's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The kind of network.
    pub mode: Mode,
    /// Its names for other pods; without one, it neither knows them nor is reached by them but for its published ports.
    pub aliases: Vec<HostName>,
    /// The action on a host that forwards nothing.
    pub forwarding: Forwarding,
    /// Nameservers in place of the host's.
    pub servers: Vec<IpAddr>,
    /// Domains in place of the host's, that names are looked for in.
    pub search: Vec<HostName>,
    /// The origin of the hosts file.
    pub hosts: HostsFile,
    /// More lines for it.
    pub more_hosts: Vec<MoreHost>,
}

/// The action on a host that forwards nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// It is left as it is.
    #[default]
    Keep,
    /// It is made to forward IPv4.
    Set,
}

/// The origin of a pod's hosts file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostsFile {
    /// The image's, completed by the pod's own name and loopback.
    #[default]
    Own,
    /// The host's, completed in the same way.
    Host,
    /// The image's as it is.
    None,
}

/// The name of a host or a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

/// A line of a hosts file: `NAME=ADDRESS`, or `NAME:ADDRESS` as others write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoreHost {
    /// The name.
    pub name: HostName,
    /// Its address.
    pub address: IpAddr,
}

impl Settings {
    /// Reads an annotation. Returns whether it is one of these.
    ///
    /// # Errors
    /// Fails if its value is none that it can have.
    pub fn read(&mut self, name: &str, value: &str) -> Result<bool> {
        let within = |error: Error| error.within(format_args!("annotation {name}"));
        match name {
            NET => self.mode = value.parse().map_err(within)?,
            NET_ALIAS => self.aliases = list(value, str::parse).map_err(within)?,
            FORWARDING if value == "set" => self.forwarding = Forwarding::Set,
            FORWARDING => {
                return Err(within(Error::new(format!("invalid value {}: expected set", escape(value)))));
            }
            DNS => self.servers = list(value, address).map_err(within)?,
            DNS_SEARCH => self.search = list(value, str::parse).map_err(within)?,
            HOSTS => self.hosts = value.parse().map_err(within)?,
            ADD_HOST => self.more_hosts = list(value, str::parse).map_err(within)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that they fit each other.
    ///
    /// # Errors
    /// Fails if names are given to a pod that no other one could reach by them.
    pub fn check(&self) -> Result<()> {
        match (&self.mode, self.aliases.is_empty()) {
            (Mode::None | Mode::Host, false) => Err(Error::new(format!(
                "annotations {NET} {} and {NET_ALIAS}: expected the network private, to be reached by other pods",
                self.mode
            ))),
            _ => Ok(()),
        }
    }

    /// Returns annotations that say the same, without those that say what is usual.
    pub fn annotations(&self) -> Vec<(&'static str, String)> {
        let usual = Self::default();
        let all = [
            (self.mode != usual.mode).then(|| (NET, self.mode.to_string())),
            joined(NET_ALIAS, &self.aliases),
            (self.forwarding == Forwarding::Set).then(|| (FORWARDING, "set".into())),
            joined(DNS, &self.servers),
            joined(DNS_SEARCH, &self.search),
            (self.hosts != usual.hosts).then(|| (HOSTS, self.hosts.to_string())),
            joined(ADD_HOST, &self.more_hosts),
        ];
        all.into_iter().flatten().collect()
    }
}

/// Returns the annotation that [`list`] reads, unless the list is empty.
fn joined<T: ToString>(name: &'static str, list: &[T]) -> Option<(&'static str, String)> {
    let words: Vec<_> = list.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| (name, words.join(",")))
}

fn list<T>(value: &str, read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    value.split(',').map(|word| read(word.trim())).collect()
}

fn address(text: &str) -> Result<IpAddr> {
    text.parse()
        .map_err(|_| Error::new(format!("invalid address {}: expected one as 192.0.2.1", escape(text))))
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(is_allowed);
        if !is_name || text.starts_with('-') || text.contains("..") {
            return Err(Error::new(format!(
                "invalid host name {}: expected one as db.example",
                escape(text)
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MoreHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, of_host) = text.split_once(['=', ':']).ok_or_else(|| {
            Error::new(format!("invalid host {}: expected NAME=ADDRESS, as db=192.0.2.7", escape(text)))
        })?;
        Ok(Self { name: name.parse()?, address: address(of_host.trim_matches(['[', ']']))? })
    }
}

impl fmt::Display for MoreHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

impl FromStr for HostsFile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Own, Self::Host, Self::None];
        all.into_iter().find(|file| file.to_string() == text).ok_or_else(|| {
            Error::new(format!("invalid hosts file {}: expected own, host or none", escape(text)))
        })
    }
}

impl fmt::Display for HostsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Host => "host",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_say_what_the_settings_are() {
        let all = [
            (NET, "host"),
            (NET_ALIAS, "web,web.example"),
            (FORWARDING, "set"),
            (DNS, "192.0.2.53,2001:db8::53"),
            (DNS_SEARCH, "a.example,."),
            (HOSTS, "none"),
            (ADD_HOST, "db=192.0.2.7,v6=2001:db8::1"),
        ];
        let mut settings = Settings::default();
        assert_eq!(settings.annotations(), []);
        for (name, value) in all {
            assert_eq!(settings.read(name, value), Ok(true), "{name}");
        }
        let said = settings.annotations();
        assert_eq!(said.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(), all);
        assert_eq!(settings.read("gantry/restart", "no"), Ok(false));
        assert_eq!("db:192.0.2.7".parse::<MoreHost>(), "db=192.0.2.7".parse());
        assert_eq!("db:[::1]".parse::<MoreHost>(), "db=::1".parse());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_annotation() {
        for (name, value, expected) in [
            (NET, "bridge", "unknown network \"bridge\": expected private, none, host or cni:NAME"),
            (NET_ALIAS, "", "invalid host name \"\": expected one as db.example"),
            (FORWARDING, "yes", "invalid value \"yes\": expected set"),
            (DNS, "", "invalid address \"\": expected one as 192.0.2.1"),
            (DNS, "192.0.2.1,dns.example", "invalid address \"dns.example\": expected one as 192.0.2.1"),
            (DNS_SEARCH, "a b", "invalid host name \"a b\": expected one as db.example"),
            (HOSTS, "image", "invalid hosts file \"image\": expected own, host or none"),
            (ADD_HOST, "db", "invalid host \"db\": expected NAME=ADDRESS, as db=192.0.2.7"),
            (ADD_HOST, "a\n=192.0.2.1", "invalid host name \"a\\n\": expected one as db.example"),
        ] {
            let error = Settings::default().read(name, value).unwrap_err().to_string();
            assert_eq!(error, format!("annotation {name}: {expected}"));
        }
    }
}
