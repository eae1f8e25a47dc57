// SPDX-License-Identifier: Apache-2.0
//! The launch file, which says how one of an app's programs is started. `/init` writes it and the launcher reads it.
//!
//! systemd opens the file as the launcher's stdin. The launcher then enters the app's root, so the app can't reach the
//! file by name. Text from a manifest is in these files alone. Units have none, so there is nothing that systemd could
//! expand, cut or drop, and the kernel's limits are the only ones.

use std::collections::BTreeMap;

use pod::isolators::{Call, ErrorNumber, Rule, Seccomp};
use serde::{Deserialize, Serialize};

/// One of an app's programs: the app itself or a handler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The app's name, for messages.
    pub app: String,
    /// Its root, in the pod.
    pub root: String,
    /// The program and its arguments.
    pub exec: Vec<String>,
    /// The directory in which it starts.
    pub directory: String,
    /// All of its environment.
    pub environment: BTreeMap<String, String>,
    /// Its supplementary groups, including the primary one; empty if the primary one is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// Whether it is a handler. Handlers don't get the caller's stdin, which is for the app alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
    /// The sockets that it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Sockets>,
    /// The filter of the system calls that it may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Filter>,
    /// Whether it may make user namespaces. Only programs with `CAP_SYS_ADMIN` may, which allows no less anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_namespaces: bool,
    /// The numbers of the capabilities that only the launcher has; the program gets none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_capabilities: Vec<u8>,
}

/// A consecutive range of the pod's sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// The index of the first one among the pod's sockets.
    pub first: usize,
    /// The sockets' names, in order.
    pub names: Vec<String>,
}

/// A seccomp filter, with this machine's system call numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Whether the listed calls are the only ones allowed; otherwise they are the only ones not allowed.
    pub retain: bool,
    /// The calls.
    pub calls: Vec<u32>,
    /// The error that a call that is not allowed returns; without it, SIGSYS ends the program.
    pub errno: Option<u16>,
}

impl Filter {
    /// Tells whether a call is allowed.
    pub(crate) fn allows(&self, call: i64) -> bool {
        self.calls.iter().any(|listed| i64::from(*listed) == call) == self.retain
    }
}

impl From<&Seccomp> for Filter {
    /// Leaves out calls that this machine does not have: nothing can make them, whatever the rule.
    fn from(seccomp: &Seccomp) -> Self {
        Self {
            retain: seccomp.rule == Rule::Retain,
            calls: seccomp.calls.iter().filter_map(Call::number).collect(),
            errno: seccomp.errno.map(ErrorNumber::number),
        }
    }
}
