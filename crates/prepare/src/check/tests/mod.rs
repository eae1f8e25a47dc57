// SPDX-License-Identifier: Apache-2.0
//! Tests of the checks on apps and trees. None of them needs root: the trees belong to the user that runs the tests,
//! and the apps run as other users.

mod kernel_agrees;
mod places;
mod programs;
mod users;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use pod::Pod;
use pod::id::TreeId;
use pod::manifest::{ImageManifest, Manifest};
use serde_json::{Value, json};
use tempfile::TempDir;

use sys::in_root::InRoot;

const ID: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

/// Makes a program for this machine with the interpreter `loader`, as far as the kernel reads it before the start.
fn elf(loader: Option<&str>) -> Vec<u8> {
    let (bits, machine) = pod::arch::Arch::current().machines[0];
    assert_eq!(bits, 64);
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2_u16, machine].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1_u32.to_le_bytes());
    file.extend([0_u64, 64, 0].iter().flat_map(|long| long.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 1, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let path = loader.map(|loader| format!("{loader}\0")).unwrap_or_default();
    let kind = if loader.is_some() { 3_u32 } else { 1 };
    file.extend([kind, 4].iter().flat_map(|word| word.to_le_bytes()));
    let length = path.len() as u64;
    file.extend([120_u64, 0, 0, length, length, 1].iter().flat_map(|long| long.to_le_bytes()));
    file.extend(path.bytes());
    file
}

/// An image's tree, and the changes to a usual app in it.
struct Case {
    directory: TempDir,
    app: Value,
    entry: Value,
    volumes: Vec<Value>,
    names_user: bool,
}

impl Case {
    /// Makes a tree with programs `/bin/run`, `/bin/dynamic` and `/bin/script`, and an app that runs the first as a
    /// user that owns nothing in the tree.
    fn new() -> Self {
        let app = json!({"exec": ["/bin/run"], "user": "4242", "group": "4242"});
        let directory = tempfile::tempdir().unwrap();
        let case = Self { directory, app, entry: json!({}), volumes: Vec::new(), names_user: false };
        case.file("bin/run", 0o755, &elf(None))
            .file("bin/dynamic", 0o755, &elf(Some("/lib/loader")))
            .file("lib/loader", 0o755, &elf(None))
            .file("bin/script", 0o755, b"#! /bin/run -x\n")
            .file("data/file", 0o644, b"data")
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.directory.path().join("root").join(path)
    }

    fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
        self.mode(path, mode)
    }

    fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
        self
    }

    fn directory(self, path: &str, mode: u32) -> Self {
        fs::create_dir_all(self.path(path)).unwrap();
        self.mode(path, mode)
    }

    fn link(self, path: &str, target: &str) -> Self {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        symlink(target, self.path(path)).unwrap();
        self
    }

    fn app(mut self, field: &str, value: Value) -> Self {
        self.app[field] = value;
        self
    }

    fn runs(self, program: &str) -> Self {
        self.app("exec", json!([program]))
    }

    fn starts_in(self, directory: &str) -> Self {
        self.app("workingDirectory", json!(directory))
    }

    fn entry(mut self, field: &str, value: Value) -> Self {
        self.entry[field] = value;
        self
    }

    /// Makes the app's environment name its user, as in a pod of 0.1.
    fn names_user(mut self) -> Self {
        self.names_user = true;
        self
    }

    fn mount(mut self, path: &str, volume: Value) -> Self {
        let name = format!("v{}", self.volumes.len());
        let point = json!({"name": name, "path": path});
        match &mut self.app["mountPoints"] {
            Value::Array(points) => points.push(point),
            none => *none = json!([point]),
        }
        let mut volume = volume;
        volume["name"] = json!(name);
        self.volumes.push(volume);
        self
    }

    fn check(&self) -> Result<(), String> {
        self.check_app(&self.app)
    }

    fn check_app(&self, app: &Value) -> Result<(), String> {
        let id = TreeId::of_tar([1; 32].into()).as_image();
        let image = json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "a", "app": app});
        let mut entry = json!({"name": "a", "image": {"id": id}});
        entry.as_object_mut().unwrap().extend(self.entry.as_object().unwrap().clone());
        let pod =
            json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [entry], "volumes": self.volumes});
        let image = ImageManifest::parse(image.to_string().as_bytes()).unwrap();
        let manifest = Manifest::parse(pod.to_string().as_bytes()).unwrap();
        let mut pod = Pod::assemble(ID.parse().unwrap(), &manifest, &BTreeMap::from([(id, image)])).unwrap();
        pod.apps[0].names_user = self.names_user;
        let root = InRoot::below(File::open(self.directory.path()).unwrap(), "root").unwrap();
        super::check(&pod.apps[0], &root).map(drop).map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn good(&self) {
        assert_eq!(self.check(), Ok(()));
    }

    #[track_caller]
    fn bad(&self, parts: &[&str]) {
        let error = self.check().expect_err(parts[0]);
        assert!(!error.contains('\n'), "{error}");
        for part in parts {
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
    }
}

fn empty() -> Value {
    json!({"kind": "empty"})
}

fn host(directory: &Path) -> Value {
    json!({"kind": "host", "source": directory})
}

fn root(case: Case) -> Case {
    case.app("user", json!("0")).app("group", json!("0"))
}

fn without_overriding(case: Case) -> Case {
    let set = json!({"set": ["CAP_DAC_OVERRIDE"]});
    case.app("isolators", json!([{"name": "os/linux/capabilities-remove-set", "value": set}]))
}
