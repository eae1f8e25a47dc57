// SPDX-License-Identifier: Apache-2.0
//! A mutant is a change to a source file that a suite must notice. The mutants of `NAME.rs` are in `NAME.mutants`
//! beside it.
//!
//! ```text
//! # A comment.
//!
//! what is no longer so
//! by -p store --lib -- verify
//!  a line of the source that stays
//! -a line of the source that goes
//! +a line that comes
//! ```
//!
//! Mutants are separated by empty lines. Each `by` is a suite, in the words of `cargo test`: the quickest that notices,
//! first. Lines are compared without their indentation. Invariant: those that stay or go occur in the source once.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// The directories that have mutants.
const DIRECTORIES: [&str; 4] = ["crates", "installer", "rootfs-build", "stage1-init"];

/// A suite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suite {
    /// The arguments of `cargo test`.
    pub(super) arguments: Vec<String>,
    /// Whether it runs the changed programs; otherwise, it is changed along with its crate.
    pub(super) is_end_to_end: bool,
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arguments.join(" "))
    }
}

/// A change.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) name: String,
    /// The source file, from the repository's root.
    pub(super) file: PathBuf,
    pub(super) suites: Vec<Suite>,
    find: Vec<String>,
    replace: Vec<String>,
}

impl Mutant {
    /// Reads all mutants of a repository, sorted by file.
    pub(super) fn all(repository: &Path) -> Result<Vec<Self>> {
        let mut files = Vec::new();
        for directory in DIRECTORIES {
            list(&repository.join(directory), &mut files)
                .with_context(|| format!("cannot list {directory}"))?;
        }
        files.sort();
        let mut all = Vec::new();
        for path in files {
            let file = path.strip_prefix(repository)?.with_extension("rs");
            let text = fs::read_to_string(&path)?;
            all.extend(parse(repository, &file, &text).with_context(|| path.display().to_string())?);
        }
        Ok(all)
    }

    /// Returns the source with the change.
    pub(super) fn apply(&self, source: &str) -> Result<String> {
        let lines: Vec<&str> = source.lines().collect();
        let is_here = |window: &[&str]| window.iter().zip(&self.find).all(|(line, find)| line.trim() == find);
        let mut places = lines
            .windows(self.find.len())
            .enumerate()
            .filter(|(_, window)| is_here(window))
            .map(|(at, _)| at);
        let (Some(at), None) = (places.next(), places.next()) else {
            bail!("{self}: expected its lines once in the source");
        };
        let after = at + self.find.len();
        let replace = self.replace.iter().map(String::as_str);
        let changed = lines[..at].iter().copied().chain(replace).chain(lines[after..].iter().copied());
        Ok(changed.flat_map(|line| [line, "\n"]).collect())
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.name)
    }
}

fn list(directory: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            list(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "mutants") {
            into.push(path);
        }
    }
    Ok(())
}

/// Parses a file's mutants.
fn parse(repository: &Path, file: &Path, text: &str) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for block in text.split("\n\n") {
        let mut lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        if let Some(name) = lines.next() {
            let mut mutant = Mutant {
                name: name.to_owned(),
                file: file.to_owned(),
                suites: Vec::new(),
                find: Vec::new(),
                replace: Vec::new(),
            };
            lines.try_for_each(|line| mutant.add(repository, line))?;
            ensure!(!mutant.find.is_empty(), "{name}: expected lines of the source");
            ensure!(!mutant.suites.is_empty(), "{name}: expected a suite");
            mutants.push(mutant);
        }
    }
    ensure!(!mutants.is_empty(), "expected a mutant");
    Ok(mutants)
}

impl Mutant {
    /// Adds what a line after the name says.
    fn add(&mut self, repository: &Path, line: &str) -> Result<()> {
        if let Some(arguments) = line.strip_prefix("by ") {
            self.suites.push(suite(repository, arguments)?);
            return Ok(());
        }
        let (stays, goes) = (line.strip_prefix(' '), line.strip_prefix('-'));
        let comes = line.strip_prefix('+');
        ensure!(
            stays.or(goes).or(comes).is_some(),
            "{}: expected `by`, ` `, `-` or `+`: {line:?}",
            self.name
        );
        self.find.extend(stays.or(goes).map(|line| line.trim().to_owned()));
        self.replace.extend(stays.or(comes).map(str::to_owned));
        Ok(())
    }
}

fn suite(repository: &Path, arguments: &str) -> Result<Suite> {
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    let package = match &arguments[..] {
        [option, package, ..] if option == "-p" => package,
        _ => bail!("{}: expected -p PACKAGE first", arguments.join(" ")),
    };
    let has = |directory: &str| repository.join(directory).join(package).join("Cargo.toml").is_file();
    let is_end_to_end = has("tests");
    ensure!(is_end_to_end || has("crates") || has(""), "no package {package} in the repository");
    Ok(Suite { arguments, is_end_to_end })
}

#[cfg(test)]
mod tests {
    use testing::repository;

    use super::*;

    const MUTANTS: &str = "# The head.\n\none is two\nby -p store --lib -- one\nby -p e2e one\n one(\n-    1,\n+    2,\n\n\
                           none is left\nby -p store\n-        last();\n";

    fn parsed(text: &str) -> Result<Vec<Mutant>> {
        parse(repository(), Path::new("one.rs"), text)
    }

    #[test]
    fn changes_are_made_where_their_lines_are() {
        let mutants = parsed(MUTANTS).unwrap();
        let source = "first(\n    1,\n);\n    one(\n        1,\n    );\nlast();\n";
        let changed: Vec<_> = mutants.iter().map(|mutant| mutant.apply(source).unwrap()).collect();
        assert_eq!(changed[0], "first(\n    1,\n);\none(\n    2,\n    );\nlast();\n");
        assert_eq!(changed[1], "first(\n    1,\n);\n    one(\n        1,\n    );\n");
        let kinds: Vec<_> = mutants[0].suites.iter().map(|suite| suite.is_end_to_end).collect();
        assert_eq!((kinds, mutants[0].to_string().as_str()), (vec![false, true], "one.rs: one is two"));
    }

    #[test]
    fn lines_that_are_not_there_or_twice_are_an_error() {
        let mutants = parsed(MUTANTS).unwrap();
        for source in ["", "last", "last();\nlast();\n"] {
            assert!(mutants[1].apply(source).is_err(), "{source:?}");
        }
    }

    #[test]
    fn what_is_no_mutant_is_an_error() {
        for text in ["", "# none\n", "name\nby -p store\n", "name\n-line\n", "name\nby -p none\n-line\n"] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
        for line in ["by store", "by -p", "line"] {
            assert!(parsed(&format!("name\nby -p store\n-line\n{line}\n")).is_err(), "{line:?}");
        }
    }

    /// A refactoring is told at once which changes have to follow it.
    #[test]
    fn every_change_has_its_text_once() {
        let mutants = Mutant::all(repository()).unwrap();
        assert!(mutants.len() > 100, "all are found: {}", mutants.len());
        let fails = |mutant: &Mutant| {
            let source = fs::read_to_string(repository().join(&mutant.file)).map_err(anyhow::Error::from);
            let changed = source.and_then(|source| mutant.apply(&source));
            changed.err().map(|error| format!("{mutant}: {error:#}"))
        };
        assert_eq!(mutants.iter().filter_map(fails).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
