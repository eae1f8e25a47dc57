// SPDX-License-Identifier: Apache-2.0
//! Collects the terms under which stage1 may be passed on: the copyright file of every package, and the licenses that
//! these files refer to, as far as they apply to programs and libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::index::{FileEntry, Index};

/// Debian's directory of common license texts (Debian policy, section 12.5).
pub(crate) const COMMON: &str = "usr/share/common-licenses";

/// The licenses of what stage1 takes from packages; their texts have to accompany it. Copyright files also name
/// licenses of build scripts, tests and documentation, none of which is in stage1.
const TEXTS: &[&str] = &["Apache-2.0", "GPL-2", "LGPL-2.1"];

/// Returns copyright and license files for `packages`, by their paths in stage1. A package that only supplies a
/// copyright or license file for another is added to `packages`, since a file was taken from it.
///
/// # Errors
/// Fails if a package has no copyright file.
pub(crate) fn collect<'a>(
    index: &'a Index,
    packages: &mut BTreeSet<usize>,
) -> Result<BTreeMap<PathBuf, &'a FileEntry>> {
    let mut files = BTreeMap::new();
    let (mut todo, mut done) = (packages.clone(), BTreeSet::new());
    while let Some(package) = todo.pop_first() {
        if !done.insert(package) {
            continue;
        }
        let name = &index.packages[package].name;
        let path = PathBuf::from(format!("usr/share/doc/{name}/copyright"));
        let file = index.file(&path)?.with_context(|| format!("package {name} has no copyright file"))?;
        todo.insert(file.package);
        for license in references(&String::from_utf8_lossy(&file.bytes)) {
            let path = PathBuf::from(format!("{COMMON}/{license}"));
            if let Some(text) = index.file(&path)? {
                todo.insert(text.package);
                files.insert(path, text);
            }
        }
        files.insert(path, file);
    }
    *packages = done;
    Ok(files)
}

/// Returns those of [`TEXTS`] that `text` refers to.
fn references(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-.+".contains(c);
    let after = text.split("usr/share/common-licenses/").skip(1);
    let names = after.map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or(""));
    names.map(|name| name.trim_end_matches(['.', '-', '+'])).filter(|name| TEXTS.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_licenses() {
        let text = "in `/usr/share/common-licenses/GPL-2'.\n/usr/share/common-licenses/GPL-20\n/usr/share/common-licenses/LGPL-2.1.\n\
            /usr/share/common-licenses/, /usr/share/common-licenses/../x, /usr/share/common-licenses/GPL-2\n";
        assert_eq!(references(text).into_iter().collect::<Vec<_>>(), ["GPL-2", "LGPL-2.1"]);
        assert!(references("/usr/share/common-licenses").is_empty());
    }
}
