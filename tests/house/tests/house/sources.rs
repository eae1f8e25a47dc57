// SPDX-License-Identifier: Apache-2.0
//! The sources of a crate, line by line, without comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A line of a source file.
pub(crate) struct Line {
    /// The file, from the repository's root.
    pub(crate) file: String,
    pub(crate) text: String,
}

/// Tells whether a crate has sources beside its tests.
pub(crate) fn has_sources(directory: &str) -> bool {
    testing::repository().join(directory).join("src").exists()
}

/// Returns all lines of a crate's sources that are compiled into what is shipped.
pub(crate) fn lines(directory: &str) -> Vec<Line> {
    let mut files = Vec::new();
    list(&testing::repository().join(directory).join("src"), &mut files);
    assert!(!files.is_empty(), "{directory} has sources");
    files.iter().flat_map(|file| of(file)).collect()
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "tests" || name.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The beginnings of a file's own tests. Other modules' tests may use them.
const TESTS: [&str; 3] = ["mod tests {", "pub(crate) mod tests {", "pub(super) mod tests {"];

/// Returns the lines of a file without its own tests, which end with a brace at a line's beginning.
fn of(file: &Path) -> Vec<Line> {
    let name = file.strip_prefix(testing::repository()).unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap();
    let tests = TESTS.iter().filter_map(|begin| text.find(&format!("#[cfg(test)]\n{begin}"))).min();
    let (before, tests) = text.split_at(tests.unwrap_or(text.len()));
    let after = tests.split_once("\n}\n").map_or("", |(_, after)| after);
    before
        .lines()
        .chain(after.lines())
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| Line { file: name.clone(), text: line.to_owned() })
        .collect()
}
