// SPDX-License-Identifier: Apache-2.0
//! Sysctls that are a pod's own: of its network and of its IPC namespace (namespaces(7)). All others are the host's.

use std::fmt;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::escape;

/// The sysctls of the IPC namespace (ipc_namespaces(7)), but for those that serve to restore processes.
const IPC: [&str; 13] = [
    "fs/mqueue/msg_default",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_default",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/queues_max",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shm_rmid_forced",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
];
const NETWORK: &str = "net/";
/// The longest value: the kernel takes a page.
const VALUE_MAX: usize = 4095;

/// A sysctl of a pod's own, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    path: String,
    value: String,
}

impl Sysctl {
    /// Reads the isolator's value, an object.
    pub(super) fn parse_all(value: &Value) -> Result<Vec<Self>> {
        let object = value.as_object();
        let all = object.ok_or_else(|| Error::new("invalid value: expected an object of sysctls"))?;
        let mut sysctls: Vec<Self> = Vec::new();
        for (name, value) in all {
            let sysctl = Self::parse(name, value).map_err(|error| error.within(escape(name)))?;
            if sysctls.iter().any(|other| other.path == sysctl.path) {
                return Err(Error::new(format!("{sysctl} stands twice: expected it once")));
            }
            sysctls.push(sysctl);
        }
        Ok(sysctls)
    }

    /// The first separator of a name decides whether `.` or `/` is the separator; the other one is `/` or `.` in a
    /// component (sysctl(8)).
    fn parse(name: &str, value: &Value) -> Result<Self> {
        let path: String = match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
            Some(b'.') => name.chars().map(swapped).collect(),
            _ => name.to_owned(),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let is_component = |part: &str| {
            !part.is_empty() && part.bytes().all(is_plain) && part.bytes().any(|byte| byte != b'.')
        };
        if !path.split('/').all(is_component) {
            return Err(Error::new(
                "invalid name: expected one of sysctl(8), such as net.ipv4.tcp_mtu_probing",
            ));
        }
        if !path.starts_with(NETWORK) && !IPC.contains(&path.as_str()) {
            return Err(Error::new(
                "is the host's: expected a sysctl of the pod's own network (net.*) or IPC (kernel.msg*, kernel.sem, \
                 kernel.shm*, fs.mqueue.*)",
            ));
        }
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(Error::new("invalid value: expected text")),
        };
        if value.is_empty()
            || value.len() > VALUE_MAX
            || value.bytes().any(|byte| byte < b' ' && byte != b'\t')
        {
            return Err(Error::new(format!("invalid value: expected one line of at most {VALUE_MAX} bytes")));
        }
        Ok(Self { path, value })
    }

    /// Returns its path below /proc/sys.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns its value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Tells whether it is one of the network's. Otherwise it is one of IPC.
    pub fn is_networks(&self) -> bool {
        self.path.starts_with(NETWORK)
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.chars().map(swapped).collect::<String>())
    }
}

fn swapped(separator: char) -> char {
    match separator {
        '.' => '/',
        '/' => '.',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_have_either_separator() {
        let all = json!({"net.ipv4.conf.eth0/1.forwarding": "1", "net/core/somaxconn": 7, "kernel.sem": "1\t2 3 4"});
        let all = Sysctl::parse_all(&all).unwrap();
        let mut shown: Vec<_> =
            all.iter().map(|one| (one.path(), one.value(), one.to_string(), one.is_networks())).collect();
        shown.sort();
        let expected = [
            ("kernel/sem", "1\t2 3 4", "kernel.sem".to_owned(), false),
            ("net/core/somaxconn", "7", "net.core.somaxconn".to_owned(), true),
            ("net/ipv4/conf/eth0.1/forwarding", "1", "net.ipv4.conf.eth0/1.forwarding".to_owned(), true),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_hosts_sysctl_and_what_is_none_are_refused_by_name() {
        for (name, value, why) in [
            ("kernel.core_pattern", json!("|/x"), "is the host's"),
            ("kernel/core_pattern", json!("|/x"), "is the host's"),
            ("kernel.shmmax2", json!("1"), "is the host's"),
            ("kernel.msg_next_id", json!("1"), "is the host's"),
            ("vm.overcommit_memory", json!("1"), "is the host's"),
            ("fs.mqueue.other", json!("1"), "is the host's"),
            ("fs.file-max", json!("1"), "is the host's"),
            ("net", json!("1"), "is the host's"),
            ("net.ipv4/../../kernel.core_pattern", json!("1"), "invalid name"),
            ("net/../kernel/core_pattern", json!("1"), "invalid name"),
            ("net/./x", json!("1"), "invalid name"),
            ("net//x", json!("1"), "invalid name"),
            ("/net/x", json!("1"), "invalid name"),
            ("net.x.", json!("1"), "invalid name"),
            ("net.\0", json!("1"), "invalid name"),
            ("", json!("1"), "invalid name"),
            ("net.x", json!(""), "expected one line"),
            ("net.x", json!("1\n2"), "expected one line"),
            ("net.x", json!("x".repeat(5000)), "expected one line"),
            ("net.x", json!(true), "expected text"),
            ("net.x", json!(null), "expected text"),
        ] {
            let error = Sysctl::parse_all(&json!({name: value})).unwrap_err().to_string();
            assert!(
                error.contains(why) && error.starts_with(&escape(name)) && !error.contains('\n'),
                "{error}"
            );
        }
        let twice = Sysctl::parse_all(&json!({"net.x": "1", "net/x": "2"})).unwrap_err().to_string();
        assert!(twice.contains("net.x stands twice"), "{twice}");
        assert!(Sysctl::parse_all(&json!([])).is_err());
    }
}
