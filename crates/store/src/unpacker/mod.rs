// SPDX-License-Identifier: Apache-2.0
//! The process that decodes and extracts an archive, which is not the installer itself.
//!
//! Decoders read what strangers wrote. Should one be broken, it is in a process that sees nothing but the new tree, and
//! can do nothing but make objects in it:
//!
//! ```text
//! installer ── stdin: the archive ── stdout: the record ── stderr: one message ── cwd: the tree ──► worker
//! ```
//!
//! The worker is this very program by another name. It has a root, network and IPC of its own, six capabilities, no
//! environment, no descriptors but these, and no system calls but those that unpacking takes. The record is locked as long as the worker is there, so what a killed
//! installer leaves is not removed until its worker is gone, too.
//!
//! Invariants: not one byte of the archive is read before the worker is confined, and where it can't be, that is an
//! error; a [`Verified`](crate::extract::Verified) comes only from a worker's whole message, which only a worker that
//! has come to its end writes. A worker protects the host from an archive; what it says of the archive is believed, but
//! never that it is another one than was expected.

mod calls;
mod child;
mod confine;
mod parent;

use serde::{Deserialize, Serialize};

use crate::Kind;
use crate::extract::{Expected, Outcome, Policy};
use archive::Limits;

pub use child::main;
pub use parent::{Descriptors, is_at_work, spawn};
pub use parent::{Place, unpack};

/// The name by which this program is a worker (`argv[0]`).
const NAME: &str = "gantry-unpack";
/// A message is at most this long.
const MESSAGE_MAX: usize = 64 << 10;

/// What a worker is to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Job {
    /// What the archive must hash to.
    pub expected: Expected,
    /// Whether the tar stream's sha512 is taken as well.
    pub with_sha512: bool,
    /// What the archive may ask for.
    pub limits: Limits,
}

/// Makes the rules for an archive of a kind. The program that is a worker knows them, and this module does not.
pub type Policies = fn(Kind) -> Box<dyn Policy>;

/// The worker's one argument, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    job: Job,
    kind: Kind,
    /// The process id of the worker's parent.
    parent: i32,
}

/// What a worker says at its end, as JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// All went well.
    Done(Outcome),
    /// It did not.
    Failed(Failure),
}

/// Why a worker could not do it, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    why: String,
    /// The way out, where there is one.
    hint: Option<String>,
    /// Whether it is the archive's fault, see [`Refused`](crate::extract::Refused).
    is_refusal: bool,
}
