// SPDX-License-Identifier: Apache-2.0
//! Linux capabilities, by name, as sets.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::text::escape;

/// All capabilities, each at the index that is its number (linux/capability.h).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(u8);

/// A set of capabilities. As text: names separated by blanks, in the kernel's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl Capability {
    /// Returns its number (linux/capability.h).
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Capability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = NAMES.iter().position(|name| *name == text).and_then(|at| u8::try_from(at).ok());
        number.map(Self).ok_or_else(|| {
            Error::new(format!("unknown capability {}: expected a name such as CAP_NET_ADMIN", escape(text)))
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[usize::from(self.0)])
    }
}

impl CapabilitySet {
    /// The capabilities that an app may use unless its manifest says otherwise (appc spec,
    /// `os/linux/capabilities-remove-set`).
    pub const DEFAULT: Self = Self(
        1 << 0
            | 1 << 1
            | 1 << 3
            | 1 << 4
            | 1 << 5
            | 1 << 6
            | 1 << 7
            | 1 << 8
            | 1 << 10
            | 1 << 13
            | 1 << 18
            | 1 << 27
            | 1 << 29
            | 1 << 31,
    );

    /// Returns the set with these bits, by capability number; unknown ones are dropped.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << NAMES.len()) - 1))
    }

    /// Returns the set as bits, by capability number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Returns the capabilities that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the capabilities that are in this set but not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Tells whether the set contains this one.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability.0 != 0
    }

    /// Tells whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns its capabilities, in the kernel's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..).take(NAMES.len()).filter(move |number| self.0 & 1 << number != 0).map(Capability)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().fold(0, |bits, capability| bits | 1 << capability.0))
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(|capability| NAMES[usize::from(capability.0)]).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_is_the_specifications() {
        assert_eq!(
            CapabilitySet::DEFAULT.to_string(),
            "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP \
             CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_CHROOT CAP_MKNOD CAP_AUDIT_WRITE CAP_SETFCAP"
        );
    }

    #[test]
    fn sets() {
        let set = |names: &str| {
            names.split_whitespace().map(|name| name.parse().unwrap()).collect::<CapabilitySet>()
        };
        let (a, b) = (set("CAP_CHOWN CAP_BPF"), set("CAP_BPF CAP_CHECKPOINT_RESTORE"));
        assert_eq!(a.without(b).to_string(), "CAP_CHOWN");
        assert_eq!(a.union(b).to_string(), "CAP_CHOWN CAP_BPF CAP_CHECKPOINT_RESTORE");
        assert_eq!(CapabilitySet::from_bits(u64::MAX).iter().count(), NAMES.len());
        assert!(set("").is_empty());
        assert!(a.contains("CAP_CHOWN".parse().unwrap()) && !b.contains("CAP_CHOWN".parse().unwrap()));
        for unknown in ["", "CHOWN", "cap_chown", "CAP_NOTHING", "CAP_CHOWN "] {
            assert!(unknown.parse::<Capability>().is_err(), "{unknown:?}");
        }
    }
}
