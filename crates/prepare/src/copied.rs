// SPDX-License-Identifier: Apache-2.0
//! Volumes that begin with what an image has at their mount point: content, owner and mode. They are copied when the pod
//! is prepared; `/init` finds them as it finds those of earlier starts.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use pod::name::VolumeName;
use pod::{Mount, Pod, Source, layout};
use store::copy;
use store::staging::{Staging, open_below};
use sys::Interrupt;
use sys::in_root::is_missing;

use crate::layout::{Trees, make_all};

/// Fills the volumes that begin so in a pod's staging directory. Of several apps that have a volume, the first one's image
/// counts. Tells whether there are any.
///
/// # Errors
/// If an image has something else than a directory at a mount point, or the system fails.
pub(crate) fn fill(staging: &Staging<'_>, trees: &Trees, pod: &Pod, interrupt: &Interrupt) -> Result<bool> {
    let mut seen = BTreeSet::new();
    let stage1 = open_below(staging, layout::STAGE1)?;
    for app in &pod.apps {
        for mount in &app.mounts {
            let Some((name, path)) = own(mount) else { continue };
            if !seen.insert(path.clone()) {
                continue;
            }
            let tree =
                trees.images.get(&app.image).with_context(|| format!("image {} is not given", app.image))?;
            let about =
                || format!("volume {name}: cannot copy what image {} has at {}", app.image, mount.target);
            let root = tree.in_root(layout::IMAGE_ROOTFS).with_context(about)?;
            let from = match root.open_directory(mount.target.as_str()) {
                Err(error) if is_missing(&error) => continue,
                opened => opened.with_context(about)?,
            };
            copy::copy(&from, &make_all(&stage1, &path)?, interrupt).with_context(about)?;
        }
    }
    Ok(!seen.is_empty())
}

/// Returns a volume's name and its directory in stage1, if it is to be filled.
fn own(mount: &Mount) -> Option<(&VolumeName, String)> {
    // One in memory begins empty at each start.
    let Source::Empty { volume, app, capacity: None, is_copied: true, .. } = &mount.source else {
        return None;
    };
    Some((volume, layout::volume(volume, app.as_ref())))
}
