// SPDX-License-Identifier: Apache-2.0
//! Images that Debian's umoci or buildah makes and skopeo pushes: pulled, their trees are those that umoci unpacks, object
//! by object.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use gate::root_test;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use pod::layout;
use testing::packages;
use testing::pods::{Gantry, text};
use testing::registry::Server;
use testing::trees::look;

use crate::server::installer;

/// A program of a package, with the libraries that it needs.
struct Program {
    name: &'static str,
    directory: tempfile::TempDir,
}

impl Program {
    fn new(name: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for deb in packages::fetch(name).unwrap() {
            let is_wanted = |path: &Path, header: &tar::Header| {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                // The C library is the host's, which is of the same release.
                let is_library = file.contains(".so.") && !deb.name.starts_with("libc6");
                !header.entry_type().is_dir() && (is_library || path == Path::new("usr/bin").join(name))
            };
            let write = |entry: rootfs_build::deb::Entry| {
                let path = directory.path().join(entry.path.file_name().unwrap());
                match entry.link {
                    Some(link) => symlink(link.file_name().unwrap(), path).unwrap_or(()),
                    None => {
                        fs::write(&path, entry.contents).unwrap();
                        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
                    }
                }
            };
            deb.visit(is_wanted, write).unwrap();
        }
        Self { name, directory }
    }

    /// Runs it, and returns what it prints.
    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.directory.path().join(self.name));
        command.env("LD_LIBRARY_PATH", self.directory.path()).env("HOME", self.directory.path()).args(words);
        // Nothing that the host says about containers counts.
        command.env("CONTAINERS_CONF", "/dev/null").env("CONTAINERS_STORAGE_CONF", "/dev/null");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{} {words:?}: {}", self.name, text(&output.stderr));
        text(&output.stdout).trim_end().to_owned()
    }
}

/// Makes the lower layer: an object of each kind, with what tars of layers can say of it.
fn lower(root: &Path) {
    let path = |name: &str| root.join(name);
    for directory in ["etc", "data/deep/er", "gone/too", "private", "real"] {
        fs::create_dir_all(path(directory)).unwrap();
    }
    fs::set_permissions(path("private"), fs::Permissions::from_mode(0o700)).unwrap();
    chown(path("private"), Some(7), Some(8)).unwrap();
    for (name, mode) in
        [("etc/word", 0o644), ("data/deep/file", 0o600), ("real/program", 0o4755), ("gone/x", 0o644)]
    {
        fs::write(path(name), format!("{name} in the lower layer\n")).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(path("data/deep/file"), Some(1000), Some(1001)).unwrap();
    fs::hard_link(path("etc/word"), path("etc/other-word")).unwrap();
    symlink("real", path("link")).unwrap();
    symlink("/nowhere/at/all", path("broken")).unwrap();
    mknod(&path("pipe"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o620), 0).unwrap();
    mknod(&path("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
    fs::write(path("capable"), "with a capability").unwrap();
    // Version 2, effective, CAP_NET_BIND_SERVICE (linux/capability.h).
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    setxattr(&path("capable"), "security.capability", capability);
    setxattr(&path("etc/word"), "user.word", b"a word");
}

/// Changes the tree of the lower layer: what was there is hidden, replaced, linked and added to.
fn upper(root: &Path) {
    let path = |name: &str| root.join(name);
    fs::remove_dir_all(path("gone")).unwrap();
    fs::remove_file(path("data/deep/file")).unwrap();
    fs::write(path("data/deep/er/new"), "new\n").unwrap();
    fs::remove_file(path("broken")).unwrap();
    fs::create_dir(path("broken")).unwrap();
    fs::write(path("broken/now"), "a directory\n").unwrap();
    fs::hard_link(path("real/program"), path("real/again")).unwrap();
    fs::set_permissions(path("private"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::remove_file(path("etc/other-word")).unwrap();
    symlink("word", path("etc/other-word")).unwrap();
}

fn setxattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

/// Returns what there is below a directory, with all times.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let objects = look(root).unwrap();
    let describe = |(path, object): (PathBuf, testing::trees::Object)| {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        let time = if path == Path::new("") { 0 } else { metadata.mtime() };
        (path, format!("{object:?} {time}"))
    };
    objects.into_iter().map(describe).collect()
}

#[root_test]
fn what_umoci_makes_and_skopeo_pushes_is_what_umoci_unpacks() {
    let (umoci, skopeo) = (Program::new("umoci"), Program::new("skopeo"));
    let gantry = Gantry::new();
    let server = Server::start(&[b"{}"]);
    let at = |name: &str| gantry.beside(name).to_str().unwrap().to_owned();
    let (layout, image) = (at("layout"), format!("{}:made", at("layout")));
    umoci.run(&["init", "--layout", &layout]);
    umoci.run(&["new", "--image", &image]);
    for (bundle, change) in [("one", lower as fn(&Path)), ("two", upper)] {
        umoci.run(&["unpack", "--image", &image, &at(bundle)]);
        change(&gantry.beside(bundle).join("rootfs"));
        umoci.run(&["repack", "--image", &image, &at(bundle)]);
    }
    umoci.run(&["config", "--image", &image, "--config.entrypoint", "/real/program"]);
    is_what_umoci_unpacks(&gantry, &server, (&umoci, &skopeo), &image);
}

/// Images in the storage of a buildah of a test's own, without overlays and without a network.
struct Buildah {
    program: Program,
    storage: tempfile::TempDir,
}

impl Buildah {
    fn new() -> Self {
        let storage = tempfile::tempdir().unwrap();
        fs::write(storage.path().join("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)
            .unwrap();
        fs::write(storage.path().join("registries.conf"), "").unwrap();
        Self { program: Program::new("buildah"), storage }
    }

    fn run(&self, words: &[&str]) -> String {
        let at = |name: &str| self.storage.path().join(name).to_str().unwrap().to_owned();
        let (root, run, registries) = (at("root"), at("run"), at("registries.conf"));
        let own =
            ["--root", &root, "--runroot", &run, "--storage-driver", "vfs", "--registries-conf", &registries];
        self.program.run(&[&own[..], words].concat())
    }

    /// Commits what a container of an image has become once it is changed, as the image `name`.
    fn commit(&self, from: &str, change: fn(&Path), name: &str, entrypoint: &str) {
        let policy = self.storage.path().join("policy.json").to_str().unwrap().to_owned();
        let container = self.run(&["from", "--pull-never", "--signature-policy", &policy, from]);
        change(Path::new(&self.run(&["mount", &container])));
        self.run(&["config", "--entrypoint", entrypoint, &container]);
        self.run(&["umount", &container]);
        self.run(&[
            "commit",
            "--quiet",
            "--rm",
            "--format",
            "oci",
            "--signature-policy",
            &policy,
            &container,
            name,
        ]);
    }
}

#[root_test]
fn what_buildah_makes_and_skopeo_pushes_is_what_umoci_unpacks() {
    let (umoci, skopeo, buildah) = (Program::new("umoci"), Program::new("skopeo"), Buildah::new());
    let gantry = Gantry::new();
    let server = Server::start(&[b"{}"]);
    buildah.commit("scratch", lower, "localhost/lower", "[]");
    buildah.commit("localhost/lower", upper, "localhost/built", r#"["/real/program"]"#);
    let image = format!("{}:built", gantry.beside("layout").display());
    let policy = buildah.storage.path().join("policy.json");
    let push = ["push", "--quiet", "--signature-policy", policy.to_str().unwrap(), "--format", "oci"];
    buildah.run(&[&push[..], &["localhost/built", &format!("oci:{image}")]].concat());
    is_what_umoci_unpacks(&gantry, &server, (&umoci, &skopeo), &image);
}

/// Checks that an image in a layout, pulled from a registry and taken from the layout, is object by object what umoci makes
/// of it.
fn is_what_umoci_unpacks(
    gantry: &Gantry,
    server: &Server,
    (umoci, skopeo): (&Program, &Program),
    image: &str,
) {
    let whole = gantry.beside("whole");
    umoci.run(&["unpack", "--image", image, whole.to_str().unwrap()]);
    let expected = tree(&whole.join("rootfs"));
    assert!(expected.len() > 15, "{expected:?}");
    let is_there = |path: &str| expected.contains_key(Path::new(path));
    assert!(is_there("broken/now") && !is_there("gone") && !is_there("data/deep/file"), "{expected:?}");

    let pushed = server.name("a/made");
    let whole = ["copy", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds", "user:secret"];
    skopeo.run(&[&whole[..], &[&format!("oci:{image}"), &format!("docker://{pushed}")]].concat());
    for source in [&pushed, &format!("oci:{image}")] {
        let output = installer(gantry, server, &["image", "import", source]);
        let id = text(&output.stdout);
        assert!(output.status.success(), "{source}: {}", text(&output.stderr));
        let found = tree(&gantry.dir().join(layout::TREES).join(id.trim_end()).join("tree/rootfs"));
        for path in expected.keys().chain(found.keys()) {
            assert_eq!(found.get(path), expected.get(path), "{source}: {}", path.display());
        }
        let output = installer(gantry, server, &["image", "rm", id.trim_end()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}
