// SPDX-License-Identifier: Apache-2.0
//! Images that depend on others, and those that are limited to some paths: found, rendered, kept, repaired; and what is
//! wrong with them, in one line each.

use std::fs;
use std::path::{Path, PathBuf};

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, image_id};
use testing::rootfs::{Node, Rootfs};

use super::{is_empty, refused, said, trees};

/// Returns the manifest of an image with these dependencies and paths, whose app prints `/etc/word`.
fn depending(name: &str, on: &Value, paths: &Value) -> Value {
    let mut manifest = manifest(name, &["/bin/cat", "/etc/word"]);
    manifest["dependencies"] = on.clone();
    manifest["pathWhitelist"] = paths.clone();
    manifest
}

fn word(word: &str) -> Rootfs {
    Rootfs::default().with("etc/word", Node::File(0o644, word.into()))
}

/// Writes an image of nothing but these files.
fn small(gantry: &Gantry, name: &str, rootfs: &Rootfs, on: &Value) -> PathBuf {
    gantry.image(name, rootfs, &depending(name, on, &Value::Null))
}

/// Writes an image of busybox, and one that depends on it and has a word of its own.
fn two(gantry: &Gantry) -> [PathBuf; 2] {
    let busybox = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, b"of the base".to_vec()));
    let base = gantry.image("base", &busybox, &manifest("base", &["/bin/false"]));
    [base, small(gantry, "app", &word("word"), &json!([{"imageName": "example.com/base"}]))]
}

fn import(gantry: &Gantry, image: &Path) -> String {
    said(gantry, &["image", "import", image.to_str().unwrap()]).trim().to_owned()
}

/// Checks that these images can't be prepared, for a reason that has these parts, and that nothing is left.
#[track_caller]
fn refuse(gantry: &Gantry, images: &[&Path], parts: &[&str]) {
    let before = if gantry.dir().exists() { trees(gantry) } else { Vec::new() };
    refused(&gantry.with_images("prepare", images, &[]).output().unwrap(), parts);
    if gantry.dir().exists() {
        assert_eq!(trees(gantry), before);
        assert!(is_empty(&gantry.dir().join("staging")) && is_empty(&gantry.dir().join("containers")));
    }
}

/// Returns the only tree of the store that is none of these images nor a stage1.
fn rendered(gantry: &Gantry, images: &[&str]) -> String {
    let is_rendered = |id: &String| {
        let info = fs::read(gantry.dir().join("store/tree-v1").join(id).join("info")).unwrap();
        let info: Value = serde_json::from_slice(&info).unwrap();
        assert_eq!(info["kind"] == "image", images.contains(&id.as_str()), "{info}");
        info["kind"] == "rendered"
    };
    let found: Vec<_> = trees(gantry).into_iter().filter(is_rendered).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[root_test]
fn an_app_runs_on_its_image_over_what_the_image_depends_on() {
    let gantry = Gantry::new();
    let [base, app] = two(&gantry);
    let (base_id, app_id) = (import(&gantry, &base), image_id(&app));
    for layout in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&app], &["--layout", layout]);
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!((code, output.stdout.as_slice()), (0, &b"word"[..]), "{layout}: {output:?}");
    }
    assert_eq!(trees(&gantry).len(), 4, "two images, what was rendered of them once, and stage1");
    rendered(&gantry, &[&base_id, &app_id]);
    // It is no image of its own.
    let list = said(&gantry, &["image", "list"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    let pods = said(&gantry, &["image", "list", "--format", "json", "example.com/base"]);
    let pods: Value = serde_json::from_str(&pods).unwrap();
    assert_eq!(pods[0]["pods"].as_array().unwrap().len(), 1, "the pod with overlays: {pods}");
    gantry.wait_all();
}

/// The base has an app, which would fail.
#[root_test]
fn a_given_image_that_another_depends_on_makes_no_app() {
    let gantry = Gantry::new();
    let [base, app] = two(&gantry);
    for images in [[&*base, &*app], [&*app, &*base]] {
        let output = gantry.with_images("run", &images, &[]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"word"[..]), "{output:?}");
    }
    gantry.wait_all();
    // Nothing can be said about an app that is not there, and a pod manifest can make one.
    let words = ["prepare", app.to_str().unwrap(), base.to_str().unwrap(), "-e", "A=1"];
    refused(&gantry.installer().args(words).output().unwrap(), &["base.aci", "another image depends on it"]);
    let of = |name: &str, image: &Path| json!({"name": name, "image": {"id": image_id(image)}});
    let pod =
        json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [of("app", &app), of("base", &base)]});
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    let arguments = ["--pod-manifest", path.to_str().unwrap()];
    let output = gantry.with_images("run", &[&app, &base], &arguments).output().unwrap();
    // The base's app has failed, maybe before the other one has written anything.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    gantry.wait_all();
}

/// D is found by two ways, each with a selection of its own; C overrides it, and both override B.
#[root_test]
fn images_override_each_other_in_the_specifications_order() {
    let gantry = Gantry::new();
    let files = |names: &str, content: &str| {
        names.split(' ').fold(Rootfs::default(), |rootfs, name| {
            rootfs.with(&format!("f/{name}"), Node::File(0o644, content.into()))
        })
    };
    let on = |names: &[&str]| {
        names.iter().map(|name| json!({"imageName": format!("example.com/{name}")})).collect::<Value>()
    };
    let image = |name: &str, names: &str, dependencies: &[&str], paths: Value| {
        gantry.image(name, &files(names, name), &depending(name, &on(dependencies), &paths))
    };
    import(&gantry, &image("d", "1 2 3 4 5 6", &[], Value::Null));
    import(&gantry, &image("c", "2 3", &["d"], json!(["/f/1", "/f/2", "/f/3"])));
    import(&gantry, &image("b", "1 3 4", &["d"], json!(["/f/1", "/f/3", "/f/4", "/f/5"])));
    let busybox = Rootfs::busybox().unwrap();
    import(&gantry, &gantry.image("busybox", &busybox, &manifest("busybox", &["/bin/true"])));
    let mut app = depending("a", &on(&["busybox", "b", "c"]), &Value::Null);
    app["app"]["exec"] = json!(["/bin/sh", "-c", "cd /f && for f in *; do echo $f $(cat $f); done"]);
    let app = gantry.image("a", &files("3 7", "a"), &app);
    let output = gantry.with_images("run", &[&app], &[]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 d\n2 c\n3 a\n4 b\n5 d\n7 a\n", "{output:?}");
    gantry.wait_all();
}

#[root_test]
fn an_image_has_only_the_paths_that_it_lists() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, b"word".to_vec()));
    let busybox = busybox.with("etc/other", Node::File(0o644, b"".to_vec()));
    let listed = [
        "/usr/bin/busybox",
        "/usr/bin/cat",
        "/bin",
        "/etc//word",
        "/./etc/word/",
        "/none",
        "/etc/none/x",
        "/",
    ];
    let image = gantry.image("some", &busybox, &depending("some", &Value::Null, &json!(listed)));
    let pod = gantry.prepare(&[&image], &["--layout", "overlay"]);
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, output.stdout.as_slice()), (0, &b"word"[..]), "{output:?}");
    let tree =
        gantry.dir().join("store/tree-v1").join(rendered(&gantry, &[&image_id(&image)])).join("tree/rootfs");
    assert!(tree.join("etc/word").exists() && !tree.join("etc/other").exists());
    let top: Vec<_> = fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!top.iter().any(|name| name == "none" || name == "tmp"), "{top:?}");
    gantry.wait_all();
    for (paths, why) in [
        (json!(["etc/word"]), "expected an absolute path"),
        (json!(["/etc/../../outside"]), "expected no \"..\""),
        (json!(["/etc/\0"]), "expected no NUL"),
        (json!([format!("/{}", "x/".repeat(3000))]), "at most 4095 bytes"),
        (json!([7]), "expected a string"),
    ] {
        let image = gantry.image("odd", &word("w"), &depending("odd", &Value::Null, &paths));
        refused(
            &gantry.with_images("prepare", &[&image], &[]).output().unwrap(),
            &["odd.aci", "manifest", why],
        );
    }
}

#[root_test]
fn what_a_tree_is_rendered_of_stays_and_repairs_it() {
    let gantry = Gantry::new();
    let [base, app] = two(&gantry);
    let base_id = import(&gantry, &base);
    let pod = gantry.prepare(&[&app], &["--layout", "overlay"]);
    let name = pod.file_name().unwrap().to_str().unwrap();
    let app_id = image_id(&app);
    let tree = rendered(&gantry, &[&base_id, &app_id]);
    assert_eq!(said(&gantry, &["gc"]), "");
    for id in [&base_id, &app_id] {
        refused(&gantry.installer().args(["image", "rm", id]).output().unwrap(), &[id, name]);
    }
    let of =
        |id: &str, path: &str| gantry.dir().join("store/tree-v1").join(id).join("tree/rootfs").join(path);
    assert_eq!(said(&gantry, &["verify"]).lines().filter(|line| line.ends_with(": intact")).count(), 4);
    // Of the images, wherever their files are by now.
    fs::remove_file(&app).unwrap();
    fs::write(of(&tree, "etc/word"), "fate").unwrap();
    let output = gantry.installer().args(["verify", "--repair"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&format!("{tree}: renewed from the images that it is made of\n")), "{text}");
    assert_eq!(gantry.start(&pod).wait().1.stdout, b"word");
    gantry.wait_all();
    // A damaged image is no source. In one run, the image is repaired first.
    fs::write(of(&tree, "etc/passwd"), "damaged").unwrap();
    fs::write(of(&base_id, "etc/passwd"), "damaged").unwrap();
    let output = gantry.installer().args(["verify", "--repair", &tree]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("cannot repair {tree}")) && error.contains(&base_id), "{error}");
    let text = said(&gantry, &["verify", "--repair"]);
    assert!(text.contains(&format!("{base_id}: renewed from its file\n")), "{text}");
    assert!(text.contains(&format!("{tree}: renewed from the images")), "{text}");
    assert_eq!(said(&gantry, &["verify"]).lines().filter(|line| line.ends_with(": intact")).count(), 4);
    // Without the pod, all of it goes.
    said(&gantry, &["rm", name]);
    let text = said(&gantry, &["gc"]);
    assert!(text.contains(&format!("removed rendered image {tree} example.com/app\n")), "{text}");
    assert!(is_empty(&gantry.dir().join("store/tree-v1")), "{text}");
}

#[root_test]
fn nothing_is_rendered_of_a_damaged_image() {
    let gantry = Gantry::new();
    let [base, app] = two(&gantry);
    let id = import(&gantry, &base);
    fs::write(gantry.dir().join("store/tree-v1").join(&id).join("tree/rootfs/etc/passwd"), "damaged")
        .unwrap();
    refuse(&gantry, &[&app], &["app.aci", &id, "damaged", "verify --repair"]);
}

#[root_test]
fn a_link_in_a_directorys_place_is_replaced() {
    let gantry = Gantry::new();
    let outside = gantry.beside("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("word"), "alive").unwrap();
    let busybox = Rootfs::busybox().unwrap().with("data", Node::Link(outside.to_str().unwrap().into()));
    let busybox = busybox.with("up", Node::Link("../../../../../../../..".into()));
    import(&gantry, &gantry.image("base", &busybox, &manifest("base", &["/bin/true"])));
    let mut app = depending("app", &json!([{"imageName": "example.com/base"}]), &Value::Null);
    app["app"]["exec"] = json!(["/bin/cat", "/data/word", "/up/x/word"]);
    let files = Rootfs::default().with("data/word", Node::File(0o644, "1".into()));
    let app = gantry.image("app", &files.with("up/x/word", Node::File(0o644, "2".into())), &app);
    let output = gantry.with_images("run", &[&app], &[]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"12"[..]), "{output:?}");
    assert_eq!(fs::read_to_string(outside.join("word")).unwrap(), "alive");
    gantry.wait_all();
}

#[root_test]
fn what_is_wrong_with_a_dependency_is_said_in_one_line() {
    let gantry = Gantry::new();
    let on = |dependency: Value| small(&gantry, "app", &word("w"), &json!([dependency]));
    let none = format!("sha256-{}", "0".repeat(64));
    let name = "example.com/base";
    let about = "example.com/app depends on example.com/base";
    refuse(&gantry, &[&on(json!({"imageName": name}))], &["app.aci", about, "is not there", "image import"]);
    refuse(&gantry, &[&on(json!({"imageName": name, "imageID": none}))], &[about, "is not there", &none]);
    let version = |version: &str, content: &str| {
        let mut manifest = manifest("base", &["/bin/true"]);
        manifest["labels"].as_array_mut().unwrap().push(json!({"name": "version", "value": version}));
        gantry.image(&format!("base-{version}"), &word(content), &manifest)
    };
    let (one, two) = (version("1", "one"), version("2", "two"));
    let ids = [import(&gantry, &one), image_id(&two)];
    let app = on(json!({"imageName": name, "imageID": none}));
    refuse(&gantry, &[&app], &[about, &format!("is {}: expected {none}", ids[0])]);
    let app = on(json!({"imageName": name, "labels": [{"name": "version", "value": "2\n"}]}));
    refuse(&gantry, &[&app], &[about, "its label \"version\" is \"1\": expected \"2\\n\""]);
    let app = on(json!({"imageName": name, "labels": [{"name": "env", "value": "canary"}]}));
    refuse(&gantry, &[&app], &[about, "it has no label \"env\": expected \"canary\""]);
    let app = on(json!({"imageName": "example.com/other", "imageID": ids[0]}));
    refuse(&gantry, &[&app], &["depends on example.com/other", "its id is that of image example.com/base"]);
    let size = fs::metadata(&one).unwrap().len();
    let app = on(json!({"imageName": name, "size": size + 1}));
    refuse(&gantry, &[&app], &[about, &format!("its archive has {size} bytes: expected {} bytes", size + 1)]);
    let app = on(json!({"imageName": name}));
    import(&gantry, &two);
    refuse(&gantry, &[&app], &[about, "could be", &ids[0], &ids[1], "labels"]);
    // What was given comes before what the store has, and labels and ids choose.
    let foreign = json!([{"name": "os", "value": "linux"}, {"name": "arch", "value": "s390x"}]);
    let mut other = manifest("foreign", &["/bin/true"]);
    other["labels"] = foreign;
    import(&gantry, &gantry.image("foreign", &word("w"), &other));
    refuse(
        &gantry,
        &[&on(json!({"imageName": "example.com/foreign"}))],
        &["example.com/foreign", "arch \"s390x\""],
    );
}

/// What has no program fails later than what has no dependency.
#[root_test]
fn a_dependency_is_chosen_by_what_is_said_of_it() {
    let gantry = Gantry::new();
    let version = |version: &str| {
        let busybox = Rootfs::busybox().unwrap().with("etc/word", Node::File(0o644, version.into()));
        let mut manifest = manifest("base", &["/bin/true"]);
        manifest["labels"].as_array_mut().unwrap().push(json!({"name": "version", "value": version}));
        gantry.image(&format!("base-{version}"), &busybox, &manifest)
    };
    let (one, two) = (version("1"), version("2"));
    let [one_id, two_id] = [&one, &two].map(|image| import(&gantry, image));
    let (name, size) = ("example.com/base", fs::metadata(&one).unwrap().len());
    let label = json!([{"name": "version", "value": "2"}, {"name": "os", "value": "linux"}]);
    for (dependency, given, word) in [
        (json!({"imageName": name, "imageID": one_id, "size": size}), None, "1"),
        (json!({"imageName": name, "imageID": two_id, "labels": label}), None, "2"),
        (json!({"imageName": name, "labels": label}), None, "2"),
        (json!({"imageName": name}), Some(&one), "1"),
        (json!({"imageName": name}), Some(&two), "2"),
        (json!({"imageName": name, "labels": label}), Some(&one), "2"),
    ] {
        let app = small(&gantry, "app", &Rootfs::default(), &json!([dependency]));
        let mut images = vec![app.as_path()];
        images.extend(given.map(PathBuf::as_path));
        // An image that is given and not used would be an app.
        let unused = word == "2" && given == Some(&one);
        let output = gantry.with_images("run", &images, &[]).output().unwrap();
        if !unused {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        assert_eq!(output.stdout, word.as_bytes(), "{dependency}: {output:?}");
    }
    gantry.wait_all();
}

#[root_test]
fn images_that_depend_on_themselves_are_refused_with_their_names() {
    let gantry = Gantry::new();
    let on = |name: &str| json!([{"imageName": format!("example.com/{name}")}]);
    let own = small(&gantry, "own", &word("w"), &on("own"));
    refuse(&gantry, &[&own], &["own.aci", "example.com/own -> example.com/own: expected no circle"]);
    let (one, two) =
        (small(&gantry, "one", &word("w"), &on("two")), small(&gantry, "two", &word("w"), &on("one")));
    refuse(&gantry, &[&one, &two], &["example.com/one -> example.com/two -> example.com/one"]);
    let last = small(&gantry, "last", &word("w"), &on("one"));
    refuse(
        &gantry,
        &[&last, &one, &two],
        &["depends on itself: example.com/one -> example.com/two -> example.com/one"],
    );
    let circle: Vec<_> = (0..100)
        .map(|number| {
            small(&gantry, &format!("i{number}"), &word("w"), &on(&format!("i{}", (number + 1) % 100)))
        })
        .collect();
    let circle: Vec<_> = circle.iter().map(PathBuf::as_path).collect();
    refuse(
        &gantry,
        &circle,
        &[
            "example.com/i0 -> example.com/i1 -> ",
            "(93 more)",
            "-> example.com/i99 -> example.com/i0: expected no circle",
        ],
    );
}

#[root_test]
fn more_trees_over_each_other_than_anybody_needs_are_refused() {
    let gantry = Gantry::new();
    let on = |name: &str| json!([{"imageName": format!("example.com/{name}")}, {"imageName": format!("example.com/{name}")}]);
    let images: Vec<_> = (0..12)
        .map(|number| {
            let next = if number == 11 { Value::Null } else { on(&format!("i{}", number + 1)) };
            small(&gantry, &format!("i{number}"), &word("w"), &next)
        })
        .collect();
    let images: Vec<_> = images.iter().map(PathBuf::as_path).collect();
    refuse(&gantry, &images, &["i0.aci", "more than 1024 trees over each other"]);
}

#[root_test]
fn limits_count_all_trees_over_each_other() {
    let gantry = Gantry::new();
    // More than half of the limit, which stage1 must keep as well.
    let large = Rootfs::default().with("large", Node::File(0o644, vec![b'x'; 50 << 20]));
    let base = small(&gantry, "base", &large, &Value::Null);
    let on = json!([{"imageName": "example.com/base"}, {"imageName": "example.com/base"}]);
    let app = small(&gantry, "app", &Rootfs::default(), &on);
    let output = gantry.with_images("prepare", &[&app, &base], &["--max-bytes", "90Mi"]).output().unwrap();
    refused(&output, &["app.aci", "tree 2 of 3", "--max-bytes raises it"]);
    assert!(!gantry.dir().exists(), "nothing was there before");
}
