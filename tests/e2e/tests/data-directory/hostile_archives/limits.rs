// SPDX-License-Identifier: Apache-2.0
//! Limits of archives on the command line: what is just within a limit is unpacked, and one more is refused.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use gate::root_test;
use testing::image::manifest;

use super::size::{frames, start, without_end};
use super::writer::Tar;
use super::{Ground, with_manifest};

/// Returns every command that unpacks an image.
fn commands(ground: &Ground, image: &Path, limit: &[&str]) -> [Command; 2] {
    let mut import = ground.gantry.installer();
    import.args(["image", "import"]).arg(image).args(limit);
    [import, ground.gantry.with_images("prepare", &[image], limit)]
}

impl Ground {
    #[track_caller]
    fn refuse_with(&self, image: &Path, limit: &[&str], parts: &[&str]) {
        for mut command in commands(self, image, limit) {
            self.refuse_run(&mut command, 1, parts);
        }
    }

    /// Checks that each command unpacks it, in a store that does not have it.
    #[track_caller]
    fn accept_with(&self, image: &Path, limit: &[&str]) {
        let [mut import, mut prepare] = commands(self, image, limit);
        let before = self.left();
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{limit:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let id = run(&mut import);
        run(self.gantry.installer().args(["image", "rm", id.trim()]));
        assert_eq!(self.left(), before, "{limit:?}");
        run(&mut prepare);
        assert_ne!(self.left(), before, "{limit:?}");
    }
}

#[root_test]
fn case_22_a_bomb_stops_at_max_bytes() {
    let ground = Ground::new();
    // A gigabyte in files of a mebibyte. The seventh is the first that doesn't fit. Nothing after it is read; otherwise
    // the error would be that it is not zstd.
    let file = |number: usize, size: usize| {
        let name = format!("rootfs/zeros-{number}");
        without_end(Tar::default().entry(name.as_bytes(), b'0', &vec![0; size], |_| {}))
    };
    let files: Vec<u8> = (1..=64).flat_map(|number| file(number, 1 << 20)).collect();
    let bomb = [frames(&start(), &files, 16), b"no zstd".to_vec()].concat();
    assert!(bomb.len() < 1 << 20, "a thousand to one: {}", bomb.len());
    let bomb = ground.image("bomb.aci", &bomb);
    let limit = ["--max-bytes", "7Mi"];
    ground.refuse_with(&bomb, &limit, &["bomb.aci", "rootfs/zeros-7\"", "expected at most 7340032 bytes"]);

    // The whole stream counts: headers, padding, and zeros after the end.
    let exact = [start(), file(1, 1 << 20), vec![0; 1024]].concat();
    let at_most = |bytes: usize| bytes.to_string();
    let small = ground.image("small.aci", &exact);
    let (fits, less) = (at_most(exact.len()), at_most(exact.len() - 1));
    ground.refuse_with(&small, &["--max-bytes", &less], &["small.aci", &format!("at most {less} bytes")]);
    ground.accept_with(&small, &["--max-bytes", &fits]);
    let padded = ground.image("padded.aci", &frames(&exact, &vec![0; 1 << 20], 1024));
    let limit = at_most(exact.len() + (512 << 20));
    ground.refuse_with(&padded, &["--max-bytes", &limit], &["padded.aci", &format!("at most {limit} bytes")]);
}

#[root_test]
fn case_23_max_entries() {
    let ground = Ground::new();
    // The manifest, rootfs and its program, and seven files.
    let more = (0..7).fold(with_manifest(manifest("many", &["/a"]).to_string().as_bytes()), |tar, number| {
        tar.file(&format!("rootfs/{number}"), b"")
    });
    let many = ground.image("many.aci", &more.end());
    ground.refuse_with(&many, &["--max-entries", "9"], &["many.aci", "too many entries: expected at most 9"]);
    ground.accept_with(&many, &["--max-entries", "10"]);
}

#[root_test]
fn paths_are_as_deep_as_max_depth() {
    let ground = Ground::new();
    let deep = with_manifest(manifest("deep", &["/a"]).to_string().as_bytes()).file("rootfs/b/c/d/e", b"");
    let deep = ground.image("deep.aci", &deep.end());
    let parts = ["deep.aci", "rootfs/b/c/d/e", "5 components: expected at most 4"];
    ground.refuse_with(&deep, &["--max-depth", "4"], &parts);
    ground.accept_with(&deep, &["--max-depth", "5"]);
}

#[root_test]
fn case_22_decoders_have_max_decoder_memory() {
    let ground = Ground::new();
    let whole = |name: &str| with_manifest(manifest(name, &["/a"]).to_string().as_bytes()).end();
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 9);
    xz.write_all(&whole("xz")).unwrap();
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    zstd.window_log(27).unwrap();
    zstd.write_all(&whole("zstd")).unwrap();
    let files = [("xz.aci", xz.finish().unwrap(), "66Mi"), ("zstd.aci", zstd.finish().unwrap(), "130Mi")];
    for (name, file, enough) in files {
        let image = ground.image(name, &file);
        // The error has a hint.
        let limits = [
            (&["--max-decoder-memory", "38Mi"][..], "39845888"),
            (&["--max-decoder-memory", "64Mi"], "67108864"),
        ];
        for (limit, bytes) in limits {
            let told = format!("expected at most {bytes} (--max-decoder-memory raises it)");
            ground.refuse_with(&image, limit, &[name, "bytes of memory", &told]);
        }
        ground.accept_with(&image, &["--max-decoder-memory", enough]);
    }
}
