// SPDX-License-Identifier: Apache-2.0
//! Prepares a pod directory: a request is read from arguments, its inputs are opened and checked, and then applied.

mod apply;
pub mod apps;
mod assemble;
mod check;
mod copied;
mod dependencies;
mod fetch;
mod find;
mod host_volume;
mod inputs;
mod judge;
mod late;
mod layout;
mod local;
mod manifest_file;
mod name;
mod pull;
mod pulling;
mod request;
mod session;
mod size;
mod volume_argument;

pub use apply::{Prepared, apply};
pub use fetch::main as fetcher_main;
pub use find::{Finder, ImageInput};
pub use inputs::Inputs;
pub use late::LateImage;
pub use pull::RemoteImage;
pub use pulling::{Pulling, When};
pub use request::{LayoutArgument, PodEntry, Request};
pub use session::{Session, Told};
pub use size::size;
pub use volume_argument::VolumeArgument;
