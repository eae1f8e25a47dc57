// SPDX-License-Identifier: Apache-2.0
//! Rights that a process gives up for good.

use std::io;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};

/// Drops every capability that the kernel knows from this thread's bounding set (capabilities(7)), but those in `kept`.
///
/// # Errors
/// Returns the system's error: for a capability that is in the set, dropping takes `CAP_SETPCAP`.
pub fn drop_from_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            // The kernel has no more capabilities.
            Err(Errno::INVAL) => break,
            is_in => {
                if is_in? && !kept.contains(capability) {
                    remove_capability_from_bounding_set(capability)?;
                }
            }
        }
    }
    Ok(())
}
