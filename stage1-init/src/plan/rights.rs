// SPDX-License-Identifier: Apache-2.0
//! The capabilities of an app.

use pod::App;
use pod::isolators::CapabilitySet;

/// Returns the capabilities that an app may have.
pub(super) fn capabilities(app: &App) -> CapabilitySet {
    app.isolators.capabilities.unwrap_or(CapabilitySet::DEFAULT)
}
