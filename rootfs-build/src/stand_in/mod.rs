// SPDX-License-Identifier: Apache-2.0
//! Makes the stand-in: one shared object that takes the place of all libraries that stage1's programs name and never call
//! (docs/design/22-stand-in.md).
//!
//! Invariant: no function of it returns. Each says on stderr which function was called, and ends the process by an
//! instruction that doesn't exist. So a wrong assumption shows, and never changes what a program does.

mod code;
mod shared_object;
mod symbols;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::index::FileEntry;
use crate::target::Machine;
use code::Function;
use report::Hint as _;
use symbols::Imports;

/// The versions of systemd that were read and tested with a stand-in. Any other gets the distribution's libraries whole.
const VERSIONS: &[u32] = &[252, 257];

/// The libraries that nspawn, systemd, systemd-executor, systemd-shutdown and what these load need by name, and don't call
/// in a pod. docs/design/22-stand-in.md says for each when it would be called.
///
/// Not among them are libraries of which anything is called: libaudit, libblkid, libcap, libkmod, libmount and libselinux; and libm,
/// which systemd 257 calls for colors of terminals.
pub(crate) const NEVER_CALLED: &[&str] = &[
    "libacl.so.1",
    "libapparmor.so.1",
    "libcap-ng.so.0",
    "libcrypt.so.1",
    "libcrypto.so.3",
    "libgcrypt.so.20",
    "libip4tc.so.2",
    "liblz4.so.1",
    "liblzma.so.5",
    "libpam.so.0",
    "libpcre2-8.so.0",
    "libseccomp.so.2",
    "libzstd.so.1",
];

/// The choice of libraries in stage1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Libraries {
    /// The libraries that pods call, with a stand-in for the others if systemd's version is a known one.
    #[default]
    Called,
    /// Every library that its programs need by name.
    Whole,
}

/// Returns the names of the libraries that a stage1 with this version of systemd has a stand-in for.
pub(crate) fn replaced(libraries: Libraries, systemd: u32) -> &'static [&'static str] {
    match libraries {
        Libraries::Called if VERSIONS.contains(&systemd) => NEVER_CALLED,
        Libraries::Called | Libraries::Whole => &[],
    }
}

/// Tells whether a stage1 with this version of systemd has a stand-in.
pub(crate) fn has_replaced(libraries: Libraries, systemd: u32) -> bool {
    !replaced(libraries, systemd).is_empty()
}

/// Makes the stand-in for `replaced`, which are the real libraries by their paths, with every function that `users` take
/// from them: the program or library, by its path.
///
/// # Errors
/// Fails if a file is damaged, or `users` take data from one of the libraries: data can't say that it is read.
pub(crate) fn make<'a>(
    machine: Machine,
    replaced: &BTreeMap<PathBuf, &FileEntry>,
    users: impl Iterator<Item = (&'a Path, &'a FileEntry)>,
) -> Result<Vec<u8>> {
    let mut real = BTreeMap::new();
    for (path, file) in replaced {
        let exports =
            symbols::exports(&file.bytes).with_context(|| format!("read symbols of {}", path.display()))?;
        // A library is replaced by its name, which is text.
        real.insert(path.file_name().and_then(|name| name.to_str()).unwrap_or_default(), exports);
    }
    let (mut functions, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for (path, file) in users {
        let imports =
            symbols::imports(&file.bytes).with_context(|| format!("read symbols of {}", path.display()))?;
        versions.extend(
            imports.versions.iter().filter(|(library, _)| real.contains_key(library.as_str())).cloned(),
        );
        for (symbol, version) in &imports.symbols {
            let Some((library, version)) = provider(&imports, symbol, version.as_ref(), &real) else {
                continue;
            };
            if !real[library].get(symbol).is_none_or(|kind| kind.is_code()) {
                return data(path, symbol, library);
            }
            functions.insert(Function {
                name: symbol.clone(),
                version: version.map(str::to_owned),
                library: library.to_owned(),
            });
        }
    }
    let versions: BTreeSet<String> = versions.into_iter().map(|(_, version)| version).collect();
    Ok(shared_object::write(machine, &functions.into_iter().collect::<Vec<_>>(), &versions))
}

/// Returns which of the `real` libraries has `symbol`, and the version by which it is asked for.
///
/// A symbol without a version is taken from the first library that has it (ld.so searches in the order of `DT_NEEDED`).
fn provider<'a>(
    imports: &'a Imports,
    symbol: &str,
    version: Option<&'a (String, String)>,
    real: &BTreeMap<&'a str, symbols::Exports>,
) -> Option<(&'a str, Option<&'a str>)> {
    match version {
        Some((library, version)) => {
            real.contains_key(library.as_str()).then_some((library.as_str(), Some(version.as_str())))
        }
        None => imports
            .needed
            .iter()
            .find(|library| real.get(library.as_str()).is_some_and(|exports| exports.contains_key(symbol)))
            .map(|library| (library.as_str(), None)),
    }
}

fn data<T>(path: &Path, symbol: &str, library: &str) -> Result<T> {
    let refused = || -> Result<T> {
        bail!("{} uses {symbol} of {library}, which is data: no stand-in can have it", path.display())
    };
    refused().hint("--whole-libraries takes the library itself")
}

/// Returns the target of a link at `path` that leads to `to`; both are relative to stage1's root.
pub(crate) fn link(path: &Path, to: &str) -> PathBuf {
    let up = path.components().count().saturating_sub(1);
    std::iter::repeat_n("..", up).collect::<PathBuf>().join(to)
}

#[cfg(test)]
mod tests;
