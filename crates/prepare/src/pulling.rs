// SPDX-License-Identifier: Apache-2.0
//! How images are had from registries: for which platform, when the registry is asked, and what is kept of them.

use image::oci::Platform;

/// When a registry is asked for an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// If the store has no image of the name.
    #[default]
    Missing,
    /// Always.
    Always,
    /// Always, but the store's image is taken where the registry can't be asked.
    Newer,
    /// Never.
    Never,
}

/// What a command line says about images of registries and of indices.
#[derive(Clone, Debug, Default)]
pub struct Pulling {
    /// The platform; `None` is this machine's.
    pub platform: Option<Platform>,
    /// When a registry is asked.
    pub when: When,
    /// Whether blobs are not kept in the store.
    pub drops_blobs: bool,
}

impl Pulling {
    /// Returns the platform that is wanted.
    pub(crate) fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}
