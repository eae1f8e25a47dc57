// SPDX-License-Identifier: Apache-2.0
//! Opens the source of a volume of kind host, as `/init` opens it at each start.
//!
//! No link is followed (appc spec, "Volume Setup"), neither at the end of the path nor on the way: the owner of the
//! directory that a link is in could change where it leads.

use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use pod::path::AbsolutePath;
use pod::text::escape;
use rustix::fs::OFlags;
use rustix::io::Errno;

use sys::open_plainly;

/// Opens a source with `O_PATH`.
///
/// # Errors
/// If the source is missing, or a component of its path is a link, which the error names.
pub(super) fn open_source(source: &AbsolutePath) -> Result<OwnedFd> {
    match open(source.as_str()) {
        Err(Errno::LOOP) => {
            let link = source.prefixes().find(|path| open(path).is_err_and(|error| error == Errno::LOOP));
            bail!("{} is a link: expected a path without links", escape(link.unwrap_or(source.as_str())))
        }
        opened => Ok(opened?),
    }
}

fn open(path: &str) -> rustix::io::Result<OwnedFd> {
    // As a directory first: an automount point is mounted only then (open(2), O_PATH).
    match open_plainly(path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.errno == Errno::NOTDIR => open_plainly(path, OFlags::PATH),
        opened => opened,
    }
    .map_err(Errno::from)
}
