// SPDX-License-Identifier: Apache-2.0
//! App images: each has a `manifest` and a `rootfs`, and nothing else (appc spec, "Image Layout").
//!
//! Invariant: the manifest has no name in the tree that the app gets, so no app can change what it is.

mod app;
mod manifest;
pub mod oci;
mod reference;
mod rendering;
pub mod signed;
pub mod stage1;

use pod::layout;
use pod::path::RelativePath;

use crate::stage1::Stage1Policy;
use archive::{Entry, EntryKind};
use store::extract::{Admission, Breach, Policy};

pub use app::app_with;
pub use manifest::{MANIFEST_MAX, manifest, name, unknown};
pub use reference::{ImageArgument, Invalid};
pub use rendering::{IMAGES_MAX, plan};

/// Returns the rules for a kind of archive.
pub fn policy(kind: store::TreeKind) -> Box<dyn Policy> {
    match kind {
        // A rendered tree comes from no archive, but it has the contents of an image.
        store::TreeKind::Image | store::TreeKind::Rendered => Box::new(ImagePolicy::default()),
        store::TreeKind::Stage1 => Box::new(Stage1Policy::default()),
    }
}

/// The rules for app images. The entry for the archive's own root directory, `./`, is ignored.
#[derive(Debug, Default)]
pub struct ImagePolicy {
    has_manifest: bool,
    has_rootfs: bool,
}

impl Policy for ImagePolicy {
    fn admit(&mut self, entry: &Entry) -> Result<Admission, Breach> {
        let mut components = entry.path.components();
        let Some(top) = components.next() else {
            Breach::unless(entry.kind == EntryKind::Directory, || "the image's root: expected a directory")?;
            return Ok(Admission::Ignore);
        };
        let is_top = components.next().is_none();
        if top == layout::IMAGE_ROOTFS.as_bytes() {
            Breach::unless(
                !is_top || entry.kind == EntryKind::Directory,
                || "expected rootfs to be a directory",
            )?;
            self.has_rootfs |= is_top;
        } else {
            Breach::unless(top == layout::IMAGE_MANIFEST.as_bytes(), || "expected only manifest and rootfs")?;
            let EntryKind::File { size } = entry.kind else {
                return Err(Breach("expected manifest to be a regular file".into()));
            };
            Breach::unless(is_top, || "expected manifest to be a regular file")?;
            Breach::unless(size <= MANIFEST_MAX, || {
                format!("{size} bytes of manifest: expected at most {MANIFEST_MAX}")
            })?;
            self.has_manifest = true;
        }
        if let EntryKind::HardLink { target } = &entry.kind {
            Breach::unless(is_in_rootfs(target), || {
                format!("hard link to {target}: expected a file in rootfs")
            })?;
        }
        Ok(Admission::Write)
    }

    fn complete(&self) -> Result<(), Breach> {
        Breach::unless(
            self.has_manifest,
            || "the image has no manifest: expected a file of this name at its top",
        )?;
        Breach::unless(
            self.has_rootfs,
            || "the image has no rootfs: expected an entry for the directory at its top",
        )?;
        Ok(())
    }
}

fn is_in_rootfs(path: &RelativePath) -> bool {
    path.components().next() == Some(layout::IMAGE_ROOTFS.as_bytes())
}
