// SPDX-License-Identifier: Apache-2.0
//! Warns of objects in an app's tree that volumes hide, and of volumes that the app can't use. Neither is an error, but
//! often it isn't what was meant.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use pod::text::escape_bytes;
use pod::{App, Mount, Source};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};

use crate::host_volume::open_source;
use sys::in_root::{InRoot, is_missing};

/// The most entries of a directory of the host's that are looked at.
const LOOKED_AT: usize = 4096;

/// Returns a line for each mount that hides something of the image's, and for each that has device nodes in it.
pub(super) fn warnings(app: &App, root: &InRoot) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for mount in &app.mounts {
        let at = || format!("mount at {}", mount.target);
        all.extend(hides(mount, root).with_context(at)?);
        all.extend(nodes(mount).with_context(at)?);
    }
    Ok(all)
}

fn hides(mount: &Mount, root: &InRoot) -> Result<Option<String>> {
    let Mount { source, target, .. } = mount;
    // It has what the image has.
    if matches!(source, Source::Empty { is_copied: true, capacity: None, .. }) {
        return Ok(None);
    }
    let is_directory = match root.stat(target.as_str()) {
        Err(error) if is_missing(&error) => return Ok(None),
        stat => FileType::from_raw_mode(stat?.st_mode) == FileType::Directory,
    };
    let hidden = match is_directory {
        false => "a file".to_owned(),
        true => match entries(root.open_directory(target.as_str())?)? {
            0 => return Ok(None),
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        },
    };
    Ok(Some(format!("the volume at {target} hides {hidden} of the image's")))
}

fn entries(directory: impl AsFd) -> Result<usize> {
    let mut count = 0;
    for entry in Dir::read_from(directory)? {
        count += usize::from(!matches!(entry?.file_name().to_bytes(), b"." | b".."));
    }
    Ok(count)
}

/// Tells of device nodes in a directory of the host's, where they lead to no device.
fn nodes(mount: &Mount) -> Result<Option<String>> {
    let Source::Host { path, links, .. } = &mount.source else { return Ok(None) };
    let source = open_source(path, *links).with_context(|| format!("source {path}"))?;
    if FileType::from_raw_mode(fstat(&source)?.st_mode) != FileType::Directory {
        return Ok(None);
    }
    let directory =
        openat(&source, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (mut count, mut first) = (0_usize, None);
    for entry in Dir::read_from(&directory)?.take(LOOKED_AT) {
        let entry = entry?;
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
            }
            known => known,
        };
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            count += 1;
            first.get_or_insert_with(|| escape_bytes(entry.file_name().to_bytes()));
        }
    }
    let Some(first) = first else { return Ok(None) };
    Ok(Some(format!(
        "the volume at {} has device nodes ({count}, {first} among them), which can't be used there: expected --device",
        mount.target
    )))
}
