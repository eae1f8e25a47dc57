// SPDX-License-Identifier: Apache-2.0
//! Images in registries: their manifests are fetched before anything is written, configuration and layers once the store
//! turns out not to have the image.
//!
//! What the host says about registries is obeyed as [`registry`] describes it. Layers go into files of a staging directory,
//! and from there to the store's blobs, each as soon as it is complete. A blob that is there is not fetched again. Layers
//! are decoded by a worker alone, like those of a local image.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use archive::Exceeded;
use archive::layer::Part;
use image::oci::reference::RegistryRef;
use image::oci::{
    DOCUMENT_MAX, Descriptor, Documents, OciImage, Platform, Selected, layered, select, tree_id,
};
use pod::blob::BlobDigest;
use registry::policy::Image;
use registry::{Blob, Decision, Manifest, Repository as _, Version, Wanted};
use report::told;
use store::blobs::Blobs;
use store::names::{BlobKind, KeptBlob, NamedImage, Origin, Transport};
use store::staging::Staging;
use store::{Acquired, Importer};

use crate::fetch::Fetcher;
use crate::pulling::Pulling;
use crate::session::Session;

/// Blobs that were found or fetched.
type Files = BTreeMap<BlobDigest, Arc<File>>;

/// The documents that led to an image, with their media types, by their digests.
type Read = BTreeMap<BlobDigest, (String, Vec<u8>)>;

/// An image in a registry, known by its manifests.
#[derive(Debug)]
pub struct RemoteImage<'s> {
    fetcher: Fetcher<'s>,
    selected: Selected,
    documents: Read,
    /// What it was asked for by.
    name: RegistryRef,
    /// What the policy knows it by, and the signatures that were checked.
    origin: Origin,
    pulling: Pulling,
}

/// An image's tree, and what it is called from now on.
#[derive(Debug)]
pub struct Pulled<'h> {
    /// The tree, in the store or ready for it.
    pub tree: Acquired<'h>,
    /// What [`store::names::add`] is to be told once the tree is in the store.
    pub named: NamedImage,
    /// Keeps its blobs until then.
    pub(crate) blobs: Option<Blobs<'h>>,
}

impl<'h> Pulled<'h> {
    /// Returns a tree that gets no name.
    pub(crate) fn unnamed(tree: Acquired<'h>) -> Self {
        Self { tree, named: NamedImage::default(), blobs: None }
    }
}

impl<'s> RemoteImage<'s> {
    /// Finds an image, and checks that the host's policy allows it.
    pub(crate) fn find(name: &RegistryRef, pulling: &Pulling, session: &'s Session<'s>) -> Result<Self> {
        let reference = session.resolve(&name.to_string())?;
        let decision = session.decide(&Image::Registry(&reference))?;
        let fetcher = session.fetch(&reference)?;
        let (selected, documents) = documents(&fetcher, &decision, &pulling.platform())?;
        let signed = match &decision {
            Decision::Accept => BTreeSet::new(),
            Decision::Signed(signatures) => signatures.digests().into_iter().collect(),
        };
        let (transport, place) = (Transport::Docker, reference.to_string());
        let origin = Origin { transport, place, name: None, signed };
        let (name, pulling) = (name.clone(), pulling.clone());
        Ok(Self { fetcher, selected, documents, name, origin, pulling })
    }

    /// Returns the image's name for messages.
    pub(crate) fn shown(&self) -> String {
        shown(&self.name)
    }

    /// Returns the image's tree, from the store or from layers that are fetched.
    ///
    /// # Errors
    /// If a layer can't be fetched or is refused, or the system fails. Nothing but complete blobs is left behind then.
    pub(crate) fn acquire<'h>(self, importer: &Importer<'h>) -> Result<Pulled<'h>> {
        let blobs = Blobs::open(importer.data_dir)?;
        let config = self.selected.manifest.config.digest;
        if let Some(tree) = importer.known_layers(tree_id(config)?)? {
            if let Some(platform) = image::oci::platform_of(&tree.in_root(".")?)? {
                self.pulling.check(&platform)?;
            }
            let all = self.blobs();
            let kept = if blobs.has_all(&all)? { all } else { Vec::new() };
            return Ok(Pulled { tree, named: self.named(kept), blobs: Some(blobs) });
        }
        self.check_size(importer.limits.bytes)?;
        // On drop, it is removed with the blobs in it.
        let staging = Staging::create(importer.data_dir)?;
        let (config, files) = self.fetch(&staging, &blobs)?;
        let part = |layer: &Descriptor| match files.get(&layer.digest) {
            Some(file) => Ok(Part::first(Arc::clone(file), layer.size)),
            None => Err(image::oci::Error::Invalid {
                document: format!("blob {}", layer.digest),
                why: "was not fetched: expected it".into(),
            }),
        };
        let names = vec![self.name.tagged()];
        let image = OciImage::assemble(self.selected.clone(), config, names, part).map_err(told)?;
        self.pulling.check(&image.config.platform())?;
        let tree = importer.acquire_layers(&layered(&image)?)?;
        staging.remove()?;
        let kept = if self.pulling.drops_blobs { Vec::new() } else { self.blobs() };
        Ok(Pulled { tree, named: self.named(kept), blobs: Some(blobs) })
    }

    fn check_size(&self, most: u64) -> Result<()> {
        let layers = &self.selected.manifest.layers;
        let size: u64 = layers.iter().fold(0, |sum, layer| layer.size.saturating_add(sum));
        let too_large = || format!("{}: layers of {size} bytes: expected at most {most}", self.shown());
        ensure!(
            size <= most,
            told(store::fault::Fault::from(Exceeded::raised_by("--max-bytes", too_large())))
        );
        Ok(())
    }

    /// Returns what the image is called now: by its tag, and by the digest that the registry has it by.
    fn named(&self, blobs: Vec<KeptBlob>) -> NamedImage {
        let Selected { digest, indices, .. } = &self.selected;
        let repository = format!("{}/{}", self.name.host, self.name.repository);
        let digests =
            [digest].into_iter().chain(indices.first()).map(|digest| format!("{repository}@{digest}"));
        // An image that is asked for by its digest has no tag that is known.
        let names = self.name.digest.is_none().then(|| self.name.tagged());
        let origins = vec![self.origin.clone()];
        NamedImage { names: names.into_iter().collect(), digests: digests.collect(), blobs, origins }
    }

    /// Lists the blobs that the image is made of.
    fn blobs(&self) -> Vec<KeptBlob> {
        let Selected { manifest, digest, indices } = &self.selected;
        let document = |kind, digest: &BlobDigest| {
            let read = self.documents.get(digest);
            let size = read.map_or(0, |(_, bytes)| bytes.len() as u64);
            KeptBlob { kind, media_type: read.map(|(kind, _)| kind.clone()), digest: *digest, size }
        };
        let blob = |kind, from: &Descriptor| {
            let media_type = Some(from.media_type.clone());
            KeptBlob { kind, media_type, digest: from.digest, size: from.size }
        };
        let indices = indices.iter().map(|digest| document(BlobKind::Index, digest));
        let mut all: Vec<_> = indices.chain([document(BlobKind::Manifest, digest)]).collect();
        all.push(blob(BlobKind::Config, &manifest.config));
        all.extend(manifest.layers.iter().map(|layer| blob(BlobKind::Layer, layer)));
        all
    }

    /// Fetches what the blobs don't have of the image's configuration and layers, and keeps them and the documents.
    fn fetch(&self, staging: &Staging<'_>, blobs: &Blobs<'_>) -> Result<(Vec<u8>, Files)> {
        let config = self.config(staging, blobs)?;
        // A layer may stand twice in an image.
        let layers = &self.selected.manifest.layers;
        let sizes: BTreeMap<_, _> = layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        let (mut found, mut wanted) = (Files::new(), Vec::new());
        for (digest, size) in sizes {
            match blobs.find_intact(digest, size)? {
                Some(file) => drop(found.insert(digest, Arc::new(file))),
                None => {
                    let sink = staging.create_file(&digest.hex())?;
                    wanted.push(Wanted { blob: Blob { digest, size }, sink });
                }
            }
        }
        let files = Mutex::new(found);
        let (keeps, directory) = (!self.pulling.drops_blobs, staging.as_fd());
        let keep = |blob: Blob, file: File| {
            if keeps {
                let kept = blobs.publish(directory, &blob.digest.hex(), blob.digest);
                kept.map_err(|error| io::Error::other(error.to_string()))?;
            }
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.insert(blob.digest, Arc::new(file));
            Ok(())
        };
        self.fetcher.blobs(wanted, &keep)?;
        if keeps {
            for (digest, (_, bytes)) in &self.documents {
                keep_document(staging, blobs, *digest, bytes)?;
            }
            blobs.sync()?;
        }
        Ok((config, files.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    fn config(&self, staging: &Staging<'_>, blobs: &Blobs<'_>) -> Result<Vec<u8>> {
        let Descriptor { digest, size, .. } = self.selected.manifest.config;
        ensure!(size <= DOCUMENT_MAX, "config {digest} of {size} bytes: expected at most {DOCUMENT_MAX}");
        if let Some(mut file) = blobs.find_intact(digest, size)? {
            let mut config = Vec::new();
            file.read_to_end(&mut config)?;
            return Ok(config);
        }
        let config = self.fetcher.small_blob(digest, size)?;
        if !self.pulling.drops_blobs {
            keep_document(staging, blobs, digest, &config)?;
        }
        Ok(config)
    }
}

/// Returns what messages call an image of a registry.
pub(crate) fn shown(name: &RegistryRef) -> String {
    format!("docker://{name}")
}

fn keep_document(staging: &Staging<'_>, blobs: &Blobs<'_>, digest: BlobDigest, bytes: &[u8]) -> Result<()> {
    if blobs.find(digest, bytes.len() as u64)?.is_some() {
        return Ok(());
    }
    staging.write_file(&digest.hex(), bytes)?;
    Ok(blobs.publish(staging, &digest.hex(), digest)?)
}

/// Fetches the manifests of the image for a platform, and verifies its signatures if the policy asks for some. Returns
/// those that led to the image, too.
fn documents(fetcher: &Fetcher<'_>, decision: &Decision, platform: &Platform) -> Result<(Selected, Read)> {
    let top = fetcher.manifest()?;
    let descriptor = Descriptor::of_document(top.media_type, top.digest, top.bytes.len() as u64);
    let remote = Remote { fetcher, top: &top, read: RefCell::default() };
    let selected = select(&remote, &descriptor, platform).map_err(told)?;
    if let Decision::Signed(signatures) = decision {
        registry::verify(fetcher, signatures, &[top.digest, selected.digest])?;
    }
    let mut read = remote.read.into_inner();
    read.retain(|digest, _| *digest == selected.digest || selected.indices.contains(digest));
    Ok((selected, read))
}

/// The documents of a repository.
struct Remote<'a> {
    fetcher: &'a Fetcher<'a>,
    /// The one that was asked for.
    top: &'a Manifest,
    /// Those that were read so far.
    read: RefCell<Read>,
}

impl Documents for Remote<'_> {
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, image::oci::Error> {
        let digest = descriptor.digest;
        let what = || format!("document {digest}");
        let bytes = if digest == self.top.digest {
            self.top.bytes.clone()
        } else {
            let found = self.fetcher.manifest_at(&Version::Digest(digest));
            found
                .map_err(|error| image::oci::Error::Read { what: what(), error: io::Error::other(error) })?
                .bytes
        };
        if bytes.len() as u64 != descriptor.size {
            let why = format!("has {} bytes: expected {}", bytes.len(), descriptor.size);
            return Err(image::oci::Error::Invalid { document: what(), why });
        }
        self.read.borrow_mut().insert(digest, (descriptor.media_type.clone(), bytes.clone()));
        Ok(bytes)
    }
}
