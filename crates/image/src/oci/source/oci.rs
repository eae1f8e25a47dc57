// SPDX-License-Identifier: Apache-2.0
//! Reads an image by `index.json`.

use std::collections::BTreeSet;

use archive::layer::Part;
use pod::path::RelativePath;
use serde::Deserialize;

use super::contents::{Files, Form, ImageLayer, OciImage, read_verified};
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::document::{Document, Index, object};
use crate::oci::error::Error;
use crate::oci::layout_names::{INDEX, LAYOUT, REF_NAME, blob_path};
use crate::oci::media::MediaType;
use crate::oci::platform::Platform;
use crate::oci::reference::is_same_name;
use crate::oci::select::{Documents, Selected, select_in, shown};

const DOCKER_LIST: &str = "manifest.json";
/// The annotation of an image's full name, by containerd, and by Docker's archives, where the other one is the tag alone.
const FULL_NAME: &str = "io.containerd.image.name";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutVersion {
    image_layout_version: String,
}

/// Documents that are blobs of a source.
struct Blobs<'a, F>(&'a F);

impl<F: Files> Documents for Blobs<'_, F> {
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let part = blob(self.0, descriptor)?;
        read_verified(&part, &shown(descriptor), descriptor.digest, descriptor.size)
    }
}

/// Tells by which index a source is to be read.
pub(super) fn form(files: &impl Files) -> Result<Form, Error> {
    let has_list = files.find_named(DOCKER_LIST)?.is_some();
    if files.find_named(INDEX)?.is_none() || files.find_named(LAYOUT)?.is_none() {
        return match has_list {
            true => Ok(Form::DockerSave),
            false => Err(nothing(files, "an OCI layout, or an archive of docker save")),
        };
    }
    let is_empty = has_list && !index(files)?.manifests.iter().any(Descriptor::may_be_an_image);
    Ok(if is_empty { Form::DockerSave } else { Form::Oci })
}

pub(super) fn image(files: &impl Files, name: Option<&str>, platform: &Platform) -> Result<OciImage, Error> {
    check_version(files)?;
    let source = files.shown();
    let named = named(source, index(files)?, name)?;
    let selected = select_in(&Blobs(files), &format!("{INDEX} of {source}"), &named, platform)?;
    assemble(files, &named, selected)
}

fn nothing(files: &impl Files, expected: &'static str) -> Error {
    Error::NoSource { file: files.shown().to_owned(), expected }
}

fn check_version(files: &impl Files) -> Result<(), Error> {
    let Some(bytes) = files.document(LAYOUT)? else {
        return Err(nothing(files, "an OCI layout, with oci-layout and index.json"));
    };
    let name = format!("{LAYOUT} of {}", files.shown());
    let LayoutVersion { image_layout_version: version } = object(&name, &bytes)?;
    if version.split('.').next() != Some("1") {
        let version = pod::text::escape(&version);
        return Err(Error::invalid(&name, format!("imageLayoutVersion is {version}: expected 1.0.0")));
    }
    Ok(())
}

fn index(files: &impl Files) -> Result<Index, Error> {
    let Some(bytes) = files.document(INDEX)? else {
        return Err(nothing(files, "an OCI layout, with oci-layout and index.json"));
    };
    let name = format!("{INDEX} of {}", files.shown());
    match Document::parse(&name, &bytes, None)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(Error::invalid(&name, "a manifest: expected an index")),
    }
}

/// Returns the entries of an index that `name` means: one image, maybe for several platforms.
fn named(source: &str, index: Index, name: Option<&str>) -> Result<Index, Error> {
    let images = index.manifests.into_iter().filter(Descriptor::may_be_an_image);
    let images: Vec<_> = images.collect();
    let names: BTreeSet<_> = images.iter().map(called).collect();
    let document = || source.to_owned();
    let names = || names.iter().cloned().collect::<Vec<_>>();
    match name {
        _ if images.is_empty() => {
            Err(Error::NoSource { file: document(), expected: "an image in its index.json" })
        }
        None if names().len() > 1 => Err(Error::Unnamed { document: document(), names: names() }),
        None => Ok(Index { manifests: images }),
        Some(wanted) => {
            let manifests: Vec<_> = images.iter().filter(|entry| is_called(entry, wanted)).cloned().collect();
            if manifests.is_empty() {
                return Err(Error::NoImage { document: document(), wanted: wanted.into(), names: names() });
            }
            Ok(Index { manifests })
        }
    }
}

/// Returns what an entry is called. Entries without names that are for several platforms are one image.
fn called(entry: &Descriptor) -> String {
    match names_of(entry).next() {
        Some(name) => name.to_owned(),
        None if entry.platform.is_some() => String::new(),
        None => format!("@{}", entry.digest),
    }
}

fn names_of(entry: &Descriptor) -> impl Iterator<Item = &str> {
    [FULL_NAME, REF_NAME].into_iter().filter_map(|key| entry.annotations.get(key)).map(String::as_str)
}

fn is_called(entry: &Descriptor, wanted: &str) -> bool {
    match wanted.strip_prefix('@') {
        Some(digest) => entry.digest.to_string() == digest,
        None => names_of(entry).any(|name| name == wanted || is_same_name(name, wanted)),
    }
}

/// Finds a blob, whose length must be what its descriptor says.
fn blob(files: &impl Files, descriptor: &Descriptor) -> Result<Part, Error> {
    let digest = descriptor.digest;
    let path = RelativePath::from_bytes(blob_path(digest).as_bytes());
    let found = path.map_or(Ok(None), |path| files.find(&path))?;
    let blob = || format!("blob {digest} of {}", files.shown());
    match found {
        Some(part) if part.length == descriptor.size => Ok(part),
        Some(part) => {
            let (found, size) = (part.length, descriptor.size);
            Err(Error::invalid(&blob(), format!("has {found} bytes: expected {size}")))
        }
        None if descriptor.kind() == MediaType::ForeignLayer => {
            Err(Error::invalid(&blob(), "is missing, and may not be distributed by everybody: expected it"))
        }
        None => Err(Error::invalid(&blob(), "is missing: expected it")),
    }
}

fn assemble(files: &impl Files, named: &Index, selected: Selected) -> Result<OciImage, Error> {
    let Descriptor { digest, size, .. } = selected.manifest.config;
    let name = format!("config {digest}");
    let config = read_verified(&blob(files, &selected.manifest.config)?, &name, digest, size)?;
    let way =
        |entry: &&Descriptor| entry.digest == selected.digest || selected.indices.contains(&entry.digest);
    let names: BTreeSet<_> = named.manifests.iter().filter(way).flat_map(names_of).collect();
    let names = names.into_iter().map(str::to_owned).collect();
    OciImage::assemble(selected, config, names, |layer| blob(files, layer))
}

impl OciImage {
    /// Puts an image together of its manifest, and its configuration's bytes, which have the digest that the manifest
    /// states. `part` returns where a layer's bytes are.
    ///
    /// # Errors
    /// If the configuration is refused, or isn't one of these layers; the errors of `part`.
    pub fn assemble(
        selected: Selected,
        config_bytes: Vec<u8>,
        names: Vec<String>,
        part: impl Fn(&Descriptor) -> Result<Part, Error>,
    ) -> Result<Self, Error> {
        let Selected { manifest, digest, indices } = selected;
        let id = manifest.config.digest;
        let config = Config::parse(&format!("config {id}"), &config_bytes)?;
        config.check_layers(&format!("manifest {digest}"), manifest.layers.len())?;
        let layer = |(descriptor, diff_id): (&Descriptor, &_)| {
            let media_type = Some(descriptor.media_type.clone());
            let part = part(descriptor)?;
            Ok(ImageLayer { media_type, digest: Some(descriptor.digest), diff_id: *diff_id, part })
        };
        let layers = manifest.layers.iter().zip(config.diff_ids()).map(layer);
        let layers = layers.collect::<Result<_, Error>>()?;
        Ok(Self { id, manifest: Some(digest), indices, names, config, config_bytes, layers })
    }
}
