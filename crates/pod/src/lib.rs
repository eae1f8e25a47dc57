// SPDX-License-Identifier: Apache-2.0
//! The contract between the installer, which writes pod directories, and `/init`, which runs them.
//!
//! Contains types, parsing, validation and the pod directory's names. Invariant: no I/O and no unsafe here; a value
//! that exists is valid, so no later code checks it again.

pub mod arch;
pub mod blob;
mod called;
pub mod digest;
mod error;
pub mod exec;
pub mod id;
pub mod isolators;
pub mod json;
pub mod layers;
pub mod layout;
pub mod logs;
pub mod manifest;
mod model;
pub mod name;
pub mod network;
pub mod path;
pub mod signal;
pub mod text;
pub mod user;

pub use called::{HostName, PodName};
pub use error::{Error, Result};
pub use model::accounts::Accounts;
pub use model::environment::METADATA_URL;
pub use model::mounts::check_targets;
pub use model::{App, Mount, Pod, Socket, Source};
