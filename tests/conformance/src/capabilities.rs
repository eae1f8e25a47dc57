// SPDX-License-Identifier: Apache-2.0
//! Capabilities by name. A bit without a name here is shown by its number, so that no set looks smaller than it is.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::expect::Mask;

/// By bit, as in linux/capability.h.
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

/// Returns the names of a set.
pub(crate) fn names(Mask(set): Mask) -> BTreeSet<String> {
    let name = |bit: usize| NAMES.get(bit).map_or_else(|| format!("CAP_{bit}"), |name| (*name).to_owned());
    (0..64).filter(|bit| set >> bit & 1 == 1).map(name).collect()
}

/// Returns the names of the set in this row of `/proc/self/status`.
///
/// # Errors
/// Fails if there is no such row.
pub(crate) fn set(row: &str) -> Result<BTreeSet<String>> {
    Ok(names(crate::status::row(row)?.mask()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_names_of_the_header() {
        assert_eq!(
            Vec::from_iter(names(Mask(1 | 1 << 21 | 1 << 40))),
            ["CAP_CHECKPOINT_RESTORE", "CAP_CHOWN", "CAP_SYS_ADMIN"]
        );
        assert_eq!(names(Mask(0)).len(), 0);
    }

    #[test]
    fn a_bit_without_a_name_is_not_lost() {
        assert_eq!(Vec::from_iter(names(Mask(1 << 41 | 1 << 63))), ["CAP_41", "CAP_63"]);
    }
}
