// SPDX-License-Identifier: Apache-2.0
//! The launch file, which says how one of an app's programs is started. `/init` writes it and the launcher reads it.
//!
//! systemd opens the file as the launcher's stdin. The launcher then enters the app's root, so the app can't reach the
//! file by name. Text from a manifest is in these files alone. Units have none, so there is nothing that systemd could
//! expand, cut or drop, and the kernel's limits are the only ones.
//!
//! Invariant: what was valid when it was written is of the same type when it is read.

use filter::List;
use pod::exec::{Exec, Word};
use pod::isolators::{Call, CapabilitySet, ErrorNumber, Rule, Seccomp};
use pod::manifest::Users;
use pod::name::{AppName, EnvName, PortName};
use pod::path::AbsolutePath;
use serde::{Deserialize, Serialize};

/// The capabilities that a launcher has beside its app's, until it is in the app's root (linux/capability.h).
///
/// `CAP_SYS_ADMIN` (21) and `CAP_SYS_CHROOT` (18) are for entering that root, the first for setting a filter as well.
/// `CAP_SETGID` (6) and `CAP_SETUID` (7) are for becoming the app's user, and `CAP_SETPCAP` (8) for losing all of these
/// again. `CAP_SYS_PTRACE` (19) protects the launcher until then: without it, a process of an app's could have the same
/// capabilities.
pub(crate) fn launchers_capabilities() -> CapabilitySet {
    CapabilitySet::from_bits(1 << 21 | 1 << 18 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 19)
}

/// One of an app's programs: the app itself or a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The app's name, for messages.
    #[serde(with = "escaped")]
    pub app: AppName,
    /// Its root, in the pod.
    pub root: AbsolutePath,
    /// The program and its arguments.
    pub exec: Exec,
    /// The directory in which it starts.
    pub directory: AbsolutePath,
    /// All of its environment; a name occurs once.
    #[serde(with = "map")]
    pub environment: Vec<(EnvName, Word)>,
    /// Whose users it has. With the app's own, it runs in the app's user namespace (`names::NAMESPACES`).
    #[serde(with = "whose")]
    pub users: Users,
    /// The user that it runs as.
    pub user: u32,
    /// Its primary group.
    pub group: u32,
    /// Its supplementary groups, including the primary one; empty if the primary one is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// Whether it is a handler. Handlers don't get the caller's stdin, which is for the app alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handler: bool,
    /// The index, among the pod's sockets, of the one that the other side of its terminal goes to. Without one, it has the
    /// caller's stdio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<usize>,
    /// Whether it says when it is up, and reaches the pod's systemd for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notifies: bool,
    /// The sockets that it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Sockets>,
    /// The app's own filter of the system calls that it may make. Without one, it has the default filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Filter>,
    /// The name for its marks, if it is to record the times of its start (`exchange::timing`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<String>,
    /// The capabilities that it may have.
    #[serde(default, with = "numbers", skip_serializing_if = "is_empty")]
    pub capabilities: CapabilitySet,
}

/// A consecutive range of the pod's sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockets {
    /// The index of the first one among the pod's sockets.
    pub first: usize,
    /// The sockets' names, in order.
    pub names: Vec<PortName>,
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
    /// Returns the list of calls that it is.
    pub(crate) fn list(&self) -> List<'_> {
        List { retain: self.retain, calls: &self.calls, errno: self.errno }
    }

    /// Tells whether it filters anything: an app may ask for none.
    pub(crate) fn filters(&self) -> bool {
        self.retain || !self.calls.is_empty()
    }

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

/// An app's name in its escaped form, as all files of the running pod have it.
mod escaped {
    use pod::name::AppName;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(name: &AppName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AppName, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Whose users a program has, by the name that manifests have for it.
mod whose {
    use pod::manifest::Users;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(users: &Users, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(users.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Users, D::Error> {
        let name = String::deserialize(deserializer)?;
        Users::named(&name).ok_or_else(|| D::Error::custom("there are no such users"))
    }
}

/// Names and values as a JSON object, in their order.
mod map {
    use std::fmt;

    use pod::exec::Word;
    use pod::name::EnvName;
    use serde::de::{MapAccess, Visitor};
    use serde::{Deserializer, Serializer};

    type Pairs = Vec<(EnvName, Word)>;

    pub(super) fn serialize<S: Serializer>(pairs: &Pairs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        deserializer.deserialize_map(Map)
    }

    struct Map;

    impl<'de> Visitor<'de> for Map {
        type Value = Pairs;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names with values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
}

/// A set of capabilities as a list of their numbers.
mod numbers {
    use pod::isolators::CapabilitySet;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(set: &CapabilitySet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(set.iter().map(|one| one.number()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CapabilitySet, D::Error> {
        let mut set = CapabilitySet::default();
        for number in Vec::<u32>::deserialize(deserializer)? {
            let one = CapabilitySet::from_bits(1_u64.checked_shl(number).unwrap_or_default());
            if one.is_empty() {
                return Err(D::Error::custom("expected the number of a capability"));
            }
            set = set.union(one);
        }
        Ok(set)
    }
}

// Its shape is serde's.
fn is_empty(set: &CapabilitySet) -> bool {
    set.is_empty()
}
