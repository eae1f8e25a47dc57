// SPDX-License-Identifier: Apache-2.0
//! The source of a volume of kind host, opened as `/init` opens it at each start.
//!
//! No link is followed (appc spec, "Volume Setup"), neither at its end nor on the way: where a link leads may be changed
//! by whoever owns the directory it is in.

use std::io;
use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use pod::path::AbsolutePath;
use pod::text::escape;
use rustix::fs::{CWD, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::image_root;

/// Opens a source by its name alone (`O_PATH`).
///
/// # Errors
/// Where it is missing, or a component of its path is a link, which the error names.
pub(super) fn open_source(source: &AbsolutePath) -> Result<OwnedFd> {
    let is_loop = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::LOOP);
    match open(source.as_str()) {
        Err(error) if is_loop(&error) => {
            let link = source.prefixes().find(|path| open(path).is_err_and(|error| is_loop(&error)));
            bail!("{} is a link: expected a path without links", escape(link.unwrap_or(source.as_str())))
        }
        opened => Ok(opened?),
    }
}

fn open(path: &str) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let open = |flags: OFlags| image_root::open(CWD, path.as_ref(), flags | OFlags::PATH, resolve);
    // As a directory first: an automount point is mounted only then (open(2), O_PATH).
    match open(OFlags::DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => open(OFlags::empty()),
        opened => opened,
    }
}
