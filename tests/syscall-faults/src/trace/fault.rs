// SPDX-License-Identifier: Apache-2.0
//! What a call can be replaced by.

use nix::errno::Errno;

/// A fault that replaces a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every process of the program is killed.
    Kill,
    /// The process that makes the call is killed, and the others go on.
    KillOne,
    /// The call fails.
    Error(Errno),
}
