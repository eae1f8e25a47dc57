// SPDX-License-Identifier: Apache-2.0
//! Finds the programs of stage1 and everything that the dynamic linker will load for them.
//!
//! Invariant: the result is complete. A library that can't be found is an error now, not a failure when a pod starts. A
//! library keeps the directory that it is found in, since private libraries are found by `DT_RUNPATH`. The name by
//! which it is needed becomes a regular file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::elf::{self, Dlopen, Facts, Priority};
use crate::index::{FileEntry, Index, merge};
use crate::target::Target;

/// The libraries that pods need among those that systemd loads only if they are installed: mounts and system call
/// filters. Without the others (TPMs, FIDO2, QR codes, encrypted disks, PKCS#11, coredump analysis, IDN, BPF …) systemd
/// works as on a host that lacks them.
///
/// systemd 252 has no dlopen notes and needs none: with its `DT_NEEDED` alone, nspawn, PID 1 and systemd-shutdown boot,
/// run and end a pod without asking for another library (strace). glibc's own libgcc_s serves `pthread_cancel` and
/// `backtrace`, which they don't call.
const POD_NEEDS: &[&str] = &["libmount.so.1", "libseccomp.so.2"];

/// A file of stage1 that was taken from a package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) file: &'a FileEntry,
    /// Whether it is a program or the dynamic linker, not a library.
    pub(crate) executable: bool,
}

/// Programs and what they load, by their paths in stage1.
#[derive(Debug, Default)]
pub(crate) struct Closure<'a> {
    pub(crate) taken: BTreeMap<PathBuf, Taken<'a>>,
    /// The libraries that are loaded by name and replaced. What they load themselves isn't there.
    pub(crate) replaced: BTreeMap<PathBuf, &'a FileEntry>,
}

/// Returns `programs` and what they load. The libraries called `replaced` are only found.
///
/// # Errors
/// Fails if a library is in none of the packages, or a file is no ELF file of this architecture.
pub(crate) fn close<'a>(
    index: &'a Index,
    target: &Target,
    programs: &[(PathBuf, &'a FileEntry)],
    replaced: &[&str],
) -> Result<Closure<'a>> {
    let mut closure = Closure::default();
    let mut todo: Vec<(PathBuf, Taken<'a>)> =
        programs.iter().map(|(path, file)| (path.clone(), Taken { file, executable: true })).collect();
    while let Some((path, one)) = todo.pop() {
        if closure.taken.contains_key(&path) {
            continue;
        }
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| replaced.contains(&name)) {
            closure.replaced.insert(path, one.file);
            continue;
        }
        let package = &index.packages[one.file.package].name;
        let about = || format!("{} of package {package}", path.display());
        let facts = elf::read(&one.file.bytes).with_context(about)?;
        let loads = Loads { index, target, path: &path, facts: &facts };
        todo.extend(loads.all().with_context(about)?);
        closure.taken.insert(path, one);
    }
    Ok(closure)
}

/// The libraries that one file loads.
struct Loads<'a, 'b> {
    index: &'a Index,
    target: &'b Target,
    path: &'b Path,
    facts: &'b Facts,
}

impl<'a> Loads<'a, '_> {
    fn all(&self) -> Result<Vec<(PathBuf, Taken<'a>)>> {
        let mut found: Vec<_> = self.loader()?.into_iter().collect();
        let loader = Path::new(self.target.arch.loader).file_name();
        for name in &self.facts.needed {
            // The dynamic linker is already loaded, from another place.
            if loader != Some(name.as_ref()) {
                found.push(self.library(name)?.with_context(|| format!("needs {name}: {NOWHERE}"))?);
            }
        }
        for entry in &self.facts.dlopen {
            found.extend(self.optional(entry)?);
        }
        Ok(found)
    }

    fn loader(&self) -> Result<Option<(PathBuf, Taken<'a>)>> {
        let Some(interpreter) = &self.facts.interpreter else { return Ok(None) };
        let (path, expected) = (merge(Path::new(interpreter)), self.target.arch.loader);
        ensure!(path == Path::new(expected), "needs the dynamic linker {interpreter}: expected /{expected}");
        let file = self.index.file(&path)?;
        let file = file.with_context(|| format!("needs {interpreter}: {NOWHERE}"))?;
        Ok(Some((path, Taken { file, executable: true })))
    }

    fn optional(&self, entry: &Dlopen) -> Result<Option<(PathBuf, Taken<'a>)>> {
        let needed = match entry.priority {
            Priority::Required => true,
            Priority::Recommended | Priority::Suggested => {
                entry.soname.iter().any(|name| POD_NEEDS.contains(&name.as_str()))
            }
        };
        if !needed {
            return Ok(None);
        }
        for name in &entry.soname {
            if let Some(found) = self.library(name)? {
                return Ok(Some(found));
            }
        }
        bail!("loads {} at run time: {NOWHERE}", entry.soname.join(" or "))
    }

    /// Searches where ld.so(8) does; the first match wins. The file's own directory comes last: private libraries
    /// (libsystemd-core) need others beside them (libsystemd-shared) that the program has already loaded by its own
    /// `DT_RUNPATH`.
    fn library(&self, name: &str) -> Result<Option<(PathBuf, Taken<'a>)>> {
        let own = self.facts.search.iter().filter_map(|directory| self.expand(directory));
        let default = [self.target.arch.libraries, "usr/lib", "usr/lib64"].map(PathBuf::from);
        let beside = self.path.parent().map(Path::to_owned);
        for directory in own.chain(default).chain(beside) {
            let path = merge(&directory.join(name));
            if let Some(file) = self.index.file(&path)? {
                return Ok(Some((path, Taken { file, executable: false })));
            }
        }
        Ok(None)
    }

    /// Returns a directory of `DT_RUNPATH` as a clean path in stage1; `None` if it is relative or has a token other
    /// than `$ORIGIN`.
    fn expand(&self, directory: &str) -> Option<PathBuf> {
        let rest = directory.strip_prefix("$ORIGIN").or_else(|| directory.strip_prefix("${ORIGIN}"));
        let full = match rest {
            Some(rest) => self.path.parent()?.join(rest.trim_start_matches('/')),
            None => PathBuf::from(directory.strip_prefix('/')?),
        };
        let mut clean = PathBuf::new();
        for component in full.components() {
            match component {
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => drop(clean.pop()),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        (!directory.trim_start_matches("$ORIGIN").trim_start_matches("${ORIGIN}").contains('$'))
            .then_some(clean)
    }
}

const NOWHERE: &str = "it is in none of the packages";

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
