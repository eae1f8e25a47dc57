// SPDX-License-Identifier: Apache-2.0
//! Images as people have them: what other tools write and other readers take is imported, or refused in a line that
//! says what to do. Pods of such images that run are in the suite `pods`, in `field`.

mod archives;
mod images;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pod::layout;
use serde_json::Value;
use testing::image::manifest;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::Node;

/// A directory that tar(1) makes images of, beside Gantry's directory.
struct Source {
    gantry: Gantry,
    directory: PathBuf,
}

/// An image that was imported.
struct Imported {
    id: String,
    /// Its root in the store.
    root: PathBuf,
    /// What was said about it.
    said: String,
}

impl Source {
    /// Makes the directory, with what every image has.
    fn new() -> Self {
        let gantry = Gantry::new();
        let directory = gantry.beside("source");
        fs::create_dir_all(directory.join("rootfs/etc")).unwrap();
        let source = Self { gantry, directory };
        source.manifest(&manifest("field", &["/a"]));
        source.write("rootfs/etc/passwd", b"root:x:0:0:::\n");
        source.write("rootfs/a", &Node::program_file());
        fs::set_permissions(source.at("rootfs/a"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        source
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.at(path), content).unwrap();
    }

    fn manifest(&self, manifest: &Value) {
        self.write("manifest", manifest.to_string().as_bytes());
    }

    /// Makes an image as `tar` does with these arguments.
    fn tar(&self, arguments: &[&str]) -> PathBuf {
        let all = [&["-cf"], arguments, &["manifest", "rootfs"]].concat();
        self.run_tar(&all)
    }

    /// Runs `tar MODE FILE ARGUMENT…`, and returns FILE.
    fn run_tar(&self, arguments: &[&str]) -> PathBuf {
        let image = self.gantry.beside("image.aci");
        let (mode, rest) = arguments.split_first().unwrap();
        let mut tar = Command::new("tar");
        let output = tar.current_dir(&self.directory).arg(mode).arg(&image).args(rest).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        image
    }

    fn try_import(&self, image: &Path) -> Output {
        self.gantry.installer().args(["image", "import"]).arg(image).output().unwrap()
    }

    /// Imports an image, which works.
    #[track_caller]
    fn import(&self, image: &Path) -> Imported {
        imported(&self.gantry, &self.try_import(image))
    }

    /// Checks that an image is refused in one line that has `parts`, and that nothing of it stays.
    #[track_caller]
    fn refuse(&self, image: &Path, parts: &[&str]) {
        refused(&self.try_import(image), parts);
        assert!(!self.gantry.dir().exists(), "{parts:?}: something stays");
    }
}

#[track_caller]
fn imported(gantry: &Gantry, output: &Output) -> Imported {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let id = text(&output.stdout).trim().to_owned();
    let root = gantry.dir().join(layout::TREES).join(&id).join("tree/rootfs");
    Imported { id, root, said: text(&output.stderr) }
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{parts:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{parts:?}: {error}");
    assert_says(&error, parts);
}

/// Checks that what the store has is what was extracted.
#[track_caller]
fn verify(gantry: &Gantry) {
    let output = gantry.installer().arg("verify").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
}
