// SPDX-License-Identifier: Apache-2.0
//! What a program of an app's is started with: a file that `/init` writes and the launcher reads.
//!
//! systemd opens the file as the launcher's stdin, and the launcher enters the app's root, so the app has no name for it.
//! Text from a manifest is in these files alone: no unit has any, so there is nothing for systemd to expand, to cut
//! or to drop, and the kernel's limits are the only ones.

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
    /// Where it starts.
    pub directory: String,
    /// All of its environment.
    pub environment: BTreeMap<String, String>,
    /// Its supplementary groups, its primary one among them; none where that is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// Whether it is a handler: the caller's stdin is for the app alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
    /// The sockets it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Sockets>,
    /// Which system calls it may make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Filter>,
    /// Whether it may make user namespaces: with `CAP_SYS_ADMIN`, which is not less.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_namespaces: bool,
    /// Capabilities, by number, that only the launcher has; the program gets none of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop_capabilities: Vec<u8>,
}

/// A run of the pod's sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// Where the first is among the pod's.
    pub first: usize,
    /// The sockets' names, in order.
    pub names: Vec<String>,
}

/// A seccomp filter by this machine's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Whether the calls are all that is allowed, or all that is not.
    pub retain: bool,
    /// The calls.
    pub calls: Vec<u32>,
    /// What a call that is not allowed returns; without it, the program is ended by SIGSYS.
    pub errno: Option<u16>,
}

impl Filter {
    /// Whether a call is allowed.
    pub(crate) fn allows(&self, call: i64) -> bool {
        self.calls.iter().any(|listed| i64::from(*listed) == call) == self.retain
    }
}

impl From<&Seccomp> for Filter {
    /// Calls that this machine does not have can't be made, whatever is said of them.
    fn from(seccomp: &Seccomp) -> Self {
        Self {
            retain: seccomp.rule == Rule::Retain,
            calls: seccomp.calls.iter().filter_map(Call::number).collect(),
            errno: seccomp.errno.map(ErrorNumber::number),
        }
    }
}
