// SPDX-License-Identifier: Apache-2.0
//! The capabilities of an app.

use super::App;
use crate::isolators::CapabilitySet;

/// The capabilities that are of no use to an app with users of its own, because they count where the pod's namespaces
/// belong to (capabilities(7), user_namespaces(7)): `CAP_NET_ADMIN` (12), `CAP_IPC_OWNER` (15), `CAP_SYS_PTRACE` (19),
/// `CAP_SYS_ADMIN` (21) and `CAP_SYS_BOOT` (22).
const OF_THE_POD: u64 = 1 << 12 | 1 << 15 | 1 << 19 | 1 << 21 | 1 << 22;

impl App {
    /// Returns the capabilities that the app may have.
    pub fn capabilities(&self) -> CapabilitySet {
        self.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT)
    }

    /// Returns those of them that only the pod's users can have. An app with any can't have users of its own.
    pub fn needs_pods_users(&self) -> CapabilitySet {
        let others = CapabilitySet::from_bits(u64::MAX).without(CapabilitySet::from_bits(OF_THE_POD));
        self.capabilities().without(others)
    }
}
