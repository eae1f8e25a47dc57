// SPDX-License-Identifier: Apache-2.0
//! The network that a pod asks for: which one it has, and which of its ports are published on the host.

mod mode;
mod protocol;
mod published;
mod settings;

pub use mode::{CniName, Mode};
pub use protocol::Protocol;
pub use published::{Published, check_distinct};
pub use settings::{Forwarding, HostName, HostsFile, MoreHost, NET, Settings};
