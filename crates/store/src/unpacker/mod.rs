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
pub mod layers;
mod parent;

use serde::{Deserialize, Serialize};

use crate::TreeKind;
use crate::extract::{Expected, Policy};
use archive::Limits;

pub use child::main;
pub use parent::{Descriptors, is_at_work, spawn};
pub use parent::{Destination, Error, unpack};

/// The name (`argv[0]`) under which this program acts as a worker.
const NAME: &str = "gantry-unpack";
/// The maximum length of a message.
const MESSAGE_MAX: usize = 64 << 10;

/// The job of a worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The digest that the archive must have.
    pub expected: Expected,
    /// Whether the sha512 of the tar stream is computed too.
    pub with_sha512: bool,
    /// Limits on what the archive may ask for.
    pub limits: Limits,
}

/// A function that makes the rules for a kind of archive. It is supplied by the program that acts as a worker, as this
/// module doesn't know the rules.
pub type Policies = fn(TreeKind) -> Box<dyn Policy>;

/// The worker's one argument, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    job: Job,
    kind: TreeKind,
    /// The process id of the worker's parent.
    parent: i32,
}

/// The message that a worker writes at its end, as JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Message<T> {
    /// The job succeeded.
    Done(T),
    /// The job failed.
    Failed(Failure),
}

/// The reason why a worker failed, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    why: String,
    /// A hint to the way out, if there is one.
    hint: Option<String>,
    /// Whether it is the archive's fault, see [`Refused`](crate::extract::Refused).
    is_refusal: bool,
}
