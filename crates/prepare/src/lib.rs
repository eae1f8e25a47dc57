// SPDX-License-Identifier: Apache-2.0
//! From a request to a pod directory: plan (opens and checks every input, writes nothing), then apply.

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
