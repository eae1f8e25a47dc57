// SPDX-License-Identifier: Apache-2.0
//! Requirements: what an image has to be, or to be signed by.

use pod::blob::BlobDigest;

use super::identity::Identity;
use crate::key::Key;

/// One requirement. An image must meet all requirements of a list.
#[derive(Clone, Debug)]
pub(super) enum Requirement {
    Accept,
    Reject,
    Signed(SignedBy),
    /// A requirement that can't be checked, by its name.
    Unsupported(&'static str),
}

/// A signature that an image has to have.
#[derive(Clone, Debug)]
pub(crate) struct SignedBy {
    /// Keys. One of them has to have signed.
    pub(crate) keys: Vec<Key>,
    /// The name that a signature has to contain.
    pub(crate) identity: Identity,
}

impl SignedBy {
    /// Returns a digest of what is asked for. Two requirements that differ have two.
    pub(super) fn digest(&self) -> String {
        let mut text = self.identity.described();
        for key in &self.keys {
            text.push(' ');
            text.push_str(&BlobDigest::sha256(key.bytes()).hex());
        }
        BlobDigest::sha256(text.as_bytes()).to_string()
    }
}
