// SPDX-License-Identifier: Apache-2.0
//! Repairs of damaged trees: a tree is renewed, taken out of the store if that is no longer possible, or stays for now.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testing::image::manifest;
use testing::pods::{Gantry, image_id};
use testing::rootfs::{Node, Rootfs};

use super::super::gc::Waiting;
use super::super::{image, is_empty, said, trees};
use super::{ground, repair};
#[root_test]
fn a_damaged_tree_is_renewed_from_its_file() {
    let (gantry, _, rootfs, id) = ground();
    let pod = said(&gantry, &["prepare", "--image", &id]);
    fs::write(rootfs.join("etc/word"), "fate").unwrap();
    let repaired = said(&gantry, &["verify", "--repair", &id]);
    assert!(repaired.ends_with(&format!("{id}: renewed from its file\n")), "{repaired}");
    assert_eq!(said(&gantry, &["verify", &id]), format!("{id}: intact\n"));
    assert!(is_empty(&gantry.dir().join("staging")));
    assert_eq!(gantry.start(Path::new(pod.trim())).wait().1.stdout, b"word");
    gantry.wait_all();
}

#[root_test]
fn a_tree_that_can_not_be_renewed_is_taken_out() {
    let (gantry, file, rootfs, id) = ground();
    let pod = said(&gantry, &["prepare", "--image", &id]);
    let pod = Path::new(pod.trim());
    fs::remove_file(rootfs.join("usr/bin/cat")).unwrap();
    let elsewhere = gantry.beside("elsewhere.aci");
    fs::rename(&file, &elsewhere).unwrap();
    let output = gantry.installer().args(["verify", "--repair", &id]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("a.aci\" is not there any more"), "{text}");
    let name = pod.file_name().unwrap().to_str().unwrap();
    assert!(
        text.lines().last().unwrap().contains(&format!("import its file again for pod {name}")),
        "{text}"
    );
    assert!(!trees(&gantry).contains(&id));
    // Its pod says what is missing, and runs again once that is back.
    let (code, output) = gantry.start(pod).wait();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((code, error.lines().count()), (1, 1), "{error}");
    assert!(error.contains(&id), "{error}");
    said(&gantry, &["image", "import", elsewhere.to_str().unwrap()]);
    assert_eq!(gantry.start(pod).wait().1.stdout, b"word");
    gantry.wait_all();
}

/// What is now in the file's place makes no tree, or another one.
#[root_test]
fn a_tree_whose_file_is_another_is_taken_out() {
    for (number, why) in [(0, "not an archive"), (1, "digest is sha256-"), (2, "is not there any more")] {
        let (gantry, file, rootfs, id) = ground();
        fs::write(rootfs.join("etc/word"), "fate").unwrap();
        match number {
            0 => fs::write(&file, "no archive").unwrap(),
            1 => drop(image(&gantry, "a", "another word")),
            _ => fs::remove_file(&file).and_then(|()| fs::create_dir(&file)).unwrap(),
        }
        let (code, out, error) = repair(&gantry, &[]);
        assert_eq!((code, error.as_str()), (Some(1), ""), "{out}");
        let last = out.lines().last().unwrap();
        assert!(last.starts_with(&format!("{id}: taken out of the store: ")) && last.contains(why), "{out}");
        assert!(trees(&gantry).is_empty() && is_empty(&gantry.dir().join("staging")));
    }
}

/// Each limit keeps the archive from being unpacked, and none makes the damaged tree go.
#[root_test]
fn a_tree_stays_where_its_file_exceeds_a_limit() {
    let (gantry, file, rootfs, id) = ground();
    let again = gantry.beside("again.aci.xz");
    let mut xz = xz2::write::XzEncoder::new(fs::File::create(&again).unwrap(), 6);
    xz.write_all(&fs::read(&file).unwrap()).unwrap();
    xz.finish().unwrap();
    said(&gantry, &["image", "rm", &id]);
    said(&gantry, &["image", "import", again.to_str().unwrap()]);
    fs::write(rootfs.join("etc/word"), "fate").unwrap();
    for (flag, less) in [
        ("--max-bytes", "1Ki"),
        ("--max-entries", "2"),
        ("--max-depth", "1"),
        ("--max-decoder-memory", "1Mi"),
    ] {
        let (code, out, error) = repair(&gantry, &[flag, less]);
        assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.starts_with(&format!("error: cannot repair {id}: ")), "{error}");
        assert!(error.ends_with(&format!(" ({flag} raises it)\n")), "{error}");
        assert!(out.lines().all(|line| line.contains("expected")), "{out}");
        assert_eq!(fs::read(rootfs.join("etc/word")).unwrap(), b"fate");
    }
    let (code, out, error) = repair(&gantry, &[]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    assert_eq!(fs::read(rootfs.join("etc/word")).unwrap(), b"word");
}

#[root_test]
fn a_tree_stays_where_its_repair_is_interrupted() {
    let gantry = Gantry::new();
    let rootfs = Rootfs::busybox().unwrap().with("large", Node::File(0o644, vec![7; 64 << 20]));
    let file = gantry.image("large", &rootfs, &manifest("large", &["/bin/true"]));
    said(&gantry, &["image", "import", file.to_str().unwrap()]);
    let extra = gantry.dir().join("store/tree-v1").join(image_id(&file)).join("tree/rootfs/extra");
    fs::write(&extra, "").unwrap();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let mut command = gantry.installer();
        let mut child = command.args(["verify", "--repair"]).stdout(Stdio::null()).spawn().unwrap();
        // By then it is unpacking the file.
        while is_empty(&gantry.dir().join("staging")) {
            assert!(child.try_wait().unwrap().is_none(), "it makes a staging directory");
            std::thread::yield_now();
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(extra.exists() && is_empty(&gantry.dir().join("staging")));
    }
}

#[root_test]
fn a_damaged_tree_stays_under_a_running_pod() {
    let gantry = Gantry::new();
    let Waiting { image, running, go, .. } = Waiting::start(&gantry);
    let id = image_id(&image);
    let tree = gantry.dir().join("store/tree-v1").join(&id).join("tree");
    fs::write(tree.join("rootfs/extra"), "").unwrap();
    let output = gantry.installer().args(["verify", "--repair", &id]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.lines().last().unwrap().contains("in use, so not repaired"), "{text}");
    assert!(tree.join("rootfs/extra").exists(), "it is another");
    fs::write(&go, "\n").unwrap();
    let (code, output) = running.wait();
    assert_eq!((code, output.stdout.ends_with(b"word")), (0, true), "{output:?}");
    gantry.wait_all();
}

/// A pod with overlays has a hard link to stage1's `init`, by which it is started.
#[root_test]
fn a_repair_gives_pods_the_new_init() {
    let (gantry, file, ..) = ground();
    let [pod, other] = [(); 2].map(|()| gantry.prepare(&[&file], &["--layout", "overlay"]));
    let copies = gantry.prepare(&[&file], &["--layout", "copy"]);
    let stage1 = trees(&gantry).into_iter().find(|id| *id != image_id(&file)).unwrap();
    let init = gantry.dir().join("store/tree-v1").join(&stage1).join("tree/init");
    let number = |path: &Path| fs::metadata(path).unwrap().ino();
    let of_pod = |pod: &Path| pod.join("stage1/init");
    fs::File::options().append(true).open(&init).unwrap().write_all(b"!").unwrap();
    let (code, out, error) = repair(&gantry, &[&stage1]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    for pod in [&pod, &other] {
        let name = pod.file_name().unwrap().to_str().unwrap();
        assert!(out.contains(&format!("{stage1}: pod {name}: init renewed\n")), "{out}");
        assert_eq!(number(&of_pod(pod)), number(&init));
        assert_eq!(gantry.start(pod).wait().1.stdout, b"word");
    }
    assert!(!out.contains(copies.file_name().unwrap().to_str().unwrap()), "it is its own: {out}");
    assert_eq!(said(&gantry, &["verify", &stage1]), format!("{stage1}: intact\n"));
    gantry.wait_all();
    // An equal file is as good as the link. A file of the same size with other content is not.
    let (name, content) = (pod.file_name().unwrap().to_str().unwrap(), fs::read(&init).unwrap());
    let replace = |content: &[u8], mode| {
        fs::remove_file(of_pod(&pod)).unwrap();
        fs::write(of_pod(&pod), content).unwrap();
        fs::set_permissions(of_pod(&pod), fs::Permissions::from_mode(mode)).unwrap();
    };
    let mode = fs::metadata(&init).unwrap().permissions().mode();
    replace(&content, mode);
    assert_eq!(said(&gantry, &["verify", &stage1]), format!("{stage1}: intact\n"));
    let mut flipped = content.clone();
    flipped[content.len() / 2] ^= 1;
    for (content, mode) in [(&flipped, mode), (&content, mode ^ 0o022)] {
        replace(content, mode);
        let output = gantry.installer().args(["verify", &stage1]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text.ends_with(&format!("pod {name}: init: found another, expected this stage1's\n")),
            "{text}"
        );
        assert_eq!(repair(&gantry, &[&stage1]).0, Some(0));
        assert_eq!(number(&of_pod(&pod)), number(&init));
    }
    // A pod without it is being removed by rm, which would not remove what a repair puts there.
    fs::remove_file(of_pod(&pod)).unwrap();
    assert_eq!(said(&gantry, &["verify", &stage1]), format!("{stage1}: intact\n"));
    assert_eq!(repair(&gantry, &[&stage1]).0, Some(0));
    assert!(!of_pod(&pod).exists());
    assert!(is_empty(&gantry.dir().join("staging")));
}
