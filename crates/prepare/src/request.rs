// SPDX-License-Identifier: Apache-2.0
//! A request for a pod directory, parsed from command-line arguments.

use std::path::PathBuf;

use pod::PodName;
use pod::digest::Sha256;

use crate::apps::{AppOptions, PodSettings};
use crate::pulling::Pulling;
use crate::volume_argument::VolumeArgument;
use archive::Limits;
use image::ImageArgument;
use image::stage1::BuiltIn;

/// A pod directory to prepare.
#[derive(Clone, Debug)]
pub struct Request {
    /// DIR, absolute.
    pub dir: PathBuf,
    /// The images, at least one.
    pub images: Vec<ImageArgument>,
    /// The settings of each image's app, in the order of `images`. Missing ones are at the defaults.
    pub apps: Vec<AppOptions>,
    /// The settings of the pod.
    pub settings: PodSettings,
    /// The facts about the pod that aren't in its manifest.
    pub entry: PodEntry,
    /// The volumes.
    pub volumes: Vec<VolumeArgument>,
    /// Stage1's file; `None` for this program's own.
    pub stage1: Option<PathBuf>,
    /// Stage1's digest; `None` if a file beside stage1 has it.
    pub stage1_digest: Option<Sha256>,
    /// The program that the pod has in place of stage1's `/init`.
    pub stage1_init: Option<PathBuf>,
    /// The stage1 of this program, which is used where `stage1` is `None`.
    pub built_in: Option<&'static BuiltIn>,
    /// The file of the pod's manifest; `None` to generate one.
    pub pod_manifest: Option<PathBuf>,
    /// How the pod gets its trees.
    pub layout: LayoutArgument,
    /// Limits on what archives may ask for.
    pub limits: Limits,
    /// How images are had from registries.
    pub pulling: Pulling,
}

/// The facts about a pod that aren't in its manifest. Each has a file in the pod directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodEntry {
    /// Its name, which no other pod in DIR has.
    pub name: Option<PodName>,
    /// Whether it is removed when it has ended.
    pub is_removed_at_end: bool,
    /// The process that is about to run it, in the words of the file about its removal (`pods::this_process`).
    pub starter: Option<String>,
}

/// How a pod gets its trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayoutArgument {
    /// As overlays where they can be made there, else as copies
    #[default]
    Auto,
    /// As overlays, with the pod's changes over trees of the store
    Overlay,
    /// As copies of its own, by reflink where the file system can
    Copy,
}
