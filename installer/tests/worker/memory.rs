// SPDX-License-Identifier: Apache-2.0
//! Memory: an archive that takes of everything as much as it may stays below 96 MB, and below 64 MB if its decoder takes
//! no more than those of most archives.

use std::fs;
use std::io::Write;

use tar::{Builder, EntryType, Header};

use crate::fixture::Waiting;

const MOST: u64 = 64_000_000;
/// The same with a decoder that takes as much as it may.
const MOST_WITH_DECODER: u64 = 96_000_000;
/// More than all buffers on an archive's way: what comes before it was consumed once it is in the pipe.
const PADDING: u32 = 8 << 20;
/// Directories by whose names the default limit is almost reached: `entries × (name + 112)` is just below 12 MiB.
const DIRECTORIES: usize = 3100;

/// Directories with names of kilobytes, many files, and then zeros.
fn image() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(0);
    let mut add = |path: &str, kind| {
        header.set_entry_type(kind);
        tar.append_data(&mut header, path, &b""[..]).unwrap();
    };
    add("manifest", EntryType::Regular);
    let deep = format!("rootfs/{}", format!("{}/", "n".repeat(240)).repeat(16));
    for number in 0..DIRECTORIES {
        add(&format!("{deep}{number}"), EntryType::Directory);
    }
    for number in 0..2000 {
        add(&format!("rootfs/f{number}"), EntryType::Regular);
    }
    add("rootfs/", EntryType::Directory);
    let mut stream = tar.into_inner().unwrap();
    stream.resize(stream.len() + PADDING as usize, 0);
    stream
}

/// The most memory a worker has had so far, in bytes (proc_pid_status(5), VmHWM).
fn high_water(waiting: &Waiting) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", waiting.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// A frame of zstd's that means nothing.
fn skippable() -> Vec<u8> {
    [b"\x50\x2a\x4d\x18".as_slice(), &PADDING.to_le_bytes(), &vec![0; PADDING as usize]].concat()
}

#[gate::root_test]
fn an_image_that_takes_all_it_may_stays_below_the_limit() {
    let image = image();
    // Empty ends of the formats' own, so that the decoders wait, too.
    let xz = |preset| {
        let mut xz = xz2::write::XzEncoder::new(Vec::new(), preset);
        xz.write_all(&image).unwrap();
        [xz.finish().unwrap(), vec![0; PADDING as usize]].concat()
    };
    let zstd = |window_log| {
        let mut zstd = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        zstd.window_log(window_log).unwrap();
        zstd.write_all(&image).unwrap();
        [zstd.finish().unwrap(), skippable()].concat()
    };
    for (name, file, most) in [
        ("xz -8", xz(8), MOST),
        ("zstd --long=25", zstd(25), MOST),
        ("xz -9", xz(9), MOST_WITH_DECODER),
        ("zstd --long=26", zstd(26), MOST_WITH_DECODER),
    ] {
        let waiting = Waiting::after(&file);
        let memory = high_water(&waiting);
        let said = waiting.finish();
        assert!(said.contains("\"Done\""), "{name}: {said}");
        assert!((MOST / 2..most).contains(&memory), "{name}: {memory} bytes");
    }
}

#[gate::root_test]
fn frames_that_are_decoded_ahead_stay_below_the_limit() {
    let mut random = fastrand::Rng::with_seed(0);
    let mut image = image();
    // Beside what all directories take: a file that is written more slowly than it is decoded.
    let content: Vec<u8> = (0..64 << 20).map(|_| random.u8(..) & 15).collect();
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header, "rootfs/large", content.as_slice()).unwrap();
    image.truncate(image.len() - PADDING as usize - 1024);
    image.extend(tar.into_inner().unwrap());
    let frame = |piece: &[u8]| {
        let mut zstd = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        zstd.window_log(22).unwrap();
        zstd.write_all(piece).unwrap();
        zstd.finish().unwrap()
    };
    let file = image.chunks(6 << 20).map(frame).chain([skippable()]).collect::<Vec<_>>().concat();
    let waiting = Waiting::after(&file);
    let memory = high_water(&waiting);
    let said = waiting.finish();
    assert!(said.contains("\"Done\""), "{said}");
    assert!(memory < MOST, "{memory} bytes");
}
