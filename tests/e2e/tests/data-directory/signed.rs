// SPDX-License-Identifier: Apache-2.0
//! Files that Debian's minisign has signed, and those that it has not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gate::root_test;
use testing::packages;
use testing::pods::{assert_says, image_id, text};
use testing::tiny::{Tiny, said};

/// Debian's minisign, and the directory of its libraries.
struct Minisign(tempfile::TempDir);

impl Minisign {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for deb in packages::fetch("minisign").unwrap() {
            let is_wanted = |path: &Path, header: &tar::Header| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let is_library =
                    ["libsodium.so", "libc.so", "ld-linux"].iter().any(|word| name.starts_with(word));
                !header.entry_type().is_dir() && (is_library || path == Path::new("usr/bin/minisign"))
            };
            let write = |entry: rootfs_build::deb::Entry| {
                let path = directory.path().join(entry.path.file_name().unwrap());
                match entry.link {
                    Some(link) => std::os::unix::fs::symlink(link.file_name().unwrap(), path).unwrap_or(()),
                    None => {
                        fs::write(&path, entry.contents).unwrap();
                        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
                    }
                }
            };
            deb.visit(is_wanted, write).unwrap();
        }
        Self(directory)
    }

    fn run(&self, words: &[&str]) {
        let mut command = Command::new(self.0.path().join("minisign"));
        let output = command.env("LD_LIBRARY_PATH", self.0.path()).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    }

    /// Makes a key, and returns the files of its public and its secret half.
    fn key(&self, name: &str) -> [PathBuf; 2] {
        let [public, secret] = ["pub", "sec"].map(|half| self.0.path().join(format!("{name}.{half}")));
        self.run(&["-G", "-W", "-f", "-p", public.to_str().unwrap(), "-s", secret.to_str().unwrap()]);
        [public, secret]
    }

    fn sign(&self, secret: &Path, file: &Path) {
        self.run(&["-S", "-s", secret.to_str().unwrap(), "-m", file.to_str().unwrap()]);
    }
}

#[root_test]
fn a_file_is_taken_if_one_of_the_keys_has_signed_it() {
    let (minisign, tiny) = (Minisign::new(), Tiny::new());
    let ([key, secret], [other, other_secret]) = (minisign.key("one"), minisign.key("other"));
    let (key, other) = (key.to_str().unwrap(), other.to_str().unwrap());
    let image = tiny.image("tiny");
    let run = |words: &[&str]| {
        let output = tiny.installer(words).output().unwrap();
        (output.status.code(), text(&output.stdout), said(&text(&output.stderr)))
    };
    let refused = |words: &[&str], parts: &[&str]| {
        let (code, out, error) = run(words);
        assert_eq!((code, out.as_str(), error.lines().count()), (Some(1), "", 1), "{words:?}: {error}");
        assert_says(&error, parts);
    };
    let import = |key: &'static str| ["image", "import", "tiny.aci", "--verify-key", key];
    let (key, other): (&'static str, &'static str) = (key.to_owned().leak(), other.to_owned().leak());
    refused(&import(key), &["tiny.aci.minisig", "No such file"]);
    minisign.sign(&other_secret, &image);
    refused(&import(key), &["it is by none of the keys"]);
    minisign.sign(&secret, &image);
    let whole = (Some(0), format!("{}\n", image_id(&image)), String::new());
    assert_eq!(run(&import(key)), whole);
    assert_eq!(run(&import(key)), whole, "it is known");
    let text = fs::read_to_string(key).unwrap();
    let written: &'static str = text.lines().nth(1).unwrap().to_owned().leak();
    assert_eq!(run(&import(written)), whole, "the key itself");
    assert_eq!(run(&[&import(other)[..], &["--verify-key", key]].concat()), whole, "one of two keys");

    // An image by its digest needs no signature, and one by its name has none.
    let prepare = |image: &'static str| ["prepare", image, "--verify-key", key];
    refused(&prepare("example.com/tiny"), &["cannot open", "example.com/tiny"]);
    refused(&prepare("tiny.oci"), &["it has no signature beside it"]);
    refused(&prepare("registry.example/a:1"), &["cannot open", "registry.example/a:1"]);
    // stage1 has to be signed, too.
    refused(&prepare("tiny.id"), &["stage1", "stage1.tar.xz.minisig", "--stage1-sha256"]);
    minisign.sign(&secret, &tiny.path().join("stage1.tar.xz"));
    fs::remove_file(tiny.path().join("stage1.tar.xz.sha256")).unwrap();
    for image in ["tiny.id", "tiny.aci"] {
        let (code, _, error) = run(&prepare(image));
        assert_eq!((code, error.as_str()), (Some(0), ""), "{image}");
    }

    let mut bytes = fs::read(&image).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&image, bytes).unwrap();
    refused(&import(key), &["tiny.aci.minisig", "it is not of this file"]);
    let output = tiny.installer(&import("nonsense")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
