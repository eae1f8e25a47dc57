// SPDX-License-Identifier: Apache-2.0
//! The client: asks the endpoints of a plan for manifests and blobs, and trusts none of them. All bytes that it returns
//! have the digest that was asked for.

mod access;
mod agents;
mod blob;
mod blobs;
mod exchange;
mod failure;
mod manifest;
mod options;
mod origin;
mod patience;
mod pull;
mod request;
mod sink;
mod token;
mod transport;
mod url;
mod verify;

pub use blobs::{Blob, Wanted};
pub use manifest::{Kind, Manifest};
pub use options::{Limits, Options};
pub use pull::{Client, Pull};
pub use sink::Sink;
pub use verify::{Repository, verify};
