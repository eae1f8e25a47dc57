// SPDX-License-Identifier: Apache-2.0
//! The contents of stage1 and their places in its tree.
//!
//! Invariant: the plan is a function of the packages, `/init` and the units. Modes follow from what an entry is, never
//! from the umask or from how the inputs are stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pod::layout;
use serde::Serialize;

use crate::index::{FileEntry, Index, MERGED};
use crate::stand_in::{self, Libraries};
use crate::target::Target;
use crate::tree::{Node, Tree};
use crate::{closure, licenses};

/// The packages that stage1 is taken from; apt adds their dependencies. The libraries are listed because newer systemd
/// only recommends them, see `closure`.
pub const PACKAGES: &[&str] = &["base-files", "libmount1", "libseccomp2", "systemd", "systemd-container"];

const PROGRAMS: &[&str] =
    &["usr/bin/systemd-nspawn", "usr/lib/systemd/systemd", "usr/lib/systemd/systemd-shutdown"];
/// The program through which PID 1 starts services since systemd 254.
const EXECUTOR: &str = "usr/lib/systemd/systemd-executor";

const OS_RELEASE: &str = "usr/lib/os-release";
const UNITS: &str = "usr/lib/systemd/system";
/// The directory in which `/init` has the names by which units call it.
const HELPERS: &str = "usr/lib/gantry";
/// The stand-in for libraries that are never called.
const STAND_IN: &str = "usr/lib/gantry/stand-in.so";
const HELPER_NAMES: &[&str] = &["boot", "exit-code", "launch", "metadata", "status"];
/// The directory of copyright files, with a directory for each package.
const DOCUMENTS: &str = "usr/share/doc";
const PACKAGE_LIST: &str = "usr/share/gantry/packages.json";

/// Directories that are empty or exist in any case, and their modes. There is no `etc/machine-id`: `/init` writes it,
/// so that systemd has no reason to.
const DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("etc", 0o755),
    (layout::UNITS, 0o755),
    ("opt", 0o755),
    (layout::IMAGES, 0o755),
    ("proc", 0o755),
    ("rkt", 0o755),
    (layout::STATUS, 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/lib64", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];

/// A stage1, ready to be packed.
pub(crate) struct Plan<'a> {
    pub(crate) tree: Tree<'a>,
    /// The time of the newest file that was taken from a package, in seconds since 1970.
    pub(crate) mtime: u64,
    /// The number of packages that files were taken from.
    pub(crate) packages: usize,
}

/// Tells whether a file of a package may be needed. All others need not be kept in memory.
pub(crate) fn wanted(path: &Path) -> bool {
    let is_library = || {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.contains(".so"))
    };
    PROGRAMS.iter().chain([&EXECUTOR, &OS_RELEASE]).any(|wanted| path == Path::new(wanted))
        || path.starts_with(licenses::COMMON)
        || (path.starts_with(DOCUMENTS) && path.ends_with("copyright"))
        || ((path.starts_with("usr/lib") || path.starts_with("usr/lib64")) && is_library())
}

/// Lays out stage1.
///
/// # Errors
/// Fails if a program, a library or a copyright file is missing, or the units' directory can't be read or collides.
pub(crate) fn plan<'a>(
    index: &'a Index,
    target: &Target,
    libraries: Libraries,
    init: &'a [u8],
    units: &Path,
) -> Result<Plan<'a>> {
    let mut tree = Tree::default();
    for (path, mode) in DIRECTORIES {
        tree.directory(path, *mode)?;
    }
    for name in MERGED {
        tree.symlink(name, format!("usr/{name}"))?;
    }
    tree.file(layout::INIT, 0o555, init)?;
    for name in HELPER_NAMES {
        let up = "../".repeat(Path::new(HELPERS).components().count());
        tree.symlink(&format!("{HELPERS}/{name}"), up + layout::INIT)?;
    }
    let (packages, mtime) = add_packaged(&mut tree, index, target, libraries)?;
    tree.symlink("etc/os-release", "../usr/lib/os-release")?;
    tree.file(PACKAGE_LIST, 0o644, package_list(index, &packages)?)?;
    add_units(&mut tree, units, UNITS).with_context(|| format!("read units in {}", units.display()))?;
    Ok(Plan { tree, mtime, packages: packages.len() })
}

/// Adds everything that comes from packages. Returns these packages and the newest file's time.
fn add_packaged<'a>(
    tree: &mut Tree<'a>,
    index: &'a Index,
    target: &Target,
    libraries: Libraries,
) -> Result<(BTreeSet<usize>, u64)> {
    let mut programs = Vec::new();
    for path in PROGRAMS {
        programs.push((PathBuf::from(path), required(index, path)?));
    }
    if let Some(file) = index.file(Path::new(EXECUTOR))? {
        programs.push((PathBuf::from(EXECUTOR), file));
    }
    let os_release = required(index, OS_RELEASE)?;
    tree.file(OS_RELEASE, 0o644, &os_release.bytes)?;
    let mut all = vec![os_release];
    let closure = closure::close(index, target, &programs, stand_in::replaced(libraries, index.systemd()))?;
    if !closure.replaced.is_empty() {
        let users = closure.taken.iter().map(|(path, taken)| (path.as_path(), taken.file));
        tree.file(STAND_IN, 0o644, stand_in::make(target.machine, &closure.replaced, users)?)?;
    }
    for path in closure.replaced.into_keys() {
        let link = stand_in::link(&path, STAND_IN);
        tree.add(path, Node::Symlink(link))?;
    }
    for (path, taken) in closure.taken {
        tree.file(path, if taken.executable { 0o755 } else { 0o644 }, &taken.file.bytes)?;
        all.push(taken.file);
    }
    let mut packages = all.iter().map(|file| file.package).collect();
    let documents = licenses::collect(index, &mut packages)?;
    all.extend(documents.values());
    add_documents(tree, documents)?;
    Ok((packages, all.iter().map(|file| file.mtime).max().unwrap_or(0)))
}

/// Adds copyright and license files. Packages of one source share a copyright file: the first package's directory holds
/// it, the others link to it.
fn add_documents<'a>(tree: &mut Tree<'a>, files: BTreeMap<PathBuf, &'a FileEntry>) -> Result<()> {
    let mut known: HashMap<&[u8], PathBuf> = HashMap::new();
    for (path, file) in files {
        let below = path.strip_prefix(DOCUMENTS).map(Path::to_owned).ok();
        match below.map(|below| (known.get(file.bytes.as_slice()), below)) {
            // The link leads from PACKAGE/copyright to FIRST/copyright.
            Some((Some(first), _)) => tree.add(path, Node::Symlink(Path::new("..").join(first)))?,
            Some((None, below)) => {
                known.insert(&file.bytes, below);
                tree.file(path, 0o644, &file.bytes)?;
            }
            None => tree.file(path, 0o644, &file.bytes)?,
        }
    }
    Ok(())
}

fn required<'a>(index: &'a Index, path: &str) -> Result<&'a FileEntry> {
    index.file(Path::new(path))?.with_context(|| format!("/{path} is in none of the packages"))
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    source: &'a str,
    source_version: &'a str,
    sha256: &'a str,
}

/// Returns the list of packages as JSON, in the order of their names.
fn package_list(index: &Index, packages: &BTreeSet<usize>) -> Result<Vec<u8>> {
    let packages = packages.iter().filter_map(|package| index.packages.get(*package));
    let list: Vec<_> = packages
        .map(|deb| Listed {
            name: &deb.name,
            version: &deb.version,
            architecture: &deb.architecture,
            source: &deb.source,
            source_version: &deb.source_version,
            sha256: &deb.sha256,
        })
        .collect();
    let mut json = serde_json::to_vec_pretty(&list)?;
    json.push(b'\n');
    Ok(json)
}

fn add_units(tree: &mut Tree<'_>, from: &Path, to: &str) -> Result<()> {
    // This also covers an empty directory of units.
    if !tree.entries().any(|(path, _)| path == Path::new(to)) {
        tree.directory(to, 0o755)?;
    }
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{}: the name is not UTF-8", path.display()))?;
        let to = format!("{to}/{name}");
        let about = || path.display().to_string();
        let kind = fs::symlink_metadata(&path).with_context(about)?.file_type();
        if kind.is_symlink() {
            tree.symlink(&to, fs::read_link(&path).with_context(about)?)?;
        } else if kind.is_dir() {
            add_units(tree, &path, &to)?;
        } else if kind.is_file() {
            tree.file(to, 0o644, fs::read(&path).with_context(about)?)?;
        } else {
            bail!("{}: expected files, directories and symbolic links", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
