// SPDX-License-Identifier: Apache-2.0
//! Small archives that ask for much: space, entries, memory.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use gate::root_test;
use testing::image::manifest;
use testing::pods::image_id;

use super::writer::Tar;
use super::{Ground, good, of, with_manifest};

/// Returns two frames, the second one `times` times. They decode as one stream.
pub(crate) fn frames(first: &[u8], second: &[u8], times: usize) -> Vec<u8> {
    let compress = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    [compress(first), compress(second).repeat(times)].concat()
}

/// Returns the beginning of an image.
pub(crate) fn start() -> Vec<u8> {
    without_end(with_manifest(manifest("big", &["/a"]).to_string().as_bytes()))
}

/// Removes the end of an archive, so that more entries can follow.
pub(crate) fn without_end(tar: Tar) -> Vec<u8> {
    let mut bytes = tar.end();
    bytes.truncate(bytes.len() - 1024);
    bytes
}

#[root_test]
fn case_22_a_bomb_stops_and_its_space_is_freed() {
    let ground = Ground::new();
    // A gigabyte of one byte, in a file system of 96 MiB; zeros would take no space. stage1 and the image fill it side by
    // side.
    let file = Tar::default().entry(b"rootfs/ones", b'0', b"", |header| header.set_size(1 << 30));
    let bomb = frames(&[start(), without_end(file)].concat(), &vec![1; 16 << 20], 64);
    assert!(bomb.len() < 1 << 20, "a thousand to one: {}", bomb.len());
    let bomb = ground.image("bomb.aci", &bomb);
    let small = ground.gantry.beside("small");
    fs::create_dir(&small).unwrap();
    let mut command = Command::new("unshare");
    // In a mount namespace of its own, so that the small file system is visible nowhere else and goes with it.
    command.args(["-m", "sh", "-c"]).arg(
        "mount -t tmpfs -o size=96m none \"$1\" && before=$(stat -f -c %f \"$1\") && \
         \"$2\" --dir \"$1/gantry\" prepare --image \"$3\" --stage1 \"$4\"; code=$?; \
         test \"$(stat -f -c %f \"$1\") $(ls -A \"$1\")\" = \"$before \" || echo not freed; exit $code",
    );
    command.arg("sh").arg(&small).arg(testing::program("installer")).arg(&bomb).arg(testing::stage1());
    ground.refuse_run(&mut command, 1, &["entry", "No space left on device"]);

    // An entry larger than an archive may be is refused before a byte of it is written, whatever space the disk has.
    let more = Tar::default().entry(b"rootfs/more", b'0', b"", |header| header.set_size(1 << 40));
    let more = ground.image("more.aci", &[start(), without_end(more)].concat());
    ground.refuse(&more, &["more.aci", "rootfs/more", "too large"]);
    ground.accept(&ground.image("after.aci", &good()));
}

/// The entries are empty headers that make no files, so that the count is tested and not the disk.
/// `installer/tests/worker/memory.rs` has entries that are files.
#[root_test]
fn case_23_ten_million_empty_entries() {
    let ground = Ground::new();
    let block = without_end((0..10_000).fold(Tar::default(), |tar, _| tar.entry(b"g", b'g', b"", |_| {})));
    let many = ground.image("many.aci", &frames(&start(), &block, 1000));
    let prepare = ground.gantry.with_images("prepare", &[&many], &[]);
    let mut limited = Command::new("/bin/sh");
    limited.env_clear().envs(prepare.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // The limit of its private memory in KiB: as much as decoding stage1 and this image takes.
    limited.args(["-c", "ulimit -d 65536 && exec \"$@\"", "sh"]).arg(prepare.get_program());
    ground.refuse_run(limited.args(prepare.get_args()), 1, &["many.aci", "too many entries"]);
}

/// Tries each limit, too small for an archive and just enough for it, with every command that unpacks.
#[root_test]
fn limits_are_those_that_the_caller_gives() {
    let ground = Ground::new();
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(&of(&manifest("limited", &["/a"]))).unwrap();
    let file = ground.image("limited.aci.xz", &xz.finish().unwrap());
    for (option, little, enough, why) in [
        ("--max-bytes", "1Ki", "64Ki", "too large"),
        ("--max-entries", "2", "3", "too many entries"),
        ("--max-depth", "1", "2", "components"),
        ("--max-decoder-memory", "8Mi", "10Mi", "--max-decoder-memory"),
    ] {
        ground.refuse_run(&mut ground.gantry.with_images("prepare", &[&file], &[option, little]), 1, &[why]);
        let import = |most: &str| {
            let mut command = ground.gantry.installer();
            command.args(["image", "import", option, most]).arg(&file);
            command
        };
        ground.refuse_run(&mut import(little), 1, &[why]);
        assert!(import(enough).output().unwrap().status.success(), "{option} {enough}");
        // The next run must not find it in the store.
        assert!(ground.gantry.installer().arg("gc").output().unwrap().status.success());
    }
}

#[root_test]
fn case_24_a_wrong_digest_makes_nothing_visible() {
    let ground = Ground::new();
    let image = ground.image("good.aci", &good());
    let right = image_id(&image);
    for wrong in [format!("sha256-{}", "0".repeat(64)), format!("sha512-{}", "0".repeat(128))] {
        let named = ground.gantry.beside(&format!("good.aci@{wrong}"));
        ground.refuse(&named, &["good.aci", &wrong, "expected"]);
    }
    // The digest is that of the uncompressed stream, not of the file.
    let file = zstd::encode_all(good().as_slice(), 3).unwrap();
    let of_file = image_id(&ground.image("good.zst", &file));
    ground.refuse(&ground.gantry.beside(&format!("good.zst@{of_file}")), &["good.zst", &right, &of_file]);
    ground.accept(&ground.gantry.beside(&format!("good.zst@{right}")));
    ground.accept(&image);
}
