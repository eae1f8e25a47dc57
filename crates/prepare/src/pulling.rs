// SPDX-License-Identifier: Apache-2.0
//! How images are had: for which platform, when a registry is asked and what is kept of its images, and which keys must have
//! signed files.

use anyhow::{Result, bail};
use image::oci::Platform;
use image::signed::Key;

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

/// A command line's settings for images of registries and of indices.
#[derive(Clone, Debug, Default)]
pub struct Pulling {
    /// The platform; `None` is this machine's.
    pub platform: Option<Platform>,
    /// When a registry is asked.
    pub when: When,
    /// Whether blobs are not kept in the store.
    pub drops_blobs: bool,
    /// The keys of which one must have signed each file that is taken; without any, none is asked for.
    pub keys: Vec<Key>,
}

impl Pulling {
    /// Returns the platform that is wanted.
    pub(crate) fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }

    /// Checks that an image is for the platform that was asked for. An image that is not in an index is found whatever it
    /// is for.
    ///
    /// # Errors
    /// If a platform was asked for, and the image doesn't run on it.
    pub(crate) fn check(&self, found: &Platform) -> Result<()> {
        match &self.platform {
            Some(wanted) if wanted.rank(found).is_none() => bail!("it is for {found}: expected {wanted}"),
            _ => Ok(()),
        }
    }
}
