// SPDX-License-Identifier: Apache-2.0
//! Names in an OCI layout (OCI image spec, image-layout.md and annotations.md).

use pod::blob::BlobDigest;

/// The file that says that a directory or an archive is a layout.
pub(super) const LAYOUT: &str = "oci-layout";
/// The file that lists the images.
pub(super) const INDEX: &str = "index.json";
/// The annotation of an image's name.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Returns the path of a blob.
pub(super) fn blob_path(digest: BlobDigest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
