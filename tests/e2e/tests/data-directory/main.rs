// SPDX-License-Identifier: Apache-2.0
//! The installer's commands, and what they leave in the data directory.
//!
//! They are a program of their own, apart from running pods: `gc` also removes cgroups that pods of other data
//! directories have left.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod bad_input;
mod bad_manifests;
mod concurrency;
mod field;
mod hostile_archives;
mod messages;
mod mounted;
mod signed;
mod store;
