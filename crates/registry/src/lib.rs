// SPDX-License-Identifier: Apache-2.0
//! Fetches images from registries.

pub mod auth;
mod cancel;
pub mod certs;
pub mod challenge;
pub mod client;
mod digest;
mod document;
mod error;
mod host;
mod listener;
mod places;
pub mod policy;
mod proxy;
pub mod reference;
pub mod registries;
mod signature;

pub use client::{Blob, Client, Kind, Limits, Manifest, Options, Pull, Sink, Wanted};
pub use digest::BlobDigest;
pub use error::{Attempt, Error, Failure};
pub use host::Host;
pub use listener::{Listener, Progress, Silent};
pub use places::Places;
pub use policy::{Decision, Policy, Signatures};
pub use proxy::Proxies;
pub use reference::{Name, Reference, Tag, Version};
