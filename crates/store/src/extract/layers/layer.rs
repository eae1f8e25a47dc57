// SPDX-License-Identifier: Apache-2.0
//! The input of unpacking: layers, and the frame that surrounds them in the tree.

use std::io::Read;

use pod::path::AbsolutePath;

use archive::decode::Format;
use archive::layer::{Blob, Part};
use pod::blob::BlobDigest;

/// One layer: a part of a file, and what the image says of it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The file, and the range in it, with its bytes.
    pub part: Part,
    /// The digest of these bytes, if the image states it.
    pub blob: Option<BlobDigest>,
    /// The digest of the tar inside of them.
    pub diff_id: BlobDigest,
}

/// The part of the tree that surrounds the layers.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The directory, at the tree's top, that the layers are unpacked into.
    pub directory: String,
    /// Files at the tree's top: root's, 0644, of 1970.
    pub files: Vec<FrameFile>,
    /// Directories that are made after the last layer if nothing is there: root's, 0755, of 1970. Their paths are those
    /// that an app sees.
    pub made: Vec<AbsolutePath>,
}

/// A file at the tree's top: its name, and the part of a file that it is a copy of.
#[derive(Clone, Debug)]
pub struct FrameFile {
    /// Its name.
    pub name: String,
    /// The file, and the range in it, with its content.
    pub content: Part,
}

/// How many bytes tell a format.
const HEAD: u64 = 512;

impl Layer {
    /// Returns how the layer is compressed, by its content; `None` if that can't be told.
    pub(super) fn format(&self) -> Option<Format> {
        let mut head = Vec::new();
        self.part.extent().take(HEAD).read_to_end(&mut head).ok()?;
        Format::detect(&head)
    }

    /// Returns the layer's bytes, which are verified while they are read if the image states their digest.
    pub(super) fn read(&self) -> Box<dyn Read + Send> {
        let extent = self.part.extent();
        match self.blob {
            Some(digest) => Box::new(Blob::new(extent, digest, self.part.length)),
            None => Box::new(extent),
        }
    }
}
