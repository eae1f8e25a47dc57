// SPDX-License-Identifier: Apache-2.0
//! Prepares a pod directory: a request is read from arguments, its inputs are opened and checked, and then applied.

mod apply;
pub mod apps;
mod assemble;
mod check;
mod host_volume;
mod inputs;
mod layout;
mod name;
mod pull;
mod request;
mod volume_argument;

pub use apply::{Prepared, apply};
pub use inputs::{ImageInput, Inputs};
pub use pull::RemoteImage;
pub use request::{LayoutArgument, PodEntry, Request};
pub use volume_argument::VolumeArgument;
