// SPDX-License-Identifier: Apache-2.0
//! Images in registries: their manifests are fetched before anything is written, configuration and layers once the store
//! turns out not to have the image. A layer is unpacked while those above it are still on their way.
//!
//! What the host says about registries is obeyed as [`registry`] describes it. Layers go into files of a staging directory,
//! and from there to the store's blobs, each as soon as it is complete. A blob that is there is not fetched again. Layers
//! are decoded by a worker alone, like those of a local image.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, ensure};
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
use store::{Acquired, Importer, Layered};

use crate::fetch::Fetcher;
use crate::pulling::Pulling;
use crate::session::Session;

const THREAD: &str = "cannot start a thread";

/// The layers' files.
type Files = BTreeMap<BlobDigest, Arc<File>>;

/// The documents that led to an image, with their media types, by their digests.
type Read = BTreeMap<BlobDigest, (String, Vec<u8>)>;

/// An image in a registry, known by its manifests.
#[derive(Debug)]
pub struct RemoteImage<'s> {
    fetcher: Fetcher<'s>,
    selected: Selected,
    documents: Read,
    /// The name by which it was asked for.
    name: RegistryRef,
    /// Its name in the policy's terms, and the signatures that were checked.
    origin: Origin,
    pulling: Pulling,
}

/// An image's tree, and what it is called from now on.
#[derive(Debug)]
pub struct Pulled<'h> {
    /// The tree, in the store or ready for it.
    pub tree: Acquired<'h>,
    /// Its names, for [`store::names::add`] once the tree is in the store.
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

/// The reasons why an image of a registry was not found.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// The host forbids it, or the registry does not give it.
    Registry(registry::Error),
    /// Its documents were fetched and can't be used.
    Image(image::oci::Error),
}

impl NotFound {
    /// Tells whether the registry could not be asked, or does not have the image.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Self::Registry(error) if error.meaning() != registry::Meaning::Failed)
    }
}

impl From<registry::Error> for NotFound {
    fn from(error: registry::Error) -> Self {
        Self::Registry(error)
    }
}

impl From<image::oci::Error> for NotFound {
    fn from(error: image::oci::Error) -> Self {
        Self::Image(error)
    }
}

impl From<NotFound> for anyhow::Error {
    fn from(error: NotFound) -> Self {
        match error {
            NotFound::Registry(error) => error.into(),
            NotFound::Image(error) => told(error),
        }
    }
}

impl<'s> RemoteImage<'s> {
    /// Finds an image, and checks that the host's policy allows it.
    pub(crate) fn find(
        name: &RegistryRef,
        pulling: &Pulling,
        session: &'s Session<'s>,
    ) -> Result<Self, NotFound> {
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
        let config = self.config(&staging, &blobs)?;
        let (files, wanted) = self.files(&staging, &blobs)?;
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
        let (pipe, arrivals) = Arrivals::of(&self.selected.manifest.layers, &wanted)?;
        let image = Layered { arrival: Some(pipe), ..layered(&image)? };
        let tree = self.unpack_as_it_arrives(importer, &image, (&staging, &blobs), wanted, arrivals)?;
        staging.remove()?;
        let kept = if self.pulling.drops_blobs { Vec::new() } else { self.blobs() };
        Ok(Pulled { tree, named: self.named(kept), blobs: Some(blobs) })
    }

    /// Fetches layers, and has each unpacked as soon as those below it are.
    fn unpack_as_it_arrives<'h>(
        &self,
        importer: &Importer<'h>,
        image: &Layered,
        (staging, blobs): (&Staging<'_>, &Blobs<'_>),
        wanted: Vec<Wanted<File>>,
        arrivals: Arrivals,
    ) -> Result<Acquired<'h>> {
        let has_failed = AtomicBool::new(false);
        thread::scope(|scope| {
            let unpack = || {
                let tree = importer.acquire_layers(image);
                has_failed.store(tree.is_err(), Ordering::Relaxed);
                tree
            };
            let unpacking =
                thread::Builder::new().name("unpack".into()).spawn_scoped(scope, unpack).context(THREAD)?;
            let arrivals = Mutex::new(arrivals);
            let fetched = self.fetch(staging, blobs, wanted, &arrivals, &has_failed);
            // Not for want of a layer: the pipe has not ended yet.
            let is_refused = has_failed.load(Ordering::Relaxed);
            drop(arrivals);
            let unpacked = unpacking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (fetched, unpacked) {
                (Err(_), Err(error)) if is_refused => Err(error.into()),
                (Err(error), _) => Err(error),
                (Ok(()), unpacked) => Ok(unpacked?),
            }
        })
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

    /// Returns the files of all layers, and which of them are to be fetched.
    fn files(&self, staging: &Staging<'_>, blobs: &Blobs<'_>) -> Result<(Files, Vec<Wanted<File>>)> {
        // A layer may stand twice in an image.
        let layers = &self.selected.manifest.layers;
        let sizes: BTreeMap<_, _> = layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        let (mut files, mut wanted) = (Files::new(), Vec::new());
        for (digest, size) in sizes {
            let file = match blobs.find_intact(digest, size)? {
                Some(file) => file,
                None => {
                    let sink = staging.create_file(&digest.hex())?;
                    let file = sink.try_clone()?;
                    wanted.push(Wanted { blob: Blob { digest, size }, sink });
                    file
                }
            };
            files.insert(digest, Arc::new(file));
        }
        Ok((files, wanted))
    }

    /// Fetches layers, and keeps them and the documents. `arrivals` is told of each that is whole. Once `has_failed` is set,
    /// no more are fetched.
    fn fetch(
        &self,
        staging: &Staging<'_>,
        blobs: &Blobs<'_>,
        wanted: Vec<Wanted<File>>,
        arrivals: &Mutex<Arrivals>,
        has_failed: &AtomicBool,
    ) -> Result<()> {
        let (keeps, directory) = (!self.pulling.drops_blobs, staging.as_fd());
        let keep = |blob: Blob, _: File| {
            arrivals.lock().unwrap_or_else(PoisonError::into_inner).add(blob.digest)?;
            if keeps {
                let kept = blobs.publish(directory, &blob.digest.hex(), blob.digest);
                kept.map_err(|error| io::Error::other(error.to_string()))?;
            }
            match has_failed.load(Ordering::Relaxed) {
                true => Err(io::ErrorKind::Interrupted.into()),
                false => Ok(()),
            }
        };
        self.fetcher.blobs(wanted, &keep)?;
        if keeps {
            for (digest, (_, bytes)) in &self.documents {
                keep_document(staging, blobs, *digest, bytes)?;
            }
            blobs.sync()?;
        }
        Ok(())
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

/// The layers that are whole, as the process that unpacks them is told: a byte for each, in their order.
#[derive(Debug)]
struct Arrivals {
    pipe: PipeWriter,
    /// The layers that it was not told about yet, in their order.
    order: VecDeque<BlobDigest>,
    missing: BTreeSet<BlobDigest>,
}

impl Arrivals {
    /// Returns the end of the pipe that is read from, too. Those layers are there that are not `wanted`.
    fn of(layers: &[Descriptor], wanted: &[Wanted<File>]) -> io::Result<(Arc<File>, Self)> {
        let (reader, pipe) = io::pipe()?;
        let order = layers.iter().map(|layer| layer.digest).collect();
        let missing = wanted.iter().map(|wanted| wanted.blob.digest).collect();
        let mut arrivals = Self { pipe, order, missing };
        arrivals.tell()?;
        Ok((Arc::new(File::from(OwnedFd::from(reader))), arrivals))
    }

    fn add(&mut self, digest: BlobDigest) -> io::Result<()> {
        self.missing.remove(&digest);
        self.tell()
    }

    fn tell(&mut self) -> io::Result<()> {
        while self.order.front().is_some_and(|next| !self.missing.contains(next)) {
            // The pipe has room for more bytes than an image may have layers.
            self.pipe.write_all(b".")?;
            self.order.pop_front();
        }
        Ok(())
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
fn documents(
    fetcher: &Fetcher<'_>,
    decision: &Decision,
    platform: &Platform,
) -> Result<(Selected, Read), NotFound> {
    let top = fetcher.manifest()?;
    let descriptor = Descriptor::of_document(top.media_type, top.digest, top.bytes.len() as u64);
    let remote = Remote { fetcher, top: &top, read: RefCell::default() };
    let selected = select(&remote, &descriptor, platform)?;
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
    /// The documents that were read so far.
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
