// SPDX-License-Identifier: Apache-2.0
//! Pods' networks in network namespaces of the tests' own: a host, what is outside of it, and pods.

mod holds;
mod reach;
mod refused;
mod sniff;
mod time;
mod world;
