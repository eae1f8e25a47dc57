// SPDX-License-Identifier: Apache-2.0
//! A volume's source is replaced by a link after the pod was prepared: the app gets the tree that was meant, or the pod
//! doesn't start. The attacker owns a directory on the way to the source, or is an app that has such a directory as a
//! volume.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gate::root_test;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use testing::image::manifest;
use testing::pods::{Gantry, image_id, text};
use testing::rootfs::Rootfs;

/// A source in directories of its own, and another tree of the same shape.
struct Trees {
    /// The tree whose parts are replaced.
    owned: PathBuf,
    /// The tree that the links lead to.
    secret: PathBuf,
}

/// The source's path in each of the two trees.
const SOURCE: &str = "above/source";

impl Trees {
    fn new(gantry: &Gantry) -> Self {
        let trees = Self { owned: gantry.beside("owned"), secret: gantry.beside("secret") };
        for (root, word) in [(&trees.owned, "meant"), (&trees.secret, "secret")] {
            fs::create_dir_all(root.join(SOURCE)).unwrap();
            fs::write(root.join(SOURCE).join("word"), word).unwrap();
        }
        trees
    }

    fn source(&self) -> PathBuf {
        self.owned.join(SOURCE)
    }
}

/// Returns the argument for a host volume.
fn volume(name: &str, source: &Path) -> String {
    format!("{name},kind=host,source={}", source.display())
}

/// Prepares a pod that prints what is in the volume. First it runs `script`, with the tree `owned` as another volume.
fn pod(gantry: &Gantry, trees: &Trees, user: &str, script: &str) -> PathBuf {
    let script = format!("{script}; cat /source/word");
    let mut image = manifest("victim", &["/usr/bin/busybox", "sh", "-c", &script]);
    image["app"]["user"] = json!(user);
    image["app"]["group"] = json!(user);
    image["app"]["mountPoints"] =
        json!([{"name": "source", "path": "/source"}, {"name": "owned", "path": "/owned"}]);
    let image = gantry.image("victim", &Rootfs::busybox().unwrap(), &image);
    let (source, owned) = (volume("source", &trees.source()), volume("owned", &trees.owned));
    gantry.prepare(&[&image], &["--volume", &source, "--volume", &owned])
}

/// Starts a pod and returns its code, and what the app and Gantry printed.
fn start(gantry: &Gantry, pod: &Path) -> (i32, String, String) {
    let (code, output) = gantry.start(pod).wait();
    (code, text(&output.stdout), text(&output.stderr))
}

/// Returns the result of a start that finds `link` to be a link.
fn refused(source: &Path, link: &Path) -> (i32, String, String) {
    let (source, link) = (source.display(), link.display());
    let error = format!(
        "error: root of app victim: volume at \"/source\": source \"{source}\": \"{link}\" is a link: expected a path \
         without links, or a volume with followLinks=true\n"
    );
    (3, String::new(), error)
}

/// Replaces the object at `path` by a link.
fn replace(path: &Path, target: &Path) {
    fs::rename(path, path.with_extension("away")).unwrap();
    symlink(target, path).unwrap();
}

fn restore(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::rename(path.with_extension("away"), path).unwrap();
}

#[root_test]
fn a_source_or_a_directory_above_it_that_is_a_link_by_now_is_refused() {
    let gantry = Gantry::new();
    let trees = Trees::new(&gantry);
    let pod = pod(&gantry, &trees, "0", "true");
    // If only the source's parent is reached through a link, the source itself is not one.
    for replaced in [SOURCE, "above"] {
        let link = trees.owned.join(replaced);
        for target in
            [trees.secret.join(replaced), Path::new("/proc/self/root").join(trees.secret.join(replaced))]
        {
            replace(&link, &target);
            let followed = fs::read_to_string(trees.source().join("word")).unwrap();
            assert_eq!(followed, "secret", "control: an open that follows links gets there");
            assert_eq!(start(&gantry, &pod), refused(&trees.source(), &link), "{target:?}");
            restore(&link);
        }
        assert_eq!(start(&gantry, &pod), (0, "meant".into(), String::new()));
    }
}

/// Links in /proc don't consist of paths: they lead to whatever a process has open.
#[root_test]
fn a_source_that_leads_through_a_process_is_refused() {
    let gantry = Gantry::new();
    let trees = Trees::new(&gantry);
    let pod = pod(&gantry, &trees, "0", "true");
    let root = PathBuf::from(format!("/proc/{}/root", std::process::id()));
    let through = root.join(trees.secret.join(SOURCE).strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(through.join("word")).unwrap(), "secret", "control: it leads there");

    let argument = volume("source", &through);
    let prepared = gantry.with_images("prepare", &[&gantry.beside("victim.aci")], &["--volume", &argument]);
    let output = { prepared }.output().unwrap();
    let error = format!(
        "error: volume source: source \"{}\": \"{}\" is a link: expected a path without links, or a volume with followLinks=true\n",
        through.display(),
        root.display()
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), error));

    let manifest = pod.join("container");
    let meant = format!("\"{}\"", trees.source().display());
    let prepared = fs::read_to_string(&manifest).unwrap();
    assert!(prepared.contains(&meant), "{prepared}");
    fs::write(&manifest, prepared.replace(&meant, &format!("\"{}\"", through.display()))).unwrap();
    assert_eq!(start(&gantry, &pod), refused(&through, &root));
}

/// An app that has a directory above another app's source as a volume can do what the directory's owner can.
#[root_test]
fn a_source_that_an_app_replaces_by_a_link_is_refused() {
    for user in ["0", "1000"] {
        let gantry = Gantry::new();
        let trees = Trees::new(&gantry);
        let owner = user.parse().ok();
        std::os::unix::fs::chown(&trees.owned, owner, owner).unwrap();
        let target = trees.secret.join("above");
        let attack = format!("mv /owned/above /owned/away && ln -s {} /owned/above", target.display());
        let pod = pod(&gantry, &trees, user, &attack);
        assert_eq!(
            start(&gantry, &pod),
            (0, "meant".into(), String::new()),
            "user {user}: it is mounted by then"
        );
        let followed = fs::read_to_string(trees.source().join("word")).unwrap();
        assert_eq!(followed, "secret", "control: an open that follows links gets there");
        assert_eq!(start(&gantry, &pod), refused(&trees.source(), &trees.owned.join("above")), "user {user}");
    }
}

/// The attacker is another app than the one whose source it replaces, with a writable or a read-only root.
#[root_test]
fn a_source_of_the_app_beside_it_that_an_app_replaces_is_refused() {
    for read_only in [false, true] {
        let gantry = Gantry::new();
        let trees = Trees::new(&gantry);
        let target = trees.secret.join("above");
        let attack = format!("mv /owned/above /owned/away && ln -s {} /owned/above", target.display());
        let image = gantry.image("both", &Rootfs::busybox().unwrap(), &manifest("both", &["/bin/true"]));
        let id = image_id(&image);
        let app = |name: &str, volume: &str, script: &str| {
            let app = json!({"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0"});
            let mounts = json!([{"volume": volume, "path": format!("/{volume}")}]);
            json!({"name": name, "image": {"id": id}, "app": app, "mounts": mounts, "readOnlyRootFS": read_only})
        };
        let volume = |name, source| json!({"name": name, "kind": "host", "source": source});
        let pod = json!({
            "acKind": "PodManifest", "acVersion": "0.8.11",
            "apps": [app("victim", "source", "cat /source/word"), app("attacker", "owned", &attack)],
            "volumes": [volume("source", &trees.source()), volume("owned", &trees.owned)],
        });
        let path = gantry.beside("both.json");
        fs::write(&path, pod.to_string()).unwrap();
        let pod = gantry.prepare(&[&image], &["--pod-manifest", path.to_str().unwrap()]);
        assert_eq!(start(&gantry, &pod), (0, "meant".into(), String::new()), "it is mounted by then");
        let followed = fs::read_to_string(trees.source().join("word")).unwrap();
        assert_eq!(followed, "secret", "control: an open that follows links gets there");
        assert_eq!(start(&gantry, &pod), refused(&trees.source(), &trees.owned.join("above")));
    }
}

#[root_test]
fn a_source_that_is_replaced_while_pods_start_leads_nowhere_else() {
    let gantry = Gantry::new();
    let trees = Trees::new(&gantry);
    let pod = pod(&gantry, &trees, "0", "true");
    let (above, link) = (trees.owned.join("above"), trees.owned.join("link"));
    symlink(trees.secret.join("above"), &link).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &above, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let starts: Vec<_> = (0..16).map(|_| start(&gantry, &pod)).collect();
        done.store(true, Ordering::Relaxed);
        for (code, said, error) in starts {
            let refused = error
                .ends_with(" is a link: expected a path without links, or a volume with followLinks=true\n");
            let is_either = (code, said.as_str(), error.as_str()) == (0, "meant", "")
                || (code, said.as_str(), refused) == (3, "", true);
            assert!(is_either, "{code}: {said:?}, {error}");
        }
    });
}
