// SPDX-License-Identifier: Apache-2.0
//! What `/init` and the helpers in the pod tell each other: launch files, the outcome, statuses, and what each does of the apps' mounts.

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
