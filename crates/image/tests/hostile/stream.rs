// SPDX-License-Identifier: Apache-2.0
//! The stream: cut, long, in many members, and its digest.

use std::fs;
use std::io::Write;

use archive::Limits;
use archive::decode::Format;
use pod::digest::Digest;
use pod::id::TreeId;
use sha2::{Digest as _, Sha256};
use store::extract::Expected;

use crate::fixture::Ground;
use crate::writer::Tar;

const FORMATS: &[Format] = &[Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd];

fn compress(format: Format, bytes: &[u8]) -> Vec<u8> {
    match format {
        Format::Plain => bytes.to_vec(),
        Format::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Format::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Format::Xz => {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Format::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

#[gate::root_test]
fn case_15_archives_cut_anywhere() {
    let ground = Ground::new();
    let whole = Tar::image().file("rootfs/a", &[b'x'; 700]).end();
    // Cut in the header, at the content, in it, at its padding, between entries, and in the end marker.
    let last = whole.len() - 1024 - 1024 - 512;
    for cut in [last + 100, last + 512, last + 900, last + 512 + 700, whole.len() - 1024, whole.len() - 512] {
        ground.refuse(&whole[..cut], "cut");
    }
    ground.refuse(&[&whole[..whole.len() - 1024], &[0; 512], &whole].concat(), "zero block");
    ground.accept(&whole);
}

#[gate::root_test]
fn case_15_compressed_files_cut_anywhere() {
    let ground = Ground::new();
    let whole = Tar::image().file("rootfs/a", &[b'x'; 7000]).end();
    for format in FORMATS {
        let file = compress(*format, &whole);
        for cut in [file.len() / 2, file.len() - 9, file.len() - 1] {
            let error = ground.unpack(&file[..cut]);
            assert!(error.is_err(), "{format:?} cut at {cut} of {}", file.len());
            clear(&ground);
        }
    }
}

#[gate::root_test]
fn case_16_every_member_is_read() {
    let whole = Tar::image().file("rootfs/first", b"1").file("rootfs/second", b"2").end();
    for format in FORMATS {
        let ground = Ground::new();
        let middle = whole.len() - 1024 - 1024;
        let file = [compress(*format, &whole[..middle]), compress(*format, &whole[middle..])].concat();
        let image = ground.accept(&file);
        assert_eq!(fs::read(ground.at("second")).unwrap(), b"2", "{format:?}");
        assert_eq!(image.id(), tree_of(&whole), "{format:?}");
    }
}

#[gate::root_test]
fn case_17_trailing_bytes() {
    let ground = Ground::new();
    let whole = Tar::image().end();
    ground.refuse(&[&whole[..], b"x"].concat(), "after the archive's end");
    ground.refuse(&[&whole[..], &vec![0; 9000], b"x"].concat(), "after the archive's end");
    ground.refuse(&[&whole[..], &whole[..]].concat(), "after the archive's end");
    for format in FORMATS {
        let file = [compress(*format, &whole), b"garbage, more than a few bytes of it".to_vec()].concat();
        assert!(ground.unpack(&file).is_err(), "{format:?}");
        clear(&ground);
    }
}

#[gate::root_test]
fn case_17_zeros_after_the_end_count_for_the_digest() {
    let ground = Ground::new();
    let padded = [Tar::image().end(), vec![0; 10_240]].concat();
    assert_eq!(ground.accept(&padded).id(), tree_of(&padded));
}

#[gate::root_test]
fn case_18_files_of_no_bytes() {
    let ground = Ground::new();
    let sized = |size: &[u8]| Tar::image().pax(&[("size", size)]).file("rootfs/pax", b"");
    ground.accept(&sized(b"0").file("rootfs/a", b"").file("rootfs/b", b"after").end());
    for (name, content) in [("a", b"".as_slice()), ("pax", b""), ("b", b"after")] {
        assert!(fs::symlink_metadata(ground.at(name)).unwrap().is_file());
        assert_eq!(fs::read(ground.at(name)).unwrap(), content, "{name}");
    }
}

#[gate::root_test]
fn case_18_files_that_are_no_archive() {
    let ground = Ground::new();
    for file in [b"".as_slice(), b"x", &[0; 4096], &[b'x'; 4096], b"\x1f\x8b", b"BZh9"] {
        assert!(ground.unpack(file).is_err(), "{:?}", &file[..file.len().min(4)]);
    }
    let mut broken = Tar::image().end();
    broken[150] ^= 1;
    ground.refuse(&broken, "checksum");
}

#[gate::root_test]
fn case_22_bombs_stop_at_the_limit() {
    let ground = Ground::new();
    let bomb = compress(Format::Gzip, &Tar::image().file("rootfs/zeros", &vec![0; 8 << 20]).end());
    assert!(bomb.len() < 64 << 10);
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = ground.unpack_within(&bomb, limits, Expected::Anything).unwrap_err();
    assert!(format!("{error:#}").contains("expected at most 1048576 bytes"), "{error:#}");
    assert!(!ground.at("zeros").exists(), "stopped before a byte of it was written");

    clear(&ground);
    let half = vec![0; 600 << 10];
    let two = compress(Format::Gzip, &Tar::image().file("rootfs/a", &half).file("rootfs/b", &half).end());
    let error = ground.unpack_within(&two, limits, Expected::Anything).unwrap_err();
    assert!(format!("{error:#}").contains("entry \"rootfs/b\""), "{error:#}");
    assert!(ground.at("a").exists() && !ground.at("b").exists(), "the sum is what counts");

    let padding = compress(Format::Gzip, &[Tar::image().end(), vec![0; 8 << 20]].concat());
    clear(&ground);
    assert!(ground.unpack_within(&padding, limits, Expected::Anything).is_err());
}

#[gate::root_test]
fn case_23_entries_and_directories_are_bounded() {
    let ground = Ground::new();
    let many = (0..64).fold(Tar::image(), |tar, at| tar.directory(&format!("rootfs/{at}"), 0o755)).end();
    let entries = Limits { entries: 50, ..Limits::default() };
    let error = ground.unpack_within(&many, entries, Expected::Anything).unwrap_err();
    assert!(format!("{error:#}").contains("too many entries"), "{error:#}");
    clear(&ground);
    let directories = Limits { directories: 4096, ..Limits::default() };
    let error = ground.unpack_within(&many, directories, Expected::Anything).unwrap_err();
    assert!(format!("{error:#}").contains("too many directories"), "{error:#}");
}

#[gate::root_test]
fn case_22_decoders_that_want_much_memory() {
    let ground = Ground::new();
    let whole = Tar::image().file("rootfs/a", &[b'x'; 7000]).end();
    let xz = |preset| {
        let mut encoder = xz2::write::XzEncoder::new(Vec::new(), preset);
        encoder.write_all(&whole).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |window_log| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&whole).unwrap();
        encoder.finish().unwrap()
    };
    for (file, needed) in [(xz(9), 65 << 20), (zstd(27), 129 << 20)] {
        let small = Limits { decoder_memory: 38 << 20, ..Limits::default() };
        let error = report::line(&ground.unpack_within(&file, small, Expected::Anything).unwrap_err());
        assert!(error.contains("expected at most 39845888 (--max-decoder-memory"), "{error}");
        clear(&ground);
        let found: u64 = error.split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!((needed - (1 << 20)..=needed + (1 << 20)).contains(&found), "{error}");
        let limits = Limits { decoder_memory: found, ..Limits::default() };
        ground.unpack_within(&file, limits, Expected::Anything).unwrap();
        clear(&ground);
        let limits = Limits { decoder_memory: found - 1, ..limits };
        assert!(ground.unpack_within(&file, limits, Expected::Anything).is_err());
        clear(&ground);
    }
    let too_large = report::line(&ground.unpack(&zstd(27)).unwrap_err());
    assert!(too_large.contains("expected at most 69206016 (--max-decoder-memory"), "{too_large}");
    clear(&ground);
    for file in [xz(6), xz(9), zstd(23), zstd(26)] {
        ground.accept(&file);
        clear(&ground);
    }
}

#[gate::root_test]
fn case_24_wrong_digest() {
    let ground = Ground::new();
    let whole = Tar::image().end();
    let right = Digest::Sha256(Sha256::digest(&whole).into());
    let wrong = Digest::Sha256([7; 32]);
    for expected in [Expected::Tar(wrong), Expected::File([7; 32].into())] {
        let error = format!("{:#}", ground.unpack_within(&whole, Limits::default(), expected).unwrap_err());
        assert!(error.contains(&right.to_string()) && error.contains(&wrong.to_string()), "{error}");
        clear(&ground);
    }
    let file = compress(Format::Xz, &whole);
    let of_file = <[u8; 32]>::from(Sha256::digest(&file)).into();
    ground.unpack_within(&file, Limits::default(), Expected::File(of_file)).unwrap();
    clear(&ground);
    ground.unpack_within(&file, Limits::default(), Expected::Tar(right)).unwrap();
}

/// The id of the tree that a tar makes.
fn tree_of(tar: &[u8]) -> TreeId {
    TreeId::of_tar(<[u8; 32]>::from(Sha256::digest(tar)).into())
}

/// The tree's directory, empty again.
fn clear(ground: &Ground) {
    let root = ground.outer.path().join("root");
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
}
