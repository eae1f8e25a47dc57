// SPDX-License-Identifier: Apache-2.0
//! The worker: a confined process, separate from the installer, that decodes and extracts an archive.
//!
//! Decoders read untrusted data. If an archive exploits a bug in one, the damage is limited to a process that sees
//! nothing but the new tree, and can only make objects in it:
//!
//! ```text
//! installer ── stdin: the archive ── stdout: the record ── stderr: one message ── cwd: the tree ──► worker
//! ```
//!
//! The worker is this same program, called by another name. It has its own root, network and IPC namespaces, six
//! capabilities, no environment, no descriptors but these, and no system calls but those that unpacking needs. The
//! record is locked as long as the worker exists. So what a killed installer leaves behind is not removed until its
//! worker has ended, too.
//!
//! Invariants: not one byte of the archive is read by the worker before it is confined, and it is an error if the worker
//! can't be confined. A [`Verified`](crate::extract::Verified) comes only from a worker's whole message, which a worker
//! writes only once it has finished. A worker protects the host from an archive. What it reports about the archive is
//! believed, except that the digest must be the expected one.

mod calls;
mod child;
mod confine;
pub(crate) mod decompress;
mod job;
pub mod layers;
mod parent;

pub use calls::MEMORY_AND_THREADS;

use std::ffi::OsStr;
use std::process::ExitCode;

pub use job::{Job, Policies};
pub use parent::{Descriptors, is_at_work, spawn};
pub use parent::{Destination, unpack};

/// Does a worker's job and reports the result, if this program was called as a worker.
pub fn main(policies: Policies) -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let (name, order) = (arguments.next()?, arguments.next().unwrap_or_default());
    let (is_called, order) = (|called: &str| name == OsStr::new(called), order.as_encoded_bytes());
    if is_called(job::NAME) {
        return Some(child::report(|| child::work(order, policies)));
    }
    if is_called(decompress::NAME) {
        return Some(child::report(|| decompress::work(order)));
    }
    is_called(layers::NAME).then(|| child::report(|| layers::work(order)))
}
