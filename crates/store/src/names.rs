// SPDX-License-Identifier: Apache-2.0
//! Names: what people call images, and the blobs that an image is made of. A file of JSON beside the trees, which is
//! replaced as a whole.
//!
//! ```json
//! {"images": {"sha256-…": {"names": ["docker.io/library/redis:7"],
//!   "digests": ["docker.io/library/redis@sha256:…"],
//!   "blobs": [{"kind": "index", "digest": "sha256:…", "size": 10229}, {"kind": "manifest", …},
//!             {"kind": "config", …}, {"kind": "layer", …}],
//!   "origins": [{"transport": "docker", "place": "docker.io/library/redis:7"}]}}}
//! ```
//!
//! A name belongs to one image at most. What the file says of an image that the store doesn't have means nothing; gc
//! removes it. Invariant: readers see the file as it was before a change or after it. Processes that change it lock its
//! directory, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use pod::blob::BlobDigest;
use pod::id::TreeId;
use pod::layout;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, fsync, openat, renameat_with, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::fault::Fault;
use sys::locks;

/// The longest file of names, enough for some ten thousand images.
const NAMES_MAX: u64 = 64 << 20;
/// The file's next content until it has its name, and the former content afterwards. It means nothing.
const NEXT: &str = "names.next";

/// The names of all images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    images: BTreeMap<TreeId, NamedImage>,
}

/// The facts about an image that aren't in its tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedImage {
    /// Its names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// The digests that it was fetched by, each after its repository.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub digests: BTreeSet<String>,
    /// The blobs that it is made of, if they were kept: indices, the outermost first; the manifest; the configuration;
    /// layers, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<KeptBlob>,
    /// The places that it came from, each once. Names come and go; these stay as long as the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Origin>,
}

/// A place that an image came from, as the host's policy knows it (containers-policy.json(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The kind of place.
    pub transport: Transport,
    /// The full name in a registry as it was asked for, or the path without links.
    pub place: String,
    /// The name that the image has in a layout or an archive of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The requirements of signatures that it was seen to fulfil, by their digests.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signed: BTreeSet<String>,
}

/// A kind of place that images come from, in the words of policy.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A registry.
    Docker,
    /// A directory in OCI's layout.
    Oci,
    /// An archive of one.
    OciArchive,
    /// An archive of `docker save`.
    DockerArchive,
}

impl Origin {
    /// Tells whether both are the same place.
    fn is_same(&self, other: &Self) -> bool {
        (self.transport, &self.place, &self.name) == (other.transport, &other.place, &other.name)
    }
}

/// A blob of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptBlob {
    /// Its kind.
    pub kind: BlobKind,
    /// Its media type, if one was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its digest.
    pub digest: BlobDigest,
    /// Its size in bytes.
    pub size: u64,
}

/// The kind of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// An index that led to the manifest.
    Index,
    /// The manifest.
    Manifest,
    /// The configuration.
    Config,
    /// A layer.
    Layer,
}

impl Names {
    /// Reads the file.
    ///
    /// # Errors
    /// If it can't be read or understood.
    pub fn read(data_dir: &DataDir) -> Result<Self> {
        read(&data_dir.names)
    }

    /// Changes what images are called. The file is written only if it changes.
    ///
    /// # Errors
    /// Those of `change`; if the file can't be read, understood or written. It is as it was then.
    pub fn change<T, E: From<Error>>(
        data_dir: &DataDir,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        // A lock belongs to an open file description: this one is closed at the end.
        let locked = openat(&data_dir.names, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .about(|| "cannot open the names of images")?;
        locks::alone(&locked, &data_dir.interrupt).about(|| "cannot lock the names of images")?;
        let before = Self::read(data_dir)?;
        let mut names = before.clone();
        let done = change(&mut names)?;
        names.images.retain(|_, image| *image != NamedImage::default());
        if names != before {
            write(data_dir, &names).about(|| "cannot write the names of images")?;
        }
        Ok(done)
    }

    /// Returns what is known of an image.
    pub fn of(&self, id: TreeId) -> Option<&NamedImage> {
        self.images.get(&id)
    }

    /// Returns what is known of an image, to change it.
    pub fn of_mut(&mut self, id: TreeId) -> &mut NamedImage {
        self.images.entry(id).or_default()
    }

    /// Iterates over all images.
    pub fn iter(&self) -> impl Iterator<Item = (TreeId, &NamedImage)> {
        self.images.iter().map(|(id, image)| (*id, image))
    }

    /// Gives an image a name, which no other image has afterwards.
    pub fn give(&mut self, id: TreeId, name: &str) {
        for image in self.images.values_mut() {
            image.names.remove(name);
        }
        self.of_mut(id).names.insert(name.to_owned());
    }

    /// Adds what has become known of an image. Its names are no other image's afterwards; blobs that were kept before
    /// count if none are known now.
    pub fn add(&mut self, id: TreeId, named: NamedImage) {
        let NamedImage { names, digests, blobs, origins } = named;
        names.iter().for_each(|name| self.give(id, name));
        let image = self.of_mut(id);
        image.digests.extend(digests);
        if !blobs.is_empty() {
            image.blobs = blobs;
        }
        for origin in origins {
            match image.origins.iter_mut().find(|known| known.is_same(&origin)) {
                Some(known) => known.signed.extend(origin.signed),
                None => image.origins.push(origin),
            }
        }
    }

    /// Returns the image that has exactly this name, or was fetched by exactly this digest.
    pub fn called(&self, name: &str) -> Option<TreeId> {
        let is = |image: &NamedImage| image.names.contains(name) || image.digests.contains(name);
        self.images.iter().find(|(_, image)| is(image)).map(|(id, _)| *id)
    }

    /// Forgets all images but those that `is_there` tells of.
    pub fn retain(&mut self, mut is_there: impl FnMut(TreeId) -> bool) {
        self.images.retain(|id, _| is_there(*id));
    }

    /// Returns the images that a text means, and the names or digests by which: one that is the text, or else those that
    /// end with it after a slash. Without a tag and a digest, the tag is `latest`.
    pub fn find(&self, text: &str) -> Vec<(TreeId, &str)> {
        let latest = format!("{text}:latest");
        let last = text.rsplit('/').next().unwrap_or_default();
        let forms: &[&str] = if last.contains([':', '@']) { &[text] } else { &[text, &latest] };
        let called = |is: &dyn Fn(&str) -> bool| -> Vec<(TreeId, &str)> {
            let all = self.images.iter().flat_map(|(id, image)| {
                image.names.iter().chain(&image.digests).map(|name| (*id, name.as_str()))
            });
            all.filter(|(_, name)| is(name)).collect()
        };
        let whole = called(&|name| forms.contains(&name));
        if !whole.is_empty() {
            return whole;
        }
        let ends = |name: &str, form: &str| name.strip_suffix(form).is_some_and(|rest| rest.ends_with('/'));
        called(&|name| forms.iter().any(|form| ends(name, form)))
    }

    /// Returns the digests of all blobs that images are made of.
    pub(crate) fn blobs(&self) -> BTreeSet<BlobDigest> {
        self.images.values().flat_map(|image| &image.blobs).map(|blob| blob.digest).collect()
    }
}

fn read(directory: &OwnedFd) -> Result<Names> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, layout::NAMES_FILE, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Names::default()),
        opened => File::from(opened.about(|| "cannot open the names of images")?),
    };
    let mut text = Vec::new();
    file.take(NAMES_MAX).read_to_end(&mut text).about(|| "cannot read the names of images")?;
    serde_json::from_slice(&text)
        .map_err(Fault::content)
        .about(|| format!("{}/{} is invalid", layout::NAMES, layout::NAMES_FILE))
}

/// Replaces the file. If that fails, it is as it was.
///
/// Nothing has to be removed afterwards, which could fail when the names are changed already: what the file was stays
/// under the other name, and means nothing.
fn write(data_dir: &DataDir, names: &Names) -> Result<()> {
    let directory = &data_dir.names;
    // A failure here would keep a new store from being removed.
    let unwritten = || {
        let _ = unlinkat(directory, NEXT, AtFlags::empty());
    };
    write_next(directory, names).inspect_err(|_| unwritten())?;
    let name = layout::NAMES_FILE;
    let exchange = || renameat_with(directory, NEXT, directory, name, RenameFlags::EXCHANGE);
    let is_first = match exchange() {
        Err(Errno::NOENT) => {
            renameat_with(directory, NEXT, directory, name, RenameFlags::NOREPLACE).map(|()| true)
        }
        exchanged => exchanged.map(|()| false),
    }
    .inspect_err(|_| unwritten())?;
    let synced = fsync(directory);
    if synced.is_err() {
        let undone = if is_first { unlinkat(directory, name, AtFlags::empty()) } else { exchange() };
        if let Err(error) = undone {
            data_dir.listener.warn(&format!("cannot take back the names of images: {error}"));
        }
    }
    Ok(synced?)
}

/// Writes the file under its other name.
fn write_next(directory: &OwnedFd, names: &Names) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut next = File::from(openat(directory, NEXT, flags, Mode::RUSR | Mode::WUSR)?);
    next.write_all(&serde_json::to_vec(names).map_err(io::Error::from)?)?;
    Ok(next.sync_all()?)
}

/// Adds what has become known of an image that is in the store.
///
/// # Errors
/// As [`Names::change`].
pub fn add(data_dir: &DataDir, id: TreeId, named: NamedImage) -> Result<()> {
    if named == NamedImage::default() {
        return Ok(());
    }
    Names::change(data_dir, |names| {
        names.add(id, named);
        Ok(())
    })
}

/// Forgets what is known of images that the store doesn't have.
///
/// # Errors
/// As [`Names::change`].
pub fn sweep(data_dir: &DataDir) -> Result<()> {
    if Names::read(data_dir)?.images.is_empty() {
        return Ok(());
    }
    Names::change(data_dir, |names| {
        // The trees are looked up after the names were read: a tree comes into the store before its names.
        let there: BTreeSet<_> = crate::tree::ids(data_dir)?.into_iter().collect();
        names.retain(|id| there.contains(&id));
        Ok(())
    })
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
