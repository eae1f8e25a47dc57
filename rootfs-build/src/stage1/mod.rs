// SPDX-License-Identifier: Apache-2.0
//! stage1: what is in it (`plan`), and how its tarball is built (`build`).

mod build;
mod plan;

pub use crate::stand_in::Libraries;
pub use build::{Budget, Inputs, Summary, build};
pub use plan::PACKAGES;
