// SPDX-License-Identifier: Apache-2.0
//! Prepares a pod directory from a request: plan (opens and checks every input, writes nothing), then apply.

mod apply;
mod assemble;
mod check;
mod layout;
mod plan;
mod request;
mod volume;

pub use apply::{Prepared, apply};
pub use plan::{ImagePlan, Plan};
pub use request::{LayoutArgument, Request, VolumeArgument};
