// SPDX-License-Identifier: Apache-2.0
//! Pods as they are: found by what a person calls them, looked at, waited for, stopped and removed.
//!
//! There is no daemon and no list of pods. Each command reads the pod directories, and asks the kernel which of them
//! are locked (`docs/design/13-states.md`).
//!
//! Invariants: a state is what the kernel's locks say, never what a file says that a killed process has left. A process
//! is signalled only through a descriptor of it (pidfd_open(2)) that was checked to hold its pod's lock.

mod aliases;
mod app;
mod calendar;
mod cgroup;
pub mod cni;
mod contents;
mod description;
mod directory;
mod ended;
mod enter;
mod history;
pub mod logs;
mod network;
mod process;
mod remove;
mod select;
mod state;
mod stop;
mod top;
mod up;
mod usage;
mod wait;

pub use aliases::refresh as refresh_aliases;
pub use app::signal as signal_app;
pub use calendar::{Utc, stamp};
pub use contents::{App, Status, network_of};
pub use description::Description;
pub use directory::{Pod, ids, names, strangers};
pub use ended::{Gone, collect, release, this_process};
pub use enter::{Entrance, Terminal, app_called};
pub use history::{End, Ending, Moment, Run};
pub use process::Process;
pub use remove::{Refused, remove};
pub use select::{Selector, missing, resolve};
pub use state::{Seen, State, look, preparing};
pub use stop::{Stop, signal, stop};
pub use top::{AppUse, ProcessUse, top};
pub use up::{Begun, runs, wait_for_app, wait_for_begin};
pub use usage::of as usage;
pub use wait::{Waited, wait};
