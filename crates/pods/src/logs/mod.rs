// SPDX-License-Identifier: Apache-2.0
//! Logs: the output of detached pods' apps, in one file an app, in the directory `logs` of the pod directory.
//!
//! ```text
//! app ── pipe ──► log writer ──► logs/APP.log, logs/APP.log.1, …
//! ```
//!
//! The format is that of the Kubernetes CRI, so the usual programs read it (`docs/formats/logs.md`): time, stream, `P` or
//! `F`, and the line. The log writer is a confined process of its own for each run of a pod. It reads whatever comes,
//! whether or not it can be written, so it never blocks an app. It ends when every pipe has ended, so what was written
//! before an app ended is in the log.
//!
//! It can write to the host's journal instead, and then nothing is in files but the pod's own messages.
//!
//! As long as it exists, it has the logs' directory locked: after the pod has ended, a reader waits for that lock.

mod confine;
mod file;
mod hand;
mod journal;
mod pair;
mod reader;
mod record;
mod start;
mod writer;

pub use reader::{Line, Reader, Wanted};
pub use record::Stream;
pub use start::{Driver, LogOptions, Logging, start};
pub use writer::main;
