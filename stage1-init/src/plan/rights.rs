// SPDX-License-Identifier: Apache-2.0
//! The capabilities of an app, and of the launcher that becomes it.

use pod::App;
use pod::isolators::CapabilitySet;

use crate::exchange::launch_file::launchers_capabilities;

/// `CAP_SYS_ADMIN` (linux/capability.h).
const SYS_ADMIN: u64 = 1 << 21;

/// Returns the capabilities that an app may have.
pub(super) fn capabilities(app: &App) -> CapabilitySet {
    app.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT)
}

/// Tells whether an app may do what requires `CAP_SYS_ADMIN`.
pub(super) fn may_administer(app: &App) -> bool {
    CapabilitySet::from_bits(SYS_ADMIN).without(capabilities(app)).is_empty()
}

/// Returns the launcher's capabilities that the app may not have.
pub(super) fn dropped_capabilities(app: &App) -> CapabilitySet {
    launchers_capabilities().without(capabilities(app))
}
