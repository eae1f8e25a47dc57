// SPDX-License-Identifier: Apache-2.0
//! Ports that an app listens on (appc spec, image manifest, ports).

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::name::PortName;
use crate::network::Protocol;
use crate::text::escape;

/// One port or a range of them; every number is from 1 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Port {
    /// Its name in the app.
    pub name: PortName,
    /// The protocol.
    pub protocol: Protocol,
    /// The first port's number.
    first: u16,
    /// The last port's number.
    last: u16,
    /// Whether the app expects listening sockets to be passed to it.
    pub socket_activated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    name: PortName,
    protocol: String,
    port: i64,
    count: Option<i64>,
    socket_activated: Option<bool>,
}

impl Port {
    /// Returns how many ports there are.
    pub fn count(&self) -> usize {
        self.numbers().count()
    }

    /// Returns the ports' numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u16> + use<> {
        self.first..=self.last
    }
}

impl TryFrom<Raw> for Port {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self> {
        let Raw { name, protocol, port, count, socket_activated } = raw;
        let protocol = match protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => {
                let other = escape(other);
                return Err(Error::new(format!("port {name} has protocol {other}: expected tcp or udp")));
            }
        };
        let count = count.unwrap_or(1);
        let last = port.saturating_add(count).saturating_sub(1);
        let number = |number| number_of(number).map_err(|error| error.within(format_args!("port {name}")));
        let (first, last) = (number(port)?, number(last)?);
        if count < 1 {
            return Err(Error::new(format!("port {name} has count {count}: expected 1 or more")));
        }
        Ok(Self { name, protocol, first, last, socket_activated: socket_activated.unwrap_or_default() })
    }
}

/// Reads a port's number.
///
/// # Errors
/// Fails if it is not one.
pub(super) fn number_of(number: i64) -> Result<u16> {
    match u16::try_from(number) {
        Ok(number @ 1..) => Ok(number),
        _ => Err(Error::new(format!("invalid port number {number}: expected 1 to 65535"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn runs_of_ports() {
        let port: Port = from_value(json!({"name": "web", "protocol": "tcp", "port": 80})).unwrap();
        assert_eq!((port.numbers().collect::<Vec<_>>(), port.socket_activated), (vec![80], false));
        let run = json!({"name": "a", "protocol": "udp", "port": 65534, "count": 2, "socketActivated": true});
        assert_eq!(from_value::<Port>(run).unwrap().numbers().collect::<Vec<_>>(), [65534, 65535]);
    }

    #[test]
    fn numbers_that_are_no_ports_are_refused() {
        for (port, count) in
            [(0, 1), (70_000, 1), (-1, 1), (65_535, 2), (1, 65_536), (80, 0), (80, -1), (1, i64::MAX)]
        {
            let bad = json!({"name": "a", "protocol": "tcp", "port": port, "count": count});
            assert!(from_value::<Port>(bad).is_err(), "{port} {count}");
        }
        for (name, protocol) in [("a", "sctp"), ("A", "tcp"), ("a", "TCP")] {
            let bad = json!({"name": name, "protocol": protocol, "port": 80});
            assert!(from_value::<Port>(bad).is_err(), "{name} {protocol}");
        }
    }
}
