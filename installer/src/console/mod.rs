// SPDX-License-Identifier: Apache-2.0
//! Shows an app's terminal, which is one of the pod's own, at the terminal where this command was called.
//!
//! The app's launcher makes the terminal in the pod and passes its other side here ([`show`]). This process copies between the
//! two, and nothing else passes: no process of the pod has a descriptor of the caller's terminal. That one is raw meanwhile
//! ([`caller`]), so that keys such as ^C and ^Z are for the jobs of the app.

mod caller;
mod flow;
mod show;

pub(crate) use caller::Caller;
pub(crate) use show::{Of, Show, Signals, Watched, code, ends};
