// SPDX-License-Identifier: Apache-2.0
//! The exchange between `/init` and the helpers in the pod: launch files, the outcome, statuses, and which of the apps'
//! mounts each of them makes.

pub(crate) mod fresh;
pub mod launch_file;
pub(crate) mod log_pipes;
pub(crate) mod metadata_file;
pub(crate) mod outcome;
pub(crate) mod ready;
pub(crate) mod service;
pub(crate) mod statuses;
pub(crate) mod stdio_message;
pub(crate) mod timing;
pub(crate) mod view;
