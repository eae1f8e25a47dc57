// SPDX-License-Identifier: Apache-2.0
//! Images in registries: their manifests are fetched before anything is written, configuration and layers once the store
//! turns out not to have the image.
//!
//! What the host says about registries is obeyed as [`registry`] describes it. Layers go into files of a staging directory,
//! and are decoded by a worker alone, like those of a local image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archive::Exceeded;
use image::oci::reference::RegistryRef;
use image::oci::{
    DOCUMENT_MAX, Descriptor, Documents, OciImage, Part, Platform, Selected, layered, select, tree_id,
};
use pod::blob::BlobDigest;
use registry::policy::Image;
use registry::registries::{Plan, Registries};
use registry::{
    Blob, Client, Decision, Manifest, Name, Options, Places, Policy, Proxies, Pull, Silent, Version, Wanted,
};
use report::told;
use store::listener::{Listener, Progress};
use store::staging::Staging;
use store::{Acquired, Importer};
use sys::Interrupt;

/// How many layers are fetched at the same time.
const CONNECTIONS: usize = 4;
/// How often the interrupt is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The number of hex digits by which progress names a layer.
const SHORT: usize = 12;

/// The layers that were fetched.
type Files = BTreeMap<BlobDigest, Arc<File>>;

/// An image in a registry, known by its manifests.
#[derive(Debug)]
pub struct RemoteImage {
    options: Options,
    plan: Plan,
    selected: Selected,
    /// What it was asked for by.
    shown: String,
    /// Its name and tag.
    name: String,
    warnings: Vec<String>,
}

impl RemoteImage {
    /// Finds an image for this machine, and checks that the host's policy allows it.
    pub(crate) fn find(name: &RegistryRef, interrupt: &Interrupt) -> Result<Self> {
        let shown = format!("docker://{name}");
        let places = Places::from_environment(|name| std::env::var_os(name));
        let registries = Registries::load(&places.registries)?;
        let reference = registries.resolve(&Name::parse(&name.to_string())?)?;
        let decision = match Policy::load(&places.policies)? {
            Some(policy) => policy.decide(&Image::Registry(&reference))?,
            None => Decision::Accept,
        };
        let options = Options {
            credentials: places.credentials,
            certificates: places.certificates,
            proxies: Proxies::from_environment(|name| std::env::var(name).ok())?,
            ..Options::default()
        };
        let plan = registries.plan(&reference)?;
        let selected = until(interrupt, &options.cancel, || {
            let client = Client::new(options.clone(), &Silent);
            documents(&client.pull(&plan), &decision)
        })?;
        let warnings = registries.warnings().to_vec();
        Ok(Self { options, plan, selected, shown, name: name.tagged(), warnings })
    }

    /// Returns the image's name for messages.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns the image's tree, from the store or from layers that are fetched.
    ///
    /// # Errors
    /// If a layer can't be fetched or is refused, or the system fails. Nothing is left behind then.
    pub fn acquire<'h>(self, importer: &Importer<'h>) -> Result<Acquired<'h>> {
        let listener = importer.data_dir.listener;
        self.warnings.iter().for_each(|warning| listener.warn(warning));
        if let Some(known) = importer.known_layers(tree_id(self.selected.manifest.config.digest)?)? {
            return Ok(known);
        }
        let most = importer.limits.bytes;
        let size: u64 =
            self.selected.manifest.layers.iter().fold(0, |sum, layer| layer.size.saturating_add(sum));
        let too_large = || format!("{}: layers of {size} bytes: expected at most {most}", self.shown);
        ensure!(
            size <= most,
            told(store::fault::Fault::from(Exceeded::raised_by("--max-bytes", too_large())))
        );
        // On drop, it is removed with the layers in it.
        let staging = Staging::create(importer.data_dir)?;
        let (config, files) =
            until(importer.interrupt, &self.options.cancel, || self.fetch(&staging, listener))?;
        let part = |layer: &Descriptor| match files.get(&layer.digest) {
            Some(file) => Ok(Part { file: Arc::clone(file), offset: 0, length: layer.size }),
            None => Err(image::oci::Error::Invalid {
                document: format!("blob {}", layer.digest),
                why: "was not fetched: expected it".into(),
            }),
        };
        let image = OciImage::assemble(self.selected, config, vec![self.name], part).map_err(told)?;
        Ok(importer.acquire_layers(&layered(&image)?)?)
    }

    /// Fetches the configuration, and all layers into files.
    fn fetch(&self, staging: &Staging<'_>, listener: &'static dyn Listener) -> Result<(Vec<u8>, Files)> {
        let told = Told(listener);
        let client = Client::new(self.options.clone(), &told);
        let pull = client.pull(&self.plan);
        let Descriptor { digest, size, .. } = self.selected.manifest.config;
        ensure!(size <= DOCUMENT_MAX, "config {digest} of {size} bytes: expected at most {DOCUMENT_MAX}");
        let mut config = Vec::new();
        pull.blob(digest, size, &mut config)?;
        // A layer may stand twice in an image.
        let layers = &self.selected.manifest.layers;
        let sizes: BTreeMap<_, _> = layers.iter().map(|layer| (layer.digest, layer.size)).collect();
        let wanted = sizes.into_iter().map(|(digest, size)| {
            let sink = staging.create_file(&digest.hex())?;
            Ok(Wanted { blob: Blob { digest, size }, sink })
        });
        let wanted = wanted.collect::<Result<_>>()?;
        let files = Mutex::new(BTreeMap::new());
        let keep = |blob: Blob, file: File| {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.insert(blob.digest, Arc::new(file));
            Ok(())
        };
        pull.blobs(wanted, CONNECTIONS, &keep)?;
        Ok((config, files.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Fetches the manifests of the image for this machine, and verifies its signatures if the policy asks for some.
fn documents(pull: &Pull<'_>, decision: &Decision) -> Result<Selected> {
    let top = pull.manifest()?;
    let descriptor = Descriptor::of_document(top.media_type, top.digest, top.bytes.len() as u64);
    let selected = select(&Remote { pull, top: &top }, &descriptor, &Platform::host()).map_err(told)?;
    if let Decision::Signed(signatures) = decision {
        pull.verify(signatures, &[top.digest, selected.digest])?;
    }
    Ok(selected)
}

/// The documents of a repository.
struct Remote<'a> {
    pull: &'a Pull<'a>,
    /// The one that was asked for.
    top: &'a Manifest,
}

impl Documents for Remote<'_> {
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, image::oci::Error> {
        let digest = descriptor.digest;
        let what = || format!("document {digest}");
        let bytes = if digest == self.top.digest {
            self.top.bytes.clone()
        } else {
            let found = self.pull.manifest_at(&Version::Digest(digest));
            found
                .map_err(|error| image::oci::Error::Read { what: what(), error: io::Error::other(error) })?
                .bytes
        };
        if bytes.len() as u64 != descriptor.size {
            let why = format!("has {} bytes: expected {}", bytes.len(), descriptor.size);
            return Err(image::oci::Error::Invalid { document: what(), why });
        }
        Ok(bytes)
    }
}

/// Does `work`, which ends early once `cancel` is set: that is, once a signal asks for it.
fn until<T>(interrupt: &Interrupt, cancel: &AtomicBool, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (done, end) = channel::<()>();
    let watch = move || {
        while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if interrupt.signal().is_some() {
                cancel.store(true, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        thread::Builder::new().spawn_scoped(scope, watch).context("cannot start a thread")?;
        let result = work();
        drop(done);
        result
    })
}

/// The user, as the client of registries tells them what it does.
#[derive(Debug)]
struct Told(&'static dyn Listener);

impl registry::Listener for Told {
    fn note(&self, note: &str) {
        self.0.warn(note);
    }

    fn begin(&self, blob: &BlobDigest, size: u64) -> Box<dyn registry::Progress> {
        Box::new(Step(self.0.begin(&format!("pulling {}", &blob.hex()[..SHORT]), size)))
    }
}

#[derive(Debug)]
struct Step(Box<dyn Progress>);

impl registry::Progress for Step {
    fn reach(&self, bytes: u64) {
        self.0.reach(bytes);
    }
}
