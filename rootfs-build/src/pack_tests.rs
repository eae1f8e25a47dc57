// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::io::Read as _;

fn pack(tree: &Tree<'_>) -> Vec<u8> {
    tar_xz(tree, 1_700_000_000, Branches::X86, Vec::new(), |_| Ok(())).unwrap()
}

fn tree(backwards: bool) -> Tree<'static> {
    let long = format!("long/{}/file", "x".repeat(120));
    let mut nodes = vec![
        ("bin/x", Node::File { mode: 0o755, bytes: [b"\x7fELF".as_slice(), &[7; 100_000]].concat().into() }),
        ("bin/y", Node::File { mode: 0o755, bytes: [b"\x7fELF".as_slice(), &[7; 200_000]].concat().into() }),
        ("bin-link", Node::Symlink("bin".into())),
        ("tmp", Node::Directory { mode: 0o1777 }),
        (&long, Node::File { mode: 0o444, bytes: b"y"[..].into() }),
    ];
    if backwards {
        nodes.reverse();
    }
    let mut tree = Tree::default();
    for (path, node) in nodes {
        tree.add(path, node).unwrap();
    }
    tree
}

#[test]
fn the_order_of_planning_does_not_matter() {
    assert_eq!(pack(&tree(false)), pack(&tree(true)));
}

#[test]
fn the_installer_reads_it_and_every_field_is_fixed() {
    let packed = pack(&tree(false));
    let (format, stream) = archive::decode::decode(&packed[..], archive::GENEROUS_MEMORY).unwrap();
    assert_eq!(format, archive::decode::Format::Xz);
    let mut archive = tar::Archive::new(stream);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        assert_eq!(header.mtime().unwrap(), 1_700_000_000);
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let (kind, mode) = (header.entry_type(), header.mode().unwrap());
        found.push((entry.path().unwrap().display().to_string(), kind, mode, contents.len(), link));
    }
    let long = "x".repeat(120);
    let entry = |path: &str, kind, mode, size| (path.to_owned(), kind, mode, size, None);
    let expected = [
        entry("bin/", EntryType::Directory, 0o755, 0),
        ("bin-link".to_owned(), EntryType::Symlink, 0o777, 0, Some("bin".to_owned())),
        entry("long/", EntryType::Directory, 0o755, 0),
        entry(&format!("long/{long}/"), EntryType::Directory, 0o755, 0),
        entry("tmp/", EntryType::Directory, 0o1777, 0),
        entry(&format!("long/{long}/file"), EntryType::Regular, 0o444, 1),
        // Programs come last, the largest first.
        entry("bin/y", EntryType::Regular, 0o755, 200_004),
        entry("bin/x", EntryType::Regular, 0o755, 100_004),
    ];
    assert_eq!(found, expected);
}

#[test]
fn progress_counts_bytes_and_stops() {
    let mut last = 0;
    let note = |done| {
        last = done;
        Ok(())
    };
    tar_xz(&tree(false), 0, Branches::Arm64, Vec::new(), note).unwrap();
    assert_eq!(last, tree(false).size());
    let stop = |_| Err(io::Error::other("stop"));
    assert!(tar_xz(&tree(false), 0, Branches::X86, Vec::new(), stop).is_err());
}
