// SPDX-License-Identifier: Apache-2.0
//! Checks images in files and directories: the host's permission, their platform, and the id that they must have. Finds
//! their names.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use image::oci::OciImage;
use image::oci::reference::RegistryRef;
use pod::digest::Digest;
use pod::id::ImageId;
use registry::policy::{self, Image};
use store::names::{NamedImage, Origin, Transport};

use crate::pulling::Pulling;
use crate::session::Session;

/// Asks the host's policy about a layout or an archive of one; without a transport, about an archive of `docker save`.
/// `path` is what the policy knows it by.
pub(crate) fn allow(
    session: &Session<'_>,
    path: &Path,
    transport: Option<policy::Layout>,
    name: Option<&str>,
) -> Result<()> {
    let image = match transport {
        Some(transport) => Image::Layout { transport, path, name },
        None => Image::DockerArchive(path),
    };
    Ok(session.decide(&image).map(drop)?)
}

/// Checks that an image is for the platform, and asks the host's policy about all names that it has where it was found:
/// an image that is taken without its name, or by its digest, is the same.
pub(crate) fn check(
    session: &Session<'_>,
    pulling: &Pulling,
    path: &Path,
    transport: Option<policy::Layout>,
    image: &OciImage,
) -> Result<()> {
    image.names.iter().try_for_each(|name| allow(session, path, transport, Some(name)))?;
    pulling.check(&image.config.platform())
}

/// Returns an image that has the id that it must have, if it must have one.
pub(crate) fn with_id(image: OciImage, shown: &str, id: Option<ImageId>) -> Result<OciImage> {
    if let Some(id) = id {
        let (expected, found) = (id.to_string(), Digest::from(image.id).to_string());
        ensure!(found == expected, "image {shown}: its id is {found}: expected {expected}");
    }
    Ok(image)
}

/// Returns what is known of an image from a file or directory: those of its names there that are full, and where that is,
/// for [`crate::judge`].
pub(crate) fn named(image: &OciImage, path: &Path, transport: Option<policy::Layout>) -> NamedImage {
    let names = image.names.iter().filter_map(|name| RegistryRef::parse(name).ok());
    let transport = match transport {
        Some(policy::Layout::Oci | policy::Layout::Dir) => Transport::Oci,
        Some(policy::Layout::OciArchive) => Transport::OciArchive,
        None => Transport::DockerArchive,
    };
    let place = path.to_string_lossy().into_owned();
    let origin = |name| Origin { transport, place: place.clone(), name, signed: BTreeSet::new() };
    let origins = match transport {
        Transport::Oci | Transport::OciArchive if !image.names.is_empty() => {
            image.names.iter().cloned().map(|name| origin(Some(name))).collect()
        }
        _ => vec![origin(None)],
    };
    NamedImage { names: names.map(|name| name.tagged()).collect(), origins, ..NamedImage::default() }
}
