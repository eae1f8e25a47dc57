// SPDX-License-Identifier: Apache-2.0
//! Debian packages: their names and versions, and the files they hold, read in memory.
//!
//! A .deb is an ar archive of `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)). Nothing is written anywhere.
//! Invariant: whatever the file holds, the result is entries with clean relative paths, or an error that names the
//! file.

mod control;
mod members;
mod version;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pod::text::escape_bytes;

use crate::publish;
use control::Control;
use members::Members;
pub(crate) use version::compare as compare_versions;

/// The limit of a control file's size; usual ones have a few kilobytes.
const CONTROL_LIMIT: u64 = 1 << 20;
/// The limit of a package's unpacked size, in bytes.
const DATA_LIMIT: u64 = 8 << 30;

/// A package's file.
#[derive(Clone, Debug)]
pub struct Deb {
    /// The path of the file.
    pub path: PathBuf,
    /// The binary package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `amd64`, `arm64`, `all` …
    pub architecture: String,
    /// The source package's name.
    pub source: String,
    /// The source package's version.
    pub source_version: String,
    /// The digest of the file, in hex.
    pub sha256: String,
}

/// An entry of a package's file system tree.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The path relative to the root, without `.` and `..`; empty for the root itself.
    pub path: PathBuf,
    /// The entry's header in the archive: type, mode, owner, size, mtime.
    pub header: tar::Header,
    /// A link's target, exactly as in the archive.
    pub link: Option<PathBuf>,
    /// A regular file's contents.
    pub contents: Vec<u8>,
}

impl Deb {
    /// Reads the package's control file and digest.
    ///
    /// # Errors
    /// Fails if the file can't be read or is no package.
    pub fn open(path: &Path) -> Result<Self> {
        let about = || format!("read package {}", path.display());
        let file = File::open(path).with_context(about)?;
        let sha256 = publish::sha256(&file).with_context(about)?;
        let control = member(path, "control.tar", read_control).with_context(about)?;
        let Control { name, version, architecture, source, source_version } =
            Control::parse(&control).with_context(about)?;
        Ok(Self { path: path.to_owned(), name, version, architecture, source, source_version, sha256 })
    }

    /// Returns everything the package holds, in the archive's order.
    ///
    /// # Errors
    /// Fails if the file can't be read or is damaged.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.visit(|_, _| true, |entry| entries.push(entry))?;
        Ok(entries)
    }

    /// Visits the package's entries like [`Deb::entries`], but one at a time, and only those that are `wanted`. The
    /// contents of others are not kept.
    ///
    /// # Errors
    /// Fails if the file can't be read or is damaged.
    pub fn visit(
        &self,
        wanted: impl Fn(&Path, &tar::Header) -> bool,
        mut each: impl FnMut(Entry),
    ) -> Result<()> {
        member(&self.path, "data.tar", |stream| {
            let mut archive = tar::Archive::new(stream.take(DATA_LIMIT));
            for entry in archive.entries()? {
                let mut entry = entry?;
                let path = clean(&entry.path_bytes())?;
                if wanted(&path, entry.header()) {
                    each(read_entry(path, &mut entry)?);
                }
            }
            // The checksum of the compressed stream is at its end, so it is read to the end.
            io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop).map_err(Into::into)
        })
        .with_context(|| format!("read package {}", self.path.display()))
    }
}

fn read_entry(path: PathBuf, entry: &mut tar::Entry<'_, impl Read>) -> Result<Entry> {
    let mut contents = Vec::new();
    if entry.header().entry_type().is_file() {
        entry.read_to_end(&mut contents)?;
    }
    let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
    Ok(Entry { path, header: entry.header().clone(), link, contents })
}

/// Returns a clean path: `./usr/./bin//x` → `usr/bin/x`.
fn clean(path: &[u8]) -> Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                bail!("entry {} leads out of the tree", escape_bytes(path))
            }
        }
    }
    Ok(clean)
}

/// Passes the decoded member called `NAME`, or `NAME` and how it is compressed, to `read`. The package is laid out as dpkg
/// takes it.
fn member<T>(
    path: &Path,
    name: &str,
    read: impl FnOnce(Box<dyn Read + Send + '_>) -> Result<T>,
) -> Result<T> {
    Members::check(path)?;
    let mut members = Members::open(path)?;
    while let Some((found, stream)) = members.advance()? {
        if members::is_tar(&found, name) {
            let (_, stream) =
                archive::decode::decode(stream, archive::GENEROUS_MEMORY).context(found.clone())?;
            return read(Box::new(stream)).context(found);
        }
    }
    bail!("not a Debian package: it has no {name}")
}

fn read_control(stream: Box<dyn Read + Send + '_>) -> Result<String> {
    let mut archive = tar::Archive::new(stream.take(CONTROL_LIMIT));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if clean(&entry.path_bytes())? == Path::new("control") {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
    bail!("no control file")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
