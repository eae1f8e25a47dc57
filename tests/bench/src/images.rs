// SPDX-License-Identifier: Apache-2.0
//! The images in every encoding, and what the other contenders need of the same content. Encodings are made once and
//! kept in `.cache`. The tree of each image is also unpacked, for contenders that run a directory.

use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use testing::image::manifest;
use testing::pods::image_id;
use testing::repository;
use testing::rootfs::Rootfs;

use crate::work::Work;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding {
    /// Its name for a reader.
    pub(crate) name: &'static str,
    /// What follows `.tar` in a file's name.
    pub(crate) suffix: &'static str,
    /// The command that compresses from stdin to stdout.
    pub(crate) encode: &'static str,
    /// tar's option for it.
    pub(crate) tar: &'static str,
}

/// All encodings that are measured.
pub(crate) const ENCODINGS: [Encoding; 5] = [
    Encoding { name: "plain", suffix: "", encode: "cat", tar: "tar -xf" },
    Encoding { name: "gz", suffix: ".gz", encode: "gzip -n", tar: "tar -xzf" },
    Encoding { name: "xz, one block", suffix: ".xz", encode: "xz -T1", tar: "tar -xJf" },
    // On a machine with many cores, xz -T0 takes a gigabyte and more for the same result.
    Encoding { name: "xz, as -T0 makes it", suffix: ".blocks.xz", encode: "xz -T2", tar: "tar -xJf" },
    Encoding { name: "zst", suffix: ".zst", encode: "zstd -q -c", tar: "tar --zstd -xf" },
];

/// Those that goals of a pod's start are about.
pub(crate) const GZ_AND_ZST: &[Encoding] = &[ENCODINGS[1], ENCODINGS[4]];

/// An image in the working directory.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its files are `images/NAME.tar…`, its tree is `trees/NAME/rootfs`, and that tree's archive `NAME.rootfs.tar`.
    pub(crate) name: &'static str,
    /// Its size, for a reader.
    pub(crate) shown: String,
    /// The store's name for it.
    pub(crate) id: String,
}

/// Builds an image in each of these encodings that the cache does not have, the plain one always.
pub(crate) fn prepare(
    name: &str,
    rootfs: impl FnOnce() -> Result<Rootfs>,
    encodings: &[Encoding],
) -> Result<()> {
    let cache = cache()?;
    let plain = cache.join(format!("{name}.tar"));
    if !plain.exists() {
        eprintln!("building the image {name} from packages");
        let new = plain.with_extension("new");
        let manifest = manifest(name, &["/usr/bin/true"]).to_string();
        let out = BufWriter::new(File::create(&new).with_context(|| format!("create {}", new.display()))?);
        rootfs()?.write_image(manifest.as_bytes(), out).context("write the image")?;
        fs::rename(&new, &plain).context("publish the image")?;
    }
    let compressed = encodings.iter().filter(|encoding| !encoding.suffix.is_empty());
    compressed.copied().try_for_each(|encoding| encode(name, &encoding, &cache))
}

impl Image {
    /// Brings a prepared image into the working directory.
    pub(crate) fn unpack(work: &Work, name: &'static str) -> Result<Self> {
        let cache = cache()?;
        let link = work.join("images");
        if !link.exists() {
            symlink(&cache, link).context("link to the images")?;
        }
        work.shell(&format!(
            "mkdir -p trees/{name}; tar -xf images/{name}.tar -C trees/{name}
             tar -C trees/{name}/rootfs -cf {name}.rootfs.tar ."
        ))?;
        let entries = work.shell(&format!("tar -tf images/{name}.tar | wc -l"))?;
        let plain = cache.join(format!("{name}.tar"));
        let bytes = fs::metadata(&plain).context("look at the image")?.len();
        Ok(Self { name, shown: format!("{} MB, {entries} entries", bytes / 1_000_000), id: image_id(&plain) })
    }

    /// Returns its file of this encoding, relative to the working directory.
    pub(crate) fn file(&self, encoding: &Encoding) -> String {
        format!("images/{}.tar{}", self.name, encoding.suffix)
    }
}

fn cache() -> Result<PathBuf> {
    let cache = repository().join(".cache/bench/images");
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    Ok(cache)
}

fn encode(name: &str, encoding: &Encoding, cache: &Path) -> Result<()> {
    let file = format!("{name}.tar{}", encoding.suffix);
    if cache.join(&file).exists() {
        return Ok(());
    }
    eprintln!("compressing the image {name}: {}", encoding.encode);
    let line = format!("{} < {name}.tar > {file}.new && mv {file}.new {file}", encoding.encode);
    let status = Command::new("sh").args(["-c", &line]).current_dir(cache).env_remove("XZ_OPT").status();
    ensure!(status.with_context(|| line.clone())?.success(), "{line} failed");
    Ok(())
}
