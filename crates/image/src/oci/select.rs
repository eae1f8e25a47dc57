// SPDX-License-Identifier: Apache-2.0
//! Selects one image in an index: the best for a platform, through nested indices.

use pod::blob::BlobDigest;

use super::descriptor::Descriptor;
use super::document::{Document, Index, Manifest, check_length};
use super::error::Error;
use super::media::MediaType;
use super::platform::Platform;

/// How deep indices may be nested.
const DEPTH_MAX: usize = 4;
/// The most documents that are read for one image.
const DOCUMENTS_MAX: usize = 32;

/// A source of documents.
pub trait Documents {
    /// Returns the bytes that a descriptor names, which have its digest and size.
    ///
    /// # Errors
    /// If they can't be read, or have another digest or size.
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error>;
}

/// A manifest that was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The manifest.
    pub manifest: Manifest,
    /// Its digest.
    pub digest: BlobDigest,
    /// The digests of the indices that led to it, the outermost first.
    pub indices: Vec<BlobDigest>,
}

/// Follows `descriptor` to the manifest of an image for `wanted`.
///
/// # Errors
/// If there is none, or a document on the way is refused.
pub fn select(
    documents: &impl Documents,
    descriptor: &Descriptor,
    wanted: &Platform,
) -> Result<Selected, Error> {
    let mut search = Search { documents, wanted, read: 0, available: Vec::new() };
    let found = search.follow(descriptor, &mut Vec::new())?;
    found.ok_or_else(|| search.nothing(shown(descriptor)))
}

/// Selects the manifest of an image for `wanted` in the index `name`, which has no descriptor.
///
/// # Errors
/// As [`select`].
pub fn select_in(
    documents: &impl Documents,
    name: &str,
    index: &Index,
    wanted: &Platform,
) -> Result<Selected, Error> {
    let mut search = Search { documents, wanted, read: 0, available: Vec::new() };
    let found = search.choose(index, &mut Vec::new())?;
    found.ok_or_else(|| search.nothing(name.to_owned()))
}

impl Index {
    /// Returns the entries that may lead to an image for `wanted`, the best first: manifests for the platform, then
    /// indices and manifests that name none.
    pub fn candidates(&self, wanted: &Platform) -> Vec<&Descriptor> {
        let rank = |entry: &&Descriptor| match &entry.platform {
            // A manifest that names no platform is asked last; its config names one.
            None => Some(0),
            Some(platform) => wanted.rank(platform).map(|rank| rank.saturating_add(1)),
        };
        let images = self.manifests.iter().filter(|entry| entry.may_be_an_image());
        let mut found: Vec<_> = images.filter_map(|entry| Some((rank(&entry)?, entry))).collect();
        // The sort is stable: of equals, the first counts.
        found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        found.into_iter().map(|(_, entry)| entry).collect()
    }
}

struct Search<'a, D> {
    documents: &'a D,
    wanted: &'a Platform,
    /// Documents read so far.
    read: usize,
    /// The platforms of the images that were seen.
    available: Vec<String>,
}

impl<D: Documents> Search<'_, D> {
    fn follow(
        &mut self,
        descriptor: &Descriptor,
        above: &mut Vec<BlobDigest>,
    ) -> Result<Option<Selected>, Error> {
        let name = shown(descriptor);
        self.read += 1;
        if self.read > DOCUMENTS_MAX || above.len() > DEPTH_MAX {
            return Err(Error::invalid(&name, "too many nested indices: expected the image below fewer"));
        }
        check_length(&name, descriptor.size)?;
        let bytes = self.documents.read(descriptor)?;
        let index = match Document::parse(&name, &bytes, Some(&descriptor.media_type))? {
            Document::Index(index) => index,
            Document::Manifest(manifest) => {
                let (digest, indices) = (descriptor.digest, above.clone());
                return Ok(Some(Selected { manifest: *manifest, digest, indices }));
            }
        };
        above.push(descriptor.digest);
        let found = self.choose(&index, above);
        above.pop();
        found
    }

    /// Returns the first of an index's candidates that is an image. What turns out to be an artifact is passed over.
    fn choose(&mut self, index: &Index, above: &mut Vec<BlobDigest>) -> Result<Option<Selected>, Error> {
        let images = index.manifests.iter().filter(|entry| entry.may_be_an_image());
        self.available.extend(images.filter_map(|entry| Some(entry.platform.as_ref()?.to_string())));
        let mut artifact = None;
        for candidate in index.candidates(self.wanted) {
            match self.follow(candidate, above) {
                Ok(Some(selected)) => return Ok(Some(selected)),
                Ok(None) => {}
                Err(error @ Error::Artifact { .. }) => artifact = Some(error),
                Err(error) => return Err(error),
            }
        }
        artifact.map_or(Ok(None), Err)
    }

    fn nothing(self, document: String) -> Error {
        Error::NoPlatform { document, wanted: self.wanted.clone(), available: self.available }
    }
}

/// Returns what messages call a document.
pub(super) fn shown(descriptor: &Descriptor) -> String {
    let what = if descriptor.kind() == MediaType::Index { "index" } else { "manifest" };
    format!("{what} {}", descriptor.digest)
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
