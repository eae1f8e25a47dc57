// SPDX-License-Identifier: Apache-2.0
//! Pods in real nspawn and systemd: how apps start, what they get, how they end, and how they decide the pod's end.

mod ends;
mod given;
mod leftovers;
mod mounts;
mod places;
mod restarts;
mod starts;
mod timing;
mod volumes;

/// Runs until it is told to stop, and then ends well.
const SERVE: &str = "trap 'echo stopped; exit 0' TERM; echo serving; while :; do sleep 3600 & wait; done";
