// SPDX-License-Identifier: Apache-2.0
//! The pod from its start to its end: nspawn, and the processes of Gantry's that stay with it.

pub(crate) mod ending;
pub(crate) mod feed;
pub(crate) mod halt;
pub(crate) mod history;
pub(crate) mod job;
pub(crate) mod limits;
pub(crate) mod notify;
pub(crate) mod nspawn;
pub(crate) mod reaper;
pub(crate) mod requests;
pub(crate) mod supervisor;
