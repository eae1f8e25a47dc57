// SPDX-License-Identifier: Apache-2.0
//! The capabilities of an app, and of the launcher that becomes it.

use pod::App;
use pod::isolators::CapabilitySet;

use crate::exchange::launch_file::launchers_capabilities;

/// Returns the capabilities that an app may have.
pub(super) fn capabilities(app: &App) -> CapabilitySet {
    app.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT)
}

/// Returns the launcher's capabilities that the app may not have.
pub(super) fn dropped_capabilities(app: &App) -> CapabilitySet {
    launchers_capabilities().without(capabilities(app))
}
