// SPDX-License-Identifier: Apache-2.0
//! The steps between the plan and nspawn: the private root, and everything that is mounted and opened for the pod.

pub(crate) mod cgroup;
pub(crate) mod devices;
pub(crate) mod overlay;
pub(crate) mod private_root;
pub(crate) mod relay;
pub(crate) mod rlimits;
pub(crate) mod roots;
pub(crate) mod sockets;
pub(crate) mod stdio;
pub(crate) mod terminal;
pub(crate) mod users;
pub(crate) mod volumes;
