// SPDX-License-Identifier: Apache-2.0
//! Manifests: any bytes are refused in one line, or mean a pod whose warnings are a line each; and what the installer
//! writes is read back as the same.
//!
//! The bytes are a pod manifest and the manifests of its images in order, separated by NUL, which JSON does not
//! contain.

use std::collections::BTreeMap;

use pod::Pod;
use pod::id::ImageId;
use pod::manifest::{ContainerRuntimeManifest, ImageManifest, Manifest};

use crate::check_message;

/// The pod's id, for manifests that have none.
const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

/// Parses the manifests, and assembles them.
///
/// # Panics
/// Panics if a property does not hold.
pub fn check(data: &[u8]) -> bool {
    let mut parts = data.split(|byte| *byte == 0);
    let pod = parse(Manifest::parse, parts.next().unwrap_or_default());
    let images: Vec<_> = parts.map(|bytes| parse(ImageManifest::parse, bytes)).collect();
    let Some(manifest) = pod else { return false };
    let id = match &manifest {
        Manifest::Runtime(manifest) => {
            check_written(manifest);
            manifest.uuid
        }
        Manifest::Pod(_) => ID.parse().unwrap(),
    };
    let named: BTreeMap<ImageId, ImageManifest> = manifest
        .images()
        .into_iter()
        .zip(images)
        .filter_map(|(digest, image)| Some((digest, image?)))
        .collect();
    match Pod::assemble(id, &manifest, &named) {
        Ok(pod) => {
            assert!(!pod.apps.is_empty());
            pod.warnings.iter().for_each(|warning| check_message(warning));
            true
        }
        Err(error) => {
            check_message(&error.to_string());
            false
        }
    }
}

fn parse<T>(parse: impl Fn(&[u8]) -> pod::Result<T>, bytes: &[u8]) -> Option<T> {
    parse(bytes).map_err(|error| check_message(&error.to_string())).ok()
}

/// The installer writes manifests without isolators and annotations; this checks the rest.
fn check_written(manifest: &ContainerRuntimeManifest) {
    let written = manifest.to_json();
    match Manifest::parse(written.as_bytes()) {
        Ok(Manifest::Runtime(read)) => {
            let facts = |manifest: &ContainerRuntimeManifest| {
                let apps: Vec<_> = manifest.apps.iter().map(|app| (app.name.clone(), app.image_id)).collect();
                (manifest.uuid, apps, manifest.volumes.clone())
            };
            assert_eq!(facts(&read), facts(manifest));
            assert_eq!(read.to_json(), written);
        }
        other => panic!("{written} is read as {other:?}"),
    }
}
