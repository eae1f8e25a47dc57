// SPDX-License-Identifier: Apache-2.0
//! Reads an image by `manifest.json`, as `docker save` writes it.

use std::path::Path;

use archive::layer::Part;
use pod::blob::BlobDigest;
use pod::path::RelativePath;

use super::contents::{Files, ImageLayer, OciImage, read};
use crate::oci::config::Config;
use crate::oci::docker_save::SavedImage;
use crate::oci::error::Error;
use crate::oci::reference::is_same_name;

const LIST: &str = "manifest.json";

pub(super) fn image(files: &impl Files, name: Option<&str>) -> Result<OciImage, Error> {
    let document = format!("{LIST} of {}", files.shown());
    let Some(bytes) = files.document(LIST)? else {
        let (file, expected) = (files.shown().to_owned(), "an archive of docker save, with manifest.json");
        return Err(Error::NoSource { file, expected });
    };
    let images = SavedImage::parse_all(&document, &bytes)?;
    let image = named(files.shown(), &images, name)?;
    let config_bytes = read(&find(files, &image.config)?, &format!("config of {}", files.shown()))?;
    let id = BlobDigest::sha256(&config_bytes);
    check_name(&document, &image.config, id)?;
    let config = Config::parse(&format!("config {id}"), &config_bytes)?;
    config.check_layers(&document, image.layers.len())?;
    let layer = |(member, diff_id): (&RelativePath, &BlobDigest)| {
        let part = find(files, member)?;
        Ok(ImageLayer { media_type: None, digest: None, diff_id: *diff_id, part })
    };
    let layers = image.layers.iter().zip(config.diff_ids()).map(layer).collect::<Result<_, Error>>()?;
    let names = image.tags.clone();
    Ok(OciImage { id, manifest: None, indices: Vec::new(), names, config, config_bytes, layers })
}

/// Returns the image that `name` means: one of its names, or `@` and its number; or the only one.
fn named<'a>(source: &str, images: &'a [SavedImage], name: Option<&str>) -> Result<&'a SavedImage, Error> {
    let called = |(number, image): (usize, &SavedImage)| {
        image.tags.first().cloned().unwrap_or_else(|| format!("@{number}"))
    };
    let document = source.to_owned();
    let names = || images.iter().enumerate().map(called).collect();
    let found = match name {
        None if images.len() > 1 => return Err(Error::Unnamed { document, names: names() }),
        None => images.first(),
        Some(wanted) => match wanted.strip_prefix('@') {
            Some(number) => number.parse().ok().and_then(|number: usize| images.get(number)),
            None => images.iter().find(|image| image.tags.iter().any(|tag| is_same_name(tag, wanted))),
        },
    };
    match (found, name) {
        (Some(image), _) => Ok(image),
        (None, Some(wanted)) => Err(Error::NoImage { document, wanted: wanted.into(), names: names() }),
        (None, None) => Err(Error::NoSource { file: document, expected: "an image in its manifest.json" }),
    }
}

fn find(files: &impl Files, member: &RelativePath) -> Result<Part, Error> {
    files.find(member)?.ok_or_else(|| {
        let document = format!("{LIST} of {}", files.shown());
        Error::invalid(&document, format!("member {member} is missing: expected it in the archive"))
    })
}

/// Checks that a configuration that is called by a digest has that digest.
fn check_name(document: &str, member: &RelativePath, found: BlobDigest) -> Result<(), Error> {
    let stem = Path::new(member.as_path()).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match format!("sha256:{stem}").parse::<BlobDigest>() {
        Ok(expected) if expected != found => {
            Err(Error::invalid(document, format!("the config's digest is {found}: expected {expected}")))
        }
        _ => Ok(()),
    }
}
