// SPDX-License-Identifier: Apache-2.0
//! Layers that must not become a tree, or must stay inside of it.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Tar, layer, layers, unpack, unpack_with};
use crate::extract::Refused;
use archive::Limits;
use pod::blob::BlobDigest;
use report::Advice as _;

#[test]
fn layers_that_are_not_the_images() {
    let tar = Tar::new().file("a", "1").bytes();
    let mut other = layer(&tar, &tar);
    other.diff_id = BlobDigest::sha256(b"other");
    let unpacked = unpack_with(Limits::default(), &[layer(&tar, &tar), other]);
    assert!(
        unpacked.error().starts_with("layer 2 of 2, sha256:")
            && unpacked.error().contains("the tar's digest is")
    );
    assert!(Refused::of(&unpacked.result.unwrap_err()).is_some());
    let mut blob = layer(&tar, &tar);
    blob.blob = Some(BlobDigest::sha256(b"other"));
    assert!(unpack_with(Limits::default(), &[blob]).error().contains("the blob's digest is"));
    let mut cut = layer(&tar, &tar);
    (cut.blob, cut.part.length) = (None, 100);
    assert!(unpack_with(Limits::default(), &[cut]).error().contains("not an archive"));
    let mut long = layer(&tar, &tar);
    (long.blob, long.part.length) = (None, 1 << 20);
    assert!(unpack_with(Limits::default(), &[long]).result.is_err());
}

#[test]
fn a_zstd_layer_without_its_digest_names_the_usual_cause() {
    let tar = Tar::new().file("a", "1").bytes();
    for (bytes, is_named) in [(zstd::encode_all(&*tar, 1).unwrap(), true), (tar.clone(), false)] {
        let mut other = layer(&bytes, &tar);
        other.diff_id = BlobDigest::sha256(b"other");
        let unpacked = unpack_with(Limits::default(), &[other]);
        assert!(unpacked.error().contains("the tar's digest is"), "{}", unpacked.error());
        assert_eq!(unpacked.error().contains("zstd:chunked"), is_named, "{}", unpacked.error());
    }
}

/// Without a digest of its file, a layer could be another one while it is scanned for what it hides.
#[test]
fn a_layer_without_a_digest_of_its_file_hides_nothing_before_its_tar_is_known() {
    let lower = Tar::new().file("keep", "1").bytes();
    let other = Tar::new().file(".wh.keep", "").bytes();
    let mut upper = layer(&other, &Tar::new().file("new", "2").bytes());
    upper.blob = None;
    let unpacked = unpack_with(Limits::default(), &[layer(&lower, &lower), upper]);
    assert!(unpacked.error().contains("the tar's digest is"), "{}", unpacked.error());
    assert_eq!(fs::read(unpacked.root().join("keep")).unwrap(), b"1");
}

#[test]
fn names_that_hide_nothing_one_can_name() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.", "d/.wh..", "d/.wh...", ".wh.x/y"] {
        for lower in [vec![], vec![Tar::new().file("keep", "1").dir("d", 0o755)]] {
            let unpacked = unpack(lower.into_iter().chain([Tar::new().file(name, "")]));
            assert!(unpacked.error().contains("whiteout"), "{name}: {}", unpacked.error());
        }
    }
}

#[test]
fn nothing_leaves_the_tree() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "alive").unwrap();
    let out = outside.path().to_str().unwrap();
    let up = format!("../../../../../../../../../..{out}");
    for target in [out, up.as_str()] {
        let lower = || Tar::new().link("l", target).link("c", &format!("{target}/canary"));
        for upper in [
            Tar::new().file("l/canary", "dead"),
            Tar::new().file("l/.wh.canary", ""),
            Tar::new().file("l/.wh..wh..opq", ""),
            Tar::new().file("c", "dead"),
            Tar::new().dir("l/canary", 0o777),
            Tar::new().file(".wh.l", ""),
        ] {
            unpack([lower(), upper]).tree();
        }
        let linked = unpack([lower(), Tar::new().hard("h", "l/canary")]);
        assert!(linked.error().contains("expected it in this layer"), "{}", linked.error());
    }
    assert_eq!(fs::read_to_string(outside.path().join("canary")).unwrap(), "alive");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn links_that_lead_to_each_other() {
    let unpacked = unpack([Tar::new().link("a", "b").link("b", "a"), Tar::new().file("a/x", "1")]);
    assert!(unpacked.error().contains("lead to each other"), "{}", unpacked.error());
    let hidden = unpack([Tar::new().link("a", "a/a"), Tar::new().file("a/.wh.x", "")]);
    assert!(hidden.error().contains("lead to each other"), "{}", hidden.error());
}

#[test]
fn hard_links_to_what_is_hidden_or_no_file() {
    for (upper, why) in [
        (Tar::new().file(".wh.f", "").hard("h", "f"), "expected it in this layer"),
        (Tar::new().hard("h", "none/x"), "expected it in this layer"),
        (Tar::new().hard("h", "d"), "expected no directory"),
        (Tar::new().hard("h", "/"), "to the root"),
        (Tar::new().hard("d", "d/x"), "hard link to \"d/x\""),
        (Tar::new().file("./", ""), "slash"),
        (Tar::new().link("./", "x"), "the root: expected a directory"),
    ] {
        let unpacked = unpack([Tar::new().file("f", "1").dir("d", 0o755).file("d/x", "2"), upper]);
        assert!(unpacked.error().contains(why), "{}", unpacked.error());
        assert!(unpacked.error().starts_with("layer 2 of 2"), "{}", unpacked.error());
    }
}

#[test]
fn limits_count_all_layers() {
    let three = || layers([0, 1, 2].map(|number| Tar::new().file(&format!("f{number}"), &"x".repeat(3000))));
    let size = 512 + 3072 + 1024;
    assert!(
        unpack_with(Limits { bytes: 3 * size, entries: 3, ..Limits::default() }, &three()).result.is_ok()
    );
    let bytes = unpack_with(Limits { bytes: 3 * size - 1024 - 1, ..Limits::default() }, &three());
    assert!(bytes.error().contains("too large unpacked"), "{}", bytes.error());
    assert_eq!(bytes.result.as_ref().unwrap_err().hint().as_deref(), Some("--max-bytes raises it"));
    let entries = unpack_with(Limits { entries: 2, ..Limits::default() }, &three());
    assert!(entries.error().contains("too many entries"), "{}", entries.error());
}

#[test]
fn memory_for_directories_whiteouts_and_hard_links_is_bounded() {
    let limits = Limits { directories: 8 << 10, ..Limits::default() };
    let many = |add: fn(Tar, usize) -> Tar| (0..100).fold(Tar::new(), add);
    for (upper, why) in [
        (many(|tar, number| tar.dir(&format!("d{number}"), 0o755)), "too many directories"),
        (many(|tar, number| tar.file(&format!(".wh.{number}"), "")), "too many whiteouts"),
        (
            many(|tar, number| {
                tar.file(&format!("a/{number}"), "").hard(&format!("b/{number}"), &format!("a/{number}"))
            }),
            "too many hard links",
        ),
    ] {
        let unpacked = unpack_with(limits, &layers([Tar::new(), upper]));
        assert!(unpacked.error().contains(why), "{}", unpacked.error());
    }
    // What is removed takes no memory any more.
    let again: Vec<_> = (0..20)
        .flat_map(|_| {
            [
                (0..30).fold(Tar::new(), |tar, number| tar.dir(&format!("d/{number}"), 0o755)),
                Tar::new().file(".wh.d", ""),
            ]
        })
        .collect();
    assert_eq!(unpack_with(limits, &layers(again)).tree(), Vec::<String>::new());
}

#[test]
fn the_record_has_all_objects_and_no_more() {
    let unpacked = unpack([Tar::new().dir("d", 0o755).file("d/f", "1"), Tar::new().link("d/l", "f")]);
    assert_eq!(unpacked.differences(), Vec::<String>::new());
    symlink("/", unpacked.root().join("d/out")).unwrap();
    fs::remove_file(unpacked.root().join("d/l")).unwrap();
    fs::write(unpacked.root().join("d/f"), "2").unwrap();
    let found = unpacked.differences().join("\n");
    for name in ["d/out", "d/l", "d/f"] {
        assert!(found.contains(name), "{name}: {found}");
    }
}

#[test]
fn what_overlayfs_takes_for_a_whiteout_is_refused() {
    let lower = || Tar::new().file("keep", "1").dir("d", 0o755);
    let device = Tar::new().add(tar::EntryType::Char, "keep", 0o600, "", b"");
    let unpacked = unpack([lower(), device]);
    assert!(unpacked.error().contains("0:0"), "{}", unpacked.error());
    assert_eq!(fs::read(unpacked.root().join("keep")).unwrap(), b"1");
    for name in ["trusted.overlay.opaque", "user.overlay.whiteout"] {
        let mut opaque = Tar::new();
        opaque.0.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), b"y".as_slice())]).unwrap();
        let unpacked = unpack([lower(), opaque.dir("d", 0o755)]);
        assert!(unpacked.error().contains(name), "{}", unpacked.error());
    }
}
