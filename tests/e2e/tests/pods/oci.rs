// SPDX-License-Identifier: Apache-2.0
//! OCI images: layouts and archives that are imported, run, verified and removed, and those that are refused.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use gate::root_test;
use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use testing::oci::{NAME, OciImage, gzip, oci_digest};
use testing::pods::{Gantry, assert_says, image_id, status, text};
use testing::rootfs::{Node, Rootfs};

fn file(text: &str) -> Node {
    Node::File(0o644, text.into())
}

/// The lower layer of all images: busybox and a few files.
fn lower() -> Rootfs {
    let groups = "root:x:0:\napp:x:1000:\nstaff:x:50:root,app\n";
    let tree = Rootfs::busybox().unwrap().with("etc/group", file(groups));
    tree.with("etc/word", file("lower\n"))
        .with("etc/gone", file(""))
        .with("data/old", file(""))
        .with("old/x", file(""))
}

/// The upper layer: it replaces a file, and hides a file and what is in a directory.
fn upper() -> Rootfs {
    let tree = Rootfs::default().with("etc/word", file("upper\n")).with("etc/.wh.gone", file(""));
    let tree = tree.with("old/.wh..wh..opq", file("")).with("old/new", file(""));
    tree.owned("data/new", file(""), 1000)
}

const SCRIPT: &str =
    "cat /etc/word; ls /etc/gone 2>/dev/null; ls /old /data; pwd; id; echo $HOME $GREETING $0; exit 7";

fn config() -> Value {
    json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": [SCRIPT, "zero"], "User": "app", "Env": ["GREETING=hello"],
           "WorkingDir": "/srv/here", "Volumes": {"/data": {}, "/missing": {}}, "ExposedPorts": {"80/tcp": {}},
           "Labels": {"a": "b"}})
}

const SAYS: &str = "upper\n/data:\nnew\nold\n\n/old:\nnew\n/srv/here\n\
    uid=1000(app) gid=1000(app) groups=50(staff),1000(app)\n/ hello zero\n";

fn image() -> OciImage {
    OciImage::new(&[&lower(), &upper()], &config())
}

/// Runs the installer with these words, which must succeed, and returns what it prints.
fn said(gantry: &Gantry, words: &[&str]) -> String {
    let output = gantry.installer().args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Checks that an import fails with one line, and leaves nothing.
fn refused(image: &str, gantry: &Gantry, parts: &[&str]) {
    let output = gantry.installer().args(["image", "import", image]).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert_says(&error, parts);
    let left = |name: &str| fs::read_dir(gantry.dir().join(name)).map_or(0, Iterator::count);
    assert_eq!((left("store/tree-v1"), left("store/staging")), (0, 0), "{error}");
}

#[root_test]
fn an_image_of_two_layers_runs_as_its_configuration_says() {
    let gantry = Gantry::new();
    let layout = gantry.beside("layout");
    image().write_layout(&layout);
    let output = gantry.run(&[&layout]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(7), String::new()));
    assert_eq!(text(&output.stdout), SAYS);
    assert_eq!(status(&gantry.pod(), "hello"), 7);
}

#[root_test]
fn every_form_is_the_same_image() {
    let gantry = Gantry::new();
    let (layout, archive, docker) = (gantry.beside("layout"), gantry.beside("a.tar"), gantry.beside("d.tar"));
    let image = image();
    image.write_layout(&layout);
    image.write_archive(&archive);
    image.write_docker_archive(&docker);
    let (layout, archive, docker) = (layout.display(), archive.display(), docker.display());
    for form in [
        layout.to_string(),
        archive.to_string(),
        docker.to_string(),
        format!("oci:{layout}"),
        format!("oci:{layout}:{NAME}"),
        format!("oci-archive:{archive}"),
        format!("docker-archive:{docker}:{NAME}"),
        format!("{layout}@{}", image.id),
    ] {
        assert_eq!(said(&gantry, &["image", "import", &form]), format!("{}\n", image.id), "{form}");
        let list = said(&gantry, &["image", "list"]);
        assert_says(&list, &[&image.id[..19], "registry.example/hello"]);
        assert_eq!(list.lines().count(), 2, "{list}");
        said(&gantry, &["verify"]);
        said(&gantry, &["image", "rm", &image.id]);
    }
    said(&gantry, &["image", "import", &format!("oci:{layout}")]);
    let output = gantry.with_images("run", &[Path::new(&image.id)], &[]).output().unwrap();
    gantry.wait_all();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(7), SAYS));
    fs::remove_dir_all(gantry.pod()).unwrap();
    assert_says(&said(&gantry, &["gc"]), &[&image.id]);
}

/// Imports what comes by stdin.
fn piped(gantry: &Gantry, image: &str, file: &Path, options: &[&str]) -> Output {
    let mut command = gantry.installer();
    command.args(["image", "import", image]).args(options).stdin(fs::File::open(file).unwrap());
    command.output().unwrap()
}

/// Writes an archive compressed in each way, and returns the paths.
fn compressed(archive: &Path) -> Vec<PathBuf> {
    let bytes = fs::read(archive).unwrap();
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(&bytes).unwrap();
    let all = [
        ("gz", gzip(&bytes).unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zst", zstd::encode_all(&*bytes, 1).unwrap()),
    ];
    let write = |(extension, bytes): (&str, Vec<u8>)| {
        let path = archive.with_extension(format!("tar.{extension}"));
        fs::write(&path, bytes).unwrap();
        path
    };
    all.into_iter().map(write).collect()
}

#[root_test]
fn an_archive_may_be_compressed_as_a_whole_or_come_by_stdin() {
    let gantry = Gantry::new();
    let (archive, docker) = (gantry.beside("a.tar"), gantry.beside("d.tar"));
    let image = image();
    image.write_archive(&archive);
    image.write_docker_archive(&docker);
    let whole = format!("{}\n", image.id);
    let rm = || drop(said(&gantry, &["image", "rm", &image.id]));
    for (archive, scheme, name) in
        [(&archive, "oci-archive", ""), (&docker, "docker-archive", &*format!(":{NAME}"))]
    {
        for file in compressed(archive) {
            let shown = file.display();
            let with_id = format!("{shown}@{}", image.id);
            for form in [shown.to_string(), with_id, format!("{scheme}:{shown}{name}")] {
                assert_eq!(said(&gantry, &["image", "import", &form]), whole, "{form}");
                assert_says(&said(&gantry, &["image", "list"]), &["registry.example/hello"]);
                rm();
            }
        }
        for file in compressed(archive).iter().chain([archive]) {
            for form in ["-", &format!("{scheme}:-{name}")] {
                let output = piped(&gantry, form, file, &[]);
                assert_eq!(
                    text(&output.stdout),
                    whole,
                    "{form} {}: {}",
                    file.display(),
                    text(&output.stderr)
                );
                rm();
            }
        }
    }
    // An image of appc comes by stdin, too.
    let aci = gantry.image("aci", &lower(), &testing::image::manifest("aci", &["/bin/true"]));
    for file in compressed(&aci).iter().chain([&aci]) {
        let output = piped(&gantry, "-", file, &[]);
        assert_eq!(text(&output.stdout), format!("{}\n", image_id(&aci)), "{}", text(&output.stderr));
    }
    let output = gantry.installer().args(["image", "rm", &image_id(&aci)]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let staging = gantry.dir().join("staging");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0, "nothing is left");
}

#[root_test]
fn what_is_in_a_compressed_archive_is_refused_as_elsewhere() {
    let gantry = Gantry::new();
    let archive = gantry.beside("a.tar");
    image().write_archive(&archive);
    let gz = gantry.beside("a.tar.gz");
    let (whole, gz_text) = (gzip(&fs::read(&archive).unwrap()).unwrap(), gz.to_str().unwrap().to_owned());
    let left = |about: &str| {
        let left = |name: &str| fs::read_dir(gantry.dir().join(name)).map_or(0, Iterator::count);
        assert_eq!((left("store/tree-v1"), left("staging")), (0, 0), "{about}");
    };
    let mut other = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    other.append_data(&mut header, "blobs/none", &b""[..]).unwrap();
    let other = gzip(&other.into_inner().unwrap()).unwrap();
    // Its layers are small, and what they say of each other is a lot.
    let bomb = gzip(&vec![0; 64 << 20]).unwrap();
    for (bytes, options, says) in [
        (&whole[..whole.len() / 2], &[][..], "a.tar.gz"),
        (&other, &[], "holds no image"),
        (&whole, &["--max-bytes", "100k"], "--max-bytes raises it"),
        (&bomb, &["--max-bytes", "1m"], "a.tar.gz"),
    ] {
        fs::write(&gz, bytes).unwrap();
        for form in [&gz_text, &format!("oci-archive:{gz_text}")] {
            let output = gantry.installer().args(["image", "import", form]).args(options).output().unwrap();
            let error = text(&output.stderr);
            assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{form} {says}: {error}");
            assert_says(&error, &[says]);
            left(says);
        }
        let output = piped(&gantry, "-", &gz, options);
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "stdin, {says}: {error}");
        left(says);
    }
    let output = piped(&gantry, "-", Path::new("/dev/null"), &[]);
    assert_says(&text(&output.stderr), &["stdin"]);
    left("nothing");
}

#[root_test]
fn damage_is_found_as_in_every_tree() {
    let gantry = Gantry::new();
    let layout = gantry.beside("layout");
    let image = image();
    image.write_layout(&layout);
    said(&gantry, &["image", "import", layout.to_str().unwrap()]);
    let tree = gantry.dir().join("store/tree-v1").join(&image.id).join("tree");
    assert_eq!(fs::read_to_string(tree.join("rootfs/etc/word")).unwrap(), "upper\n");
    fs::write(tree.join("rootfs/etc/word"), "other\n").unwrap();
    let output = gantry.installer().arg("verify").output().unwrap();
    assert!(!output.status.success());
    assert_says(&(text(&output.stdout) + &text(&output.stderr)), &["rootfs/etc/word"]);
}

#[root_test]
fn what_is_not_as_stated_is_refused_and_leaves_nothing() {
    let gantry = Gantry::new();
    let layers = [lower().layer(), upper().layer()];
    let stated = [oci_digest(&layers[0]), oci_digest(b"other")];
    let wrong = gantry.beside("wrong-diff-id");
    OciImage::with_diff_ids(&layers, &stated, &config()).write_layout(&wrong);
    let other = oci_digest(b"other");
    refused(wrong.to_str().unwrap(), &gantry, &["layer 2 of 2", &other, "the tar's digest is"]);

    let altered = gantry.beside("altered-blob");
    image().write_layout(&altered);
    let blob = altered.join("blobs").join(oci_digest(&layers[1]).replacen(':', "/", 1));
    let mut bytes = layers[1].clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(blob, bytes).unwrap();
    refused(altered.to_str().unwrap(), &gantry, &["layer 2 of 2", "the blob's digest is"]);

    let whiteout = gantry.beside("whiteout");
    let hostile = Rootfs::default().with("etc/.wh...", file(""));
    OciImage::new(&[&lower(), &hostile], &config()).write_layout(&whiteout);
    refused(whiteout.to_str().unwrap(), &gantry, &["layer 2 of 2", "etc/.wh...", "whiteout"]);

    let empty = gantry.beside("empty");
    fs::create_dir(&empty).unwrap();
    refused(empty.to_str().unwrap(), &gantry, &["empty", "expected a regular file or an OCI layout"]);
    let good = gantry.beside("good");
    image().write_layout(&good);
    let id = format!("{}@sha256-{}", good.display(), "0".repeat(64));
    refused(&id, &gantry, &["its id is", "expected sha256-0000"]);
    refused(&format!("oci:{}:none", good.display()), &gantry, &["none", NAME]);
}

#[root_test]
fn an_app_is_stopped_by_its_images_signal() {
    let gantry = Gantry::new();
    let script =
        "trap 'echo interrupted; exit 3' INT; trap 'exit 4' TERM; echo up; while :; do sleep 60 & wait; done";
    let layout = gantry.beside("layout");
    let config = json!({"Cmd": ["/bin/sh", "-c", script], "StopSignal": "SIGINT"});
    OciImage::new(&[&lower()], &config).write_layout(&layout);
    let pod = gantry.prepare(&[&layout], &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(SIGTERM);
    let (_, output) = running.wait();
    assert_eq!((text(&output.stdout).as_str(), status(&pod, "hello")), ("interrupted\n", 3));
}

#[root_test]
fn what_pods_dont_do_is_said() {
    let gantry = Gantry::new();
    let layout = gantry.beside("layout");
    let config = json!({"Cmd": ["/bin/true"], "Healthcheck": {"Test": ["CMD", "/bin/true"]}});
    OciImage::new(&[&lower()], &config).write_layout(&layout);
    let output = gantry.with_images("prepare", &[&layout], &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_says(&text(&output.stderr), &["warning", "its health check is not run"]);
}

#[root_test]
fn a_volume_of_kind_image_begins_with_what_the_image_has() {
    let gantry = Gantry::new();
    let layout = gantry.beside("layout");
    image().write_layout(&layout);
    for kind in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&layout], &["--volume", "data,kind=image", "--layout", kind]);
        let volume = pod.join("stage1/rkt/volumes/data");
        let names: std::collections::BTreeSet<_> =
            fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{kind}: {names:?}");
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(volume.join("new")).unwrap());
        assert_eq!(owner, 1000, "{kind}");
    }
}
