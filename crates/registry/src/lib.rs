// SPDX-License-Identifier: Apache-2.0
//! Fetches images from registries.

pub mod auth;
pub mod challenge;
mod digest;
mod document;
mod error;
mod host;
pub mod reference;
pub mod registries;

pub use digest::BlobDigest;
pub use error::{Attempt, Error, Failure};
pub use host::Host;
pub use reference::{Name, Reference, Version};
