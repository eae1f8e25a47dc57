// SPDX-License-Identifier: Apache-2.0
//! The process that speaks to registries: TLS, HTTP and JSON of strangers are read by a process that has no rights.
//!
//! ```text
//! installer ── a socket: what is wanted, and what was fetched ── fetcher ── TLS ── registries
//! ```
//!
//! The fetcher is this same program, called by another name. It reads what the host says about the registry, and gives
//! up everything that it doesn't need: it runs as `nobody`, has no capability, can execute and write nothing, and has
//! no descriptor but the socket. It stays in the host's network.
//!
//! Invariant: the fetcher is not trusted. Documents and blobs that it sends have the digests that were asked for, or
//! are refused; signatures are checked by the installer; what it says is escaped before it is shown.

mod calls;
mod child;
mod parent;
mod wire;

pub use child::main;
pub(crate) use parent::Fetcher;
