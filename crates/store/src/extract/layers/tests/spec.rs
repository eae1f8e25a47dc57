// SPDX-License-Identifier: Apache-2.0
//! The specification's tree for each way in which two layers meet: a base layer, and one above it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use super::{MTIME, Tar, layer, layers, unpack, unpack_and_make, unpack_with};
use archive::Limits;

/// The lower layer of most cases: a directory with a file, one in it, a file, a link to a directory.
fn base() -> Tar {
    Tar::new()
        .dir("d", 0o755)
        .file("d/old", "1")
        .dir("d/sub", 0o700)
        .file("d/sub/deep", "2")
        .dir("real", 0o755)
        .file("real/r", "3")
        .link("lnk", "real")
        .file("f", "4")
}

/// The tree of the base and `upper`.
fn tree(upper: Tar) -> Vec<String> {
    unpack([base(), upper]).tree()
}

/// The base's tree without what begins with `without`, and with these lines.
fn base_but(without: &[&str], with: &[&str]) -> Vec<String> {
    let all = [
        "d/ 755",
        "d/old = 1",
        "d/sub/ 700",
        "d/sub/deep = 2",
        "f = 4",
        "lnk -> real",
        "real/ 755",
        "real/r = 3",
    ];
    let is_left = |line: &&str| !without.iter().any(|prefix| line.starts_with(prefix));
    let mut lines: Vec<String> =
        all.into_iter().filter(is_left).chain(with.iter().copied()).map(Into::into).collect();
    lines.sort();
    lines
}

#[test]
fn an_opaque_mark_hides_lower_layers_alone_wherever_it_stands() {
    let expected = base_but(&["d/"], &["d/ 755", "d/new = n"]);
    let mark = "d/.wh..wh..opq";
    assert_eq!(tree(Tar::new().dir("d", 0o755).file("d/new", "n").file(mark, "")), expected, "last");
    assert_eq!(tree(Tar::new().file(mark, "").dir("d", 0o755).file("d/new", "n")), expected, "first");
    assert_eq!(
        tree(Tar::new().file("d/new", "n").file(mark, "")),
        expected,
        "without an entry of the directory"
    );
    let beside = Tar::new().dir("d/sub", 0o750).file("d/sub/x", "x").file(mark, "");
    assert_eq!(
        tree(beside),
        base_but(&["d/"], &["d/ 755", "d/sub/ 750", "d/sub/x = x"]),
        "beside a subdirectory"
    );
    assert_eq!(tree(Tar::new().file(".wh..wh..opq", "").file("n", "n")), ["n = n"], "of the root");
}

#[test]
fn a_whiteout_leaves_what_its_own_layer_has() {
    for upper in [
        Tar::new().file("d/old", "new").file("d/.wh.old", ""),
        Tar::new().file("d/.wh.old", "").file("d/old", "new"),
    ] {
        assert_eq!(tree(upper), base_but(&["d/old"], &["d/old = new"]));
    }
    let new_directory = Tar::new().dir("d", 0o711).file("d/new", "n").file(".wh.d", "");
    assert_eq!(tree(new_directory), base_but(&["d/"], &["d/ 711", "d/new = n"]));
}

#[test]
fn whiteouts_of_objects_of_each_kind() {
    assert_eq!(tree(Tar::new().file(".wh.f", "")), base_but(&["f"], &[]));
    assert_eq!(tree(Tar::new().file(".wh.d", "")), base_but(&["d/"], &[]));
    assert_eq!(tree(Tar::new().file("d/.wh.sub", "")), base_but(&["d/sub"], &[]));
    assert_eq!(tree(Tar::new().file(".wh.lnk", "")), base_but(&["lnk"], &[]), "not what it leads to");
    assert_eq!(tree(Tar::new().file("lnk/.wh.r", "")), base_but(&["real/r"], &[]), "through a link, inside");
}

#[test]
fn a_whiteout_of_nothing_makes_nothing() {
    for name in [".wh.none", "none/.wh.x", "none/.wh..wh..opq", "f/.wh.x", "f/.wh..wh..opq", "d/old/.wh.x"] {
        assert_eq!(tree(Tar::new().file(name, "")), base_but(&[], &[]), "{name}");
    }
}

#[test]
fn a_whiteout_of_a_link_does_not_reach_behind_it() {
    let both = Tar::new().file("lnk/.wh.r", "").file(".wh.lnk", "").file("lnk/in", "i");
    assert_eq!(tree(both), base_but(&["lnk"], &["lnk/ 755", "lnk/in = i"]));
    let replaced = Tar::new().file("lnk/.wh.r", "").file("lnk/.wh..wh..opq", "").dir("lnk", 0o755);
    assert_eq!(tree(replaced), base_but(&["lnk"], &["lnk/ 755"]), "the layer has a directory there");
}

#[test]
fn a_parent_that_no_entry_names_keeps_its_metadata() {
    let unpacked = unpack([base(), Tar::new().file("d/sub/new", "n")]);
    assert_eq!(unpacked.tree(), base_but(&[], &["d/sub/new = n"]));
    for path in ["d/sub", "d", "real"] {
        assert_eq!(
            fs::metadata(unpacked.root().join(path)).unwrap().mtime(),
            i64::try_from(MTIME).unwrap(),
            "{path}"
        );
    }
    let removed = unpack([base(), Tar::new().file("d/.wh.old", "")]);
    assert_eq!(fs::metadata(removed.root().join("d")).unwrap().mtime(), i64::try_from(MTIME).unwrap());
}

#[test]
fn a_directory_gets_the_metadata_of_its_last_entry() {
    assert_eq!(tree(Tar::new().dir("d/sub", 0o2750)), base_but(&["d/sub/ "], &["d/sub/ 2750"]));
    let twice = Tar::new().dir("d", 0o700).dir("d/", 0o711);
    assert_eq!(tree(twice), base_but(&["d/ "], &["d/ 711"]));
}

#[test]
fn links_above_an_entry_are_resolved_inside() {
    assert_eq!(tree(Tar::new().file("lnk/in", "i")), base_but(&[], &["real/in = i"]));
    let absolute = Tar::new().link("abs", "/real").file("abs/in", "i");
    assert_eq!(tree(absolute), base_but(&[], &["abs -> /real", "real/in = i"]));
    let up = Tar::new().link("d/up", "../../../real").file("d/up/in", "i");
    assert_eq!(tree(up), base_but(&[], &["d/up -> ../../../real", "real/in = i"]));
    let dangling = Tar::new().link("dang", "a/../b/c").file("dang/in", "i");
    assert_eq!(tree(dangling), base_but(&[], &["dang -> a/../b/c", "b/ 755", "b/c/ 755", "b/c/in = i"]));
    let nowhere = Tar::new().link("up", "none/../real").file("up/in", "i");
    assert_eq!(tree(nowhere), base_but(&[], &["up -> none/../real", "real/in = i"]));
}

#[test]
fn what_stands_in_the_place_of_an_entry_is_replaced() {
    assert_eq!(
        tree(Tar::new().dir("lnk", 0o755).file("lnk/x", "x")),
        base_but(&["lnk"], &["lnk/ 755", "lnk/x = x"])
    );
    assert_eq!(tree(Tar::new().file("lnk", "x")), base_but(&["lnk"], &["lnk = x"]));
    assert_eq!(tree(Tar::new().file("d", "x")), base_but(&["d/"], &["d = x"]));
    assert_eq!(
        tree(Tar::new().link("d", "real").file("d/x", "x")),
        base_but(&["d/"], &["d -> real", "real/x = x"])
    );
    assert_eq!(tree(Tar::new().dir("f", 0o755)), base_but(&["f"], &["f/ 755"]));
    assert_eq!(tree(Tar::new().file("f/child", "c")), base_but(&["f"], &["f/ 755", "f/child = c"]));
    assert_eq!(tree(Tar::new().fifo("f")), base_but(&["f"], &["f |"]));
    assert_eq!(
        tree(Tar::new().file("d/sub", "x").file("d/sub/y", "y")),
        base_but(&["d/sub"], &["d/sub/ 755", "d/sub/y = y"])
    );
}

#[test]
fn of_two_entries_with_one_path_the_last_counts() {
    assert_eq!(tree(Tar::new().file("x", "1").file("x", "2")), base_but(&[], &["x = 2"]));
    assert_eq!(tree(Tar::new().file("x", "1").link("x", "f")), base_but(&[], &["x -> f"]));
    assert_eq!(
        unpack([Tar::new().file("x", "1").dir("./x", 0o700)]).tree(),
        ["x/ 700"],
        "in the lowest layer, too"
    );
}

#[test]
fn hard_links_reach_into_lower_layers() {
    let linked = Tar::new().hard("d/more", "f").hard("abs", "/f").hard("through", "lnk/r");
    let expected = base_but(
        &["f", "real/r"],
        &["f = 4 ×3", "d/more = 4 ×3", "abs = 4 ×3", "real/r = 3 ×2", "through = 3 ×2"],
    );
    assert_eq!(tree(linked), expected);
    assert_eq!(
        tree(Tar::new().hard("again", "lnk")),
        base_but(&[], &["again -> real"]),
        "a link has one more name"
    );
    let replaced = unpack([Tar::new().file("a", "1").hard("b", "a"), Tar::new().file("a", "2")]);
    assert_eq!(replaced.tree(), ["a = 2", "b = 1"], "the other name keeps its content");
    let onto = unpack([Tar::new().file("a", "1").file("b", "2"), Tar::new().hard("b", "a").hard("a", "a")]);
    assert_eq!(onto.tree(), ["a = 1 ×2", "b = 1 ×2"]);
    let renamed =
        unpack([Tar::new().file("a", "1").hard("b", "a").hard("c", "a"), Tar::new().file(".wh.a", "")]);
    assert_eq!(renamed.tree(), ["b = 1 ×2", "c = 1 ×2"], "the first name goes");
}

#[test]
fn the_roots_metadata() {
    let mode = |unpacked: &super::Unpacked| {
        unpacked.tree();
        fs::metadata(unpacked.root()).unwrap().mode() & 0o7777
    };
    assert_eq!(mode(&unpack([base(), Tar::new().dir("./", 0o711)])), 0o711);
    assert_eq!(mode(&unpack([base()])), 0o755);
    assert_eq!(mode(&unpack([])), 0o755, "an image without layers");
}

#[test]
fn aufs_own_files_are_ignored() {
    let aufs = Tar::new()
        .file(".wh..wh.aufs", "")
        .dir(".wh..wh.plnk", 0o700)
        .file(".wh..wh.plnk/1.2", "")
        .file("n", "n");
    assert_eq!(tree(aufs), base_but(&[], &["n = n"]));
}

#[test]
fn layers_are_told_by_their_content() {
    let (plain, upper) = (base().bytes(), Tar::new().file("n", "n").bytes());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&upper).unwrap();
    let empty = vec![0; 1024];
    let layers = [layer(&plain, &plain), layer(&gzip.finish().unwrap(), &upper), layer(&empty, &empty)];
    assert_eq!(unpack_with(Limits::default(), &layers).tree(), base_but(&[], &["n = n"]));
}

#[test]
fn three_layers() {
    let unpacked = unpack([
        base(),
        Tar::new().file("d/.wh.old", "").file("d/two", "2"),
        Tar::new().file("d/old", "again").file("d/.wh.two", ""),
    ]);
    assert_eq!(unpacked.tree(), base_but(&["d/old"], &["d/old = again"]));
}

#[test]
fn directories_that_are_asked_for_are_made_if_nothing_is_there() {
    let made = ["/d", "/f", "/f/below", "/w/x", "/lnk/y", "/real/r/z", "/"];
    let unpacked = unpack_and_make(Limits::default(), &layers([base()]), &made);
    assert_eq!(unpacked.tree(), base_but(&[], &["w/ 755", "w/x/ 755", "real/y/ 755"]));
    let metadata = fs::metadata(unpacked.root().join("w")).unwrap();
    assert_eq!((metadata.uid(), metadata.mtime()), (0, 0));
}

/// Layers of four changes, each of whose tars is written as `write` does.
fn changes(write: &dyn Fn(usize, &[u8]) -> Vec<u8>) -> Vec<crate::extract::layers::Layer> {
    let tars = [
        base(),
        Tar::new().file("d/.wh.old", "").file("d/two", "2"),
        Tar::new().file("d/old", "again").file("d/.wh.two", "").file("large", &"x".repeat(3 << 20)),
        Tar::new().file("d/.wh..wh..opq", "").file("d/three", "3"),
    ];
    let one = |(number, tar): (usize, Tar)| {
        let tar = tar.bytes();
        layer(&write(number, &tar), &tar)
    };
    tars.into_iter().enumerate().map(one).collect()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn layers_that_are_read_ahead_are_those_that_are_not() {
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    // Decoders of zstd and layers without a digest of their files are not ahead.
    let in_turn = unpack_with(Limits::default(), &changes(&|_, tar| zstd(tar))).tree();
    assert!(
        in_turn.contains(&"d/three = 3".to_owned()) && !in_turn.iter().any(|line| line.starts_with("d/old"))
    );
    let ahead = changes(&|_, tar| gzipped(tar));
    assert_eq!(unpack_with(Limits::default(), &ahead).tree(), in_turn);
    let mixed = changes(&|number, tar| if number % 2 == 0 { zstd(tar) } else { gzipped(tar) });
    assert_eq!(unpack_with(Limits::default(), &mixed).tree(), in_turn);
    let mut unnamed = changes(&|_, tar| gzipped(tar));
    unnamed[2].blob = None;
    assert_eq!(unpack_with(Limits::default(), &unnamed).tree(), in_turn);
}

#[test]
fn what_is_wrong_with_a_layer_that_is_read_ahead_is_said_in_its_turn() {
    let with = |number: usize, tar: &[u8]| {
        let mut layers = changes(&|_, tar| gzipped(tar));
        layers[number] = layer(&gzipped(tar), tar);
        layers
    };
    let bad = Tar::new().file("d/.wh..", "").bytes();
    for number in 1..4 {
        let error = unpack_with(Limits::default(), &with(number, &bad)).error();
        assert!(error.starts_with(&format!("layer {} of 4", number + 1)), "{error}");
    }
    // The first that is wrong counts, though a later one was looked at before.
    let mut both = with(3, &bad);
    both[0].diff_id = both[1].diff_id;
    let error = unpack_with(Limits::default(), &both).error();
    assert!(error.starts_with("layer 1 of 4"), "{error}");
}
