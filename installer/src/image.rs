// SPDX-License-Identifier: Apache-2.0
//! App container images: an archive with a `manifest` and a `rootfs` and nothing beside them (appc spec, image archives).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use pod::digest::Digest;
use pod::layout;
use pod::manifest::ImageManifest;

use crate::archive::entry::{Entry, Kind};
use crate::archive::stream;
use crate::extract::{BYTES_MAX, extract};
use crate::in_root::read_bounded;
use crate::input::ImageInput;
use crate::progress::Progress;

/// An image's manifest may be this long.
const MANIFEST_MAX: u64 = 4 << 20;

/// An image whose tree is whole: the stream ended as it should, and had the digest that was asked for.
#[derive(Debug)]
pub(crate) struct Image {
    /// Where it came from, for messages.
    pub(crate) shown: String,
    pub(crate) id: Digest,
    pub(crate) manifest: ImageManifest,
}

/// Extracts an image into the empty directory `into`.
///
/// # Errors
/// Where it is no image, is damaged, or is not the one that was asked for.
pub(crate) fn unpack(input: &ImageInput, into: OwnedFd, progress: &Progress) -> Result<Image> {
    let shown = input.shown();
    let tree = into.as_fd().try_clone_to_owned()?;
    let mut top = TopLevel::default();
    let source = progress.reading(&input.file);
    let ((), id) = stream::read(source, BYTES_MAX, |stream| {
        let end = extract(stream, into, |entry, size| top.check(entry, size))?;
        Ok(((), end))
    })
    .with_context(|| format!("image {shown}"))?;
    top.complete().with_context(|| format!("image {shown}"))?;
    if let Some(expected) = input.digest.filter(|expected| *expected != id) {
        bail!("image {shown}: has id {id}: expected {expected}");
    }
    let manifest = read_manifest(&tree).with_context(|| format!("image {shown}: its manifest"))?;
    Ok(Image { shown, id, manifest })
}

fn read_manifest(tree: &OwnedFd) -> Result<ImageManifest> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(tree, layout::IMAGE_MANIFEST, flags, Mode::empty())?);
    Ok(ImageManifest::parse(&read_bounded(&file, MANIFEST_MAX)?)?)
}

/// What was seen at the archive's top.
#[derive(Debug, Default)]
struct TopLevel {
    manifest: bool,
    rootfs: bool,
}

impl TopLevel {
    fn check(&mut self, entry: &Entry, size: u64) -> Result<()> {
        let mut components = entry.path.components();
        let (Some(first), below) = (components.next(), components.next().is_some()) else {
            return Ok(());
        };
        match (first == layout::IMAGE_MANIFEST.as_bytes(), first == layout::IMAGE_ROOTFS.as_bytes()) {
            (true, _) => {
                ensure!(entry.kind == Kind::File && !below, "expected the manifest to be a regular file");
                ensure!(size <= MANIFEST_MAX, "expected a manifest of at most {MANIFEST_MAX} bytes");
                self.manifest = true;
            }
            (_, true) if below => {}
            (_, true) => {
                ensure!(entry.kind == Kind::Directory, "expected rootfs to be a directory");
                self.rootfs = true;
            }
            _ => bail!("is beside manifest and rootfs: expected nothing else"),
        }
        if let Kind::HardLink(target) = &entry.kind {
            let in_rootfs = target.components().next() == Some(layout::IMAGE_ROOTFS.as_bytes());
            ensure!(in_rootfs, "is a hard link to {target}: expected a target in rootfs");
        }
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        ensure!(self.manifest, "has no manifest: expected a file \"manifest\" at its top");
        ensure!(self.rootfs, "has no rootfs: expected a directory \"rootfs\" at its top");
        Ok(())
    }
}
