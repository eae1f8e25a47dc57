// SPDX-License-Identifier: Apache-2.0
//! Pods that run, in real systemd-nspawn and systemd: how they start, what their apps get, and how they end.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

mod apps;
mod containment;
mod exact;
mod field;
mod hostile_manifests;
mod limits;
mod living;
mod metadata;
mod mount_namespaces;
mod names;
mod network;
mod newer_systemd;
mod oci;
mod overlay;
mod own_terminal;
mod redis;
mod results;
mod round_trip;
mod run;
mod second_start;
mod service_manager;
mod sockets;
mod stop;
mod terminal;
mod users;
