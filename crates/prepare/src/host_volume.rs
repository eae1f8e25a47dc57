// SPDX-License-Identifier: Apache-2.0
//! Opens the source of a volume of kind host, as `/init` opens it at each start.
//!
//! No link is followed (appc spec, "Volume Setup"), neither at the end of the path nor on the way: the owner of the
//! directory that a link is in could change where it leads. `followLinks` says otherwise for a volume.

use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use pod::manifest::Links;
use pod::path::AbsolutePath;
use pod::text::escape;
use rustix::io::Errno;

use sys::{open_followed, open_mounted};

/// Opens a source with `O_PATH`.
///
/// # Errors
/// If the source is missing, or a component of its path is a link that may not be followed, which the error names.
pub(super) fn open_source(source: &AbsolutePath, links: Links) -> Result<OwnedFd> {
    if links == Links::Followed {
        return Ok(open_followed(source.as_str())?);
    }
    match open(source.as_str()) {
        Err(Errno::LOOP) => {
            let link = source.prefixes().find(|path| open(path).is_err_and(|error| error == Errno::LOOP));
            bail!(
                "{} is a link: expected a path without links, or a volume with followLinks=true",
                escape(link.unwrap_or(source.as_str()))
            )
        }
        opened => Ok(opened?),
    }
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    Ok(open_mounted(path)?)
}
