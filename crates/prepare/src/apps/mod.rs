// SPDX-License-Identifier: Apache-2.0
//! Settings: what a command line says about the pod and its apps in place of their images.
//!
//! ```text
//! words ──parse──► settings and images, in order ──group──► AppOptions for each image ──manifest──► PodManifest of 0.8
//! ```
//!
//! All three steps are pure. Invariant: what was said is in the pod's manifest, and nowhere else.

mod group;
mod manifest;
mod mounts;
mod parse;
mod settings;

pub use group::{Grouped, Said, group};
pub(crate) use manifest::{Described, pod_manifest};
pub(crate) use parse::environment_file;
pub use parse::{tasks, word};
pub use settings::{AppMount, AppOptions, Capabilities, MountSource, PodSettings, Setting, VolumeOption};
