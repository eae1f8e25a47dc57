// SPDX-License-Identifier: Apache-2.0
//! Attacks on the boundary between pods and the host. Each of them got through once.
//!
//! An attack is a function of the program `attack` (`src`), which [`subject`] runs in pods, as every kind of app. Every
//! attack has a control: without the defence, it gets through.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

#[cfg(target_arch = "x86_64")]
mod capabilities;
mod cgroups;
#[cfg(target_arch = "x86_64")]
mod documents;
#[cfg(target_arch = "x86_64")]
mod filters;
#[cfg(target_arch = "x86_64")]
mod kernels;
#[cfg(target_arch = "x86_64")]
mod kinds;
#[cfg(target_arch = "x86_64")]
mod matrix;
mod places;
#[cfg(target_arch = "x86_64")]
mod probes;
mod programs;
mod sources;
mod subject;
#[cfg(target_arch = "x86_64")]
mod system_calls;
mod terminals;
mod user_namespaces;
mod volumes;
