// SPDX-License-Identifier: Apache-2.0
//! The job of a worker, and its report at the end.

use serde::{Deserialize, Serialize};

use crate::extract::{Expected, Policy};
use crate::info::TreeKind;
use archive::Limits;

/// The name (`argv[0]`) under which this program acts as a worker.
pub(super) const NAME: &str = "gantry-unpack";
/// The maximum length of a message.
pub(super) const MESSAGE_MAX: usize = 64 << 10;

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
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) kind: TreeKind,
    /// The process id of the worker's parent.
    pub(super) parent: i32,
}

/// The message that a worker writes at its end, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message<T> {
    /// The job succeeded.
    Done(T),
    /// The job failed.
    Failed(Failure),
}

/// The reason why a worker failed, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) why: String,
    /// A hint to the way out, if there is one.
    pub(super) hint: Option<String>,
    /// Whether it is the archive's fault, see [`Refused`](crate::extract::Refused).
    pub(super) is_refusal: bool,
}
