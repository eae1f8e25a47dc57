// SPDX-License-Identifier: Apache-2.0
//! Prepares a pod directory: a request is read from arguments, its inputs are opened and checked, and then applied.

mod apply;
mod assemble;
mod check;
mod host_volume;
mod inputs;
mod layout;
mod pull;
mod request;

pub use apply::{Prepared, apply};
pub use inputs::{ImageInput, Inputs};
pub use pull::RemoteImage;
pub use request::{LayoutArgument, Request, VolumeArgument};
