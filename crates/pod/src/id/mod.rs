// SPDX-License-Identifier: Apache-2.0
//! Ids: each kind has a type of its own, so that one can't be taken for another.
//!
//! | type | names | is | as text |
//! |---|---|---|---|
//! | [`PodId`] | a pod | a UUID | `6733c088-a507-4694-aabf-ae0bc1ccaaff` |
//! | [`ImageId`] | what an app is made of, in a pod's manifest | a digest of the image's tar | `sha256-HEX` or `sha512-HEX` |
//! | [`TreeId`] | a tree in the store | the SHA-256 of the tree's tar | `sha256-HEX` |
//!
//! For an OCI image, the configuration stands in the place of the tar: it states the digests of the layers' tars.
//!
//! One image has a single tree id, and it can have two image ids. No conversion between them is implicit:
//! [`TreeId::as_image`] always works, [`ImageId::as_tree`] works for an id that is a SHA-256. To find the tree of any
//! other image id, ask the store.

mod image;
mod pod;
mod tree;

pub use self::image::ImageId;
pub use self::pod::PodId;
pub use self::tree::TreeId;
