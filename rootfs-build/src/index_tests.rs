// SPDX-License-Identifier: Apache-2.0

use super::*;

/// Returns a package called `name` for an index that was never on disk.
pub(crate) fn package(name: &str) -> Deb {
    Deb {
        path: PathBuf::from(format!("/debs/{name}.deb")),
        name: name.to_owned(),
        version: "1".to_owned(),
        architecture: "all".to_owned(),
        source: name.to_owned(),
        source_version: "1".to_owned(),
        sha256: "00".repeat(32),
    }
}

fn entry(path: &str, kind: tar::EntryType, link: Option<&str>, contents: &[u8]) -> Entry {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mtime(contents.len() as u64);
    Entry { path: path.into(), header, link: link.map(PathBuf::from), contents: contents.to_vec() }
}

/// A file or link of a package: `(package, path, Ok(contents) or Err(target))`.
pub(crate) type Given<'a> = (&'a str, &'a str, Result<&'a [u8], &'a str>);

/// Makes an index of packages with these files and links.
pub(crate) fn index(entries: &[Given<'_>]) -> Index {
    let mut names: Vec<_> = entries.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let mut index =
        Index { packages: names.iter().map(|name| package(name)).collect(), nodes: HashMap::new() };
    for (name, path, node) in entries {
        let at = names.binary_search(name).unwrap();
        let (kind, target, contents) = match node {
            Ok(contents) => (tar::EntryType::Regular, None, *contents),
            Err(target) => (tar::EntryType::Symlink, Some(*target), &b""[..]),
        };
        index.insert(at, entry(path, kind, target, contents));
    }
    index
}

#[test]
fn paths_are_resolved_as_in_a_merged_tree() {
    let mut index = index(&[
        ("a", "lib/t/libx.so.1.2", Ok(b"x")),
        ("a", "usr/lib/t/libx.so.1", Err("libx.so.1.2")),
        ("a", "usr/lib/abs.so", Err("/lib/t/libx.so.1")),
        ("a", "usr/lib/up.so", Err("../../lib64/../lib/abs.so")),
        ("a", "usr/lib/dir", Err("t")),
        ("a", "usr/lib/loop", Err("loop2")),
        ("a", "usr/lib/loop2", Err("loop")),
        ("a", "usr/lib/dangling", Err("nowhere")),
        ("a", "usr/lib/out", Err("../../../../lib/abs.so")),
        ("base", "lib", Err("usr/lib")),
        ("base", "lib64", Err("usr/lib64")),
    ]);
    index.insert(0, entry("usr/lib/hard.so", tar::EntryType::Link, Some("./lib/t/libx.so.1.2"), b""));
    let table = [
        ("usr/lib/t/libx.so.1.2", true),
        ("lib/t/libx.so.1", true),
        ("/lib/abs.so", true),
        ("usr/lib/up.so", true),
        ("usr/lib/dir/libx.so.1", true),
        ("usr/lib/hard.so", true),
        ("usr/lib/out", true),
        ("usr/lib/loop", false),
        ("usr/lib/dangling", false),
        ("usr/lib/t", false),
        ("", false),
    ];
    for (path, found) in table {
        let file = index.file(Path::new(path)).unwrap();
        assert_eq!(file.map(|file| file.bytes.as_slice()), found.then_some(&b"x"[..]), "{path}");
    }
}

#[test]
fn packages_that_disagree_are_an_error_when_asked() {
    let index = index(&[
        ("a", "usr/lib/x", Ok(b"1")),
        ("b", "lib/x", Ok(b"2")),
        ("a", "usr/lib/y", Ok(b"1")),
        ("b", "lib/y", Ok(b"1")),
    ]);
    let error = index.file(Path::new("lib/x")).unwrap_err().to_string();
    assert_eq!(error, "usr/lib/x differs between /debs/a.deb and /debs/b.deb");
    assert!(index.file(Path::new("usr/lib/y")).unwrap().is_some());
}

/// Returns a file of a package, with these contents.
pub(crate) fn file(bytes: Vec<u8>) -> FileEntry {
    FileEntry { package: 0, mtime: 0, bytes, rival: None }
}
