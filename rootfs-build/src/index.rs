// SPDX-License-Identifier: Apache-2.0
//! An index of the packages' files by path, as they would lie in one merged-usr tree.
//!
//! Invariant: the same packages make the same index, whatever their order. If two packages have different contents for
//! a path, looking that path up is an error.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, bail};

use crate::deb::{Deb, Entry};
use crate::interrupt;
use crate::progress::Step;

/// The kernel follows at most this many symbolic links (path_resolution(7)).
const LINKS: usize = 40;
/// Top-level directories that are links into usr (file-hierarchy(7)).
pub(crate) const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64"];

/// A regular file of a package.
#[derive(Debug)]
pub(crate) struct FileEntry {
    /// The file's package, as an index into [`Index::packages`].
    pub(crate) package: usize,
    /// The time of the last change, in seconds since 1970.
    pub(crate) mtime: u64,
    pub(crate) bytes: Vec<u8>,
    /// Another package that has something else at this path.
    rival: Option<usize>,
}

enum Node {
    File(FileEntry),
    /// The target of a symbolic or hard link; that of a hard link is absolute.
    Link(PathBuf),
}

/// The files and links of packages, by path.
pub(crate) struct Index {
    pub(crate) packages: Vec<Deb>,
    nodes: HashMap<PathBuf, Node>,
}

impl Index {
    /// Reads from `packages` the files that are `wanted`, and all links.
    pub(crate) fn read(packages: Vec<Deb>, wanted: impl Fn(&Path) -> bool + Sync) -> Result<Self> {
        let step = Step::counting(&format!("reading {} packages", packages.len()), packages.len());
        let contents = read_all(&packages, &wanted, &step)?;
        let mut index = Self { packages, nodes: HashMap::new() };
        for (package, entries) in contents.into_iter().enumerate() {
            for entry in entries {
                index.insert(package, entry);
            }
        }
        Ok(index)
    }

    fn insert(&mut self, package: usize, entry: Entry) {
        // A package that makes these links itself, as base-files since Debian 13, is in line with every path here.
        if MERGED.iter().any(|top| entry.path == Path::new(top)) {
            return;
        }
        let path = merge(&entry.path);
        let node = match (entry.header.entry_type(), entry.link) {
            (tar::EntryType::Symlink, Some(target)) => Node::Link(target),
            (tar::EntryType::Link, Some(target)) => Node::Link(Path::new("/").join(target)),
            (kind, _) if kind.is_file() => {
                let mtime = entry.header.mtime().unwrap_or(0);
                Node::File(FileEntry { package, mtime, bytes: entry.contents, rival: None })
            }
            _ => return,
        };
        match (self.nodes.get_mut(&path), node) {
            (None, node) => drop(self.nodes.insert(path, node)),
            (Some(Node::File(known)), Node::File(other)) if known.bytes == other.bytes => {}
            (Some(Node::File(known)), _) => known.rival = known.rival.or(Some(package)),
            // For a link that meets a file or another link, the first package's entry stays.
            (Some(Node::Link(_)), _) => {}
        }
    }

    /// Returns the version of systemd that is among the packages, 0 if there is none.
    pub(crate) fn systemd(&self) -> u32 {
        let package = self.packages.iter().find(|package| package.name == "systemd");
        let digits = package.and_then(|package| package.version.split(|c: char| !c.is_ascii_digit()).next());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Returns the regular file that `path` leads to.
    ///
    /// # Errors
    /// Fails if packages disagree about it.
    pub(crate) fn file(&self, path: &Path) -> Result<Option<&FileEntry>> {
        let Some((path, file)) = self.resolve(path) else { return Ok(None) };
        if let Some(rival) = file.rival {
            let name = |package: usize| &self.packages[package].path;
            let (one, other) = (name(file.package).display(), name(rival).display());
            bail!("{} differs between {one} and {other}", path.display());
        }
        Ok(Some(file))
    }

    fn resolve(&self, path: &Path) -> Option<(PathBuf, &FileEntry)> {
        let mut todo: VecDeque<OsString> = VecDeque::new();
        let push = |todo: &mut VecDeque<OsString>, path: &Path| {
            let steps =
                path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
            let steps: Vec<_> = steps.map(|step| step.as_os_str().to_owned()).collect();
            steps.into_iter().rev().for_each(|step| todo.push_front(step));
        };
        push(&mut todo, path);
        let (mut here, mut links) = (PathBuf::new(), 0);
        while let Some(step) = todo.pop_front() {
            if step == ".." {
                here.pop();
                continue;
            }
            here = merge(&here.join(step));
            if let Some(Node::Link(target)) = self.nodes.get(&here) {
                links += 1;
                if links > LINKS {
                    return None;
                }
                here = if target.is_absolute() { PathBuf::new() } else { here.parent()?.to_owned() };
                push(&mut todo, target);
            }
        }
        match self.nodes.get(&here)? {
            Node::File(file) => Some((here, file)),
            Node::Link(_) => None,
        }
    }
}

/// Returns the path in a merged-usr tree: `lib/x` → `usr/lib/x`.
pub(crate) fn merge(path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").unwrap_or(path);
    if MERGED.iter().any(|top| path.starts_with(top)) { Path::new("usr").join(path) } else { path.to_owned() }
}

/// Reads all packages. Decoding takes most of the time, so a thread per core takes packages until none is left.
fn read_all(
    packages: &[Deb],
    wanted: &(impl Fn(&Path) -> bool + Sync),
    step: &Step,
) -> Result<Vec<Vec<Entry>>> {
    let results: Vec<_> = packages.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(package) = packages.get(index) else { break };
            let result = interrupt::check().and_then(|()| read_one(package, wanted));
            let failed = result.is_err();
            if let Ok(mut slot) = results[index].lock() {
                *slot = Some(result);
            }
            if failed {
                next.store(packages.len(), Ordering::Relaxed);
            }
            step.advance(1);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    // Packages after a failed one may be unread. The error is found before them, since packages are handed out in
    // order.
    let mut entries = Vec::with_capacity(packages.len());
    for result in results.into_iter().filter_map(|slot| slot.into_inner().ok().flatten()) {
        entries.push(result?);
    }
    Ok(entries)
}

fn read_one(package: &Deb, wanted: &impl Fn(&Path) -> bool) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let keep = |path: &Path, header: &tar::Header| !header.entry_type().is_file() || wanted(&merge(path));
    package.visit(keep, |entry| entries.push(entry))?;
    Ok(entries)
}

#[cfg(test)]
#[path = "index_tests.rs"]
pub(crate) mod tests;
