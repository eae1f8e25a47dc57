// SPDX-License-Identifier: Apache-2.0
//! Attacks on the boundary between pods and the host, each of which was seen to get through once.
//!
//! What an app does is a function of the program `attack` (`src/bin/attack`), which [`subject`] runs in pods, by every
//! kind of app. Every attack has a control: the same where there is no defence, and there it gets through.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod cgroups;
mod places;
mod sources;
mod subject;
mod terminals;
mod user_namespaces;
