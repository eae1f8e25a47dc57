// SPDX-License-Identifier: Apache-2.0
//! Chooses the packages to read: those of a directory, or those that apt fetches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::deb::{self, Deb};
use crate::interrupt;
use report::Hint as _;

/// Returns the package files in `directory`, in the order of their names.
pub(crate) fn in_directory(directory: &Path) -> Result<Vec<PathBuf>> {
    let about = || format!("read {}", directory.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(about)? {
        let path = entry.with_context(about)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            paths.push(path);
        }
    }
    paths.sort();
    ensure_some(&paths, directory)?;
    Ok(paths)
}

fn ensure_some(paths: &[PathBuf], directory: &Path) -> Result<()> {
    let found = || -> Result<()> {
        ensure!(!paths.is_empty(), "no *.deb in {}", directory.display());
        Ok(())
    };
    found().hint("rootfs-build stage1 --cache DIR keeps the packages that it fetches")
}

/// Opens `paths` and keeps the packages that run on `architecture`, the newest version of each name, in the order of
/// names. So neither file names nor leftovers in a directory affect the result.
pub(crate) fn select(paths: &[PathBuf], architecture: &str) -> Result<Vec<Deb>> {
    let mut newest: BTreeMap<String, Deb> = BTreeMap::new();
    for path in paths {
        interrupt::check()?;
        let deb = Deb::open(path)?;
        if deb.architecture != architecture && deb.architecture != "all" {
            continue;
        }
        let rank = |deb: &Deb| (deb.version.clone(), deb.sha256.clone());
        let older = newest.get(&deb.name).is_some_and(|known| {
            let (new, old) = (rank(&deb), rank(known));
            deb::compare_versions(&new.0, &old.0).then(new.1.cmp(&old.1)).is_le()
        });
        if !older {
            newest.insert(deb.name.clone(), deb);
        }
    }
    Ok(newest.into_values().collect())
}
