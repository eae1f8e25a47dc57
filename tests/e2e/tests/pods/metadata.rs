// SPDX-License-Identifier: Apache-2.0
//! The metadata service as a person sees it, and the ids by which manifests of 0.8 call images. What an app is told is in
//! the suite `conformance`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testing::broadcast::{cgroup, processes};
use testing::image::manifest;
use testing::pods::{Gantry, image_id, image_sha512, text};
use testing::rootfs::Rootfs;

fn image(gantry: &Gantry, script: &str) -> std::path::PathBuf {
    let app = manifest("asks", &["/bin/sh", "-c", script]);
    gantry.image("asks", &Rootfs::busybox().unwrap(), &app)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Forgets the sha512 of all images, as a store has it that an earlier version made.
fn forget_sha512(gantry: &Gantry) {
    for entry in fs::read_dir(gantry.dir().join("store/tree-v1")).unwrap() {
        let path = entry.unwrap().path().join("info");
        let mut info = json(&path);
        info.as_object_mut().unwrap().remove("sha512");
        fs::write(&path, info.to_string()).unwrap();
    }
    for entry in fs::read_dir(gantry.dir().join("store/alias-v1")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with("sha512-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[root_test]
fn a_manifest_of_0_8_that_is_written_calls_images_by_their_sha512() {
    let gantry = Gantry::new();
    let image = image(&gantry, "busybox wget -qO- $AC_METADATA_URL/acMetadata/v1/apps/asks/image/id");
    let (sha256, sha512) = (image_id(&image), image_sha512(&image));
    for layout in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&image], &["--hostname", "asks", "--layout", layout]);
        assert_eq!(json(&pod.join("container"))["apps"][0]["image"]["id"], sha512.as_str());
        let (code, output) = gantry.start(&pod).wait();
        assert_eq!((code, text(&output.stdout)), (0, sha512.clone()), "{}", text(&output.stderr));
        let mut list = gantry.installer();
        let list = list.args(["list", "--format", "json"]).output().unwrap();
        let list: Value = serde_json::from_slice(&list.stdout).unwrap();
        let pods = list.as_array().unwrap();
        assert!(pods.iter().all(|pod| pod["apps"][0]["image"] == sha256.as_str()), "{list}");
    }
    let inspected = gantry.installer().args(["image", "inspect", "example.com/asks"]).output().unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&inspected[0]["id"], &inspected[0]["sha512"]), (&sha256.into(), &sha512.into()));
}

#[root_test]
fn an_image_of_an_older_store_gets_its_sha512_from_its_file_or_is_called_by_its_sha256() {
    let gantry = Gantry::new();
    let image = image(&gantry, "true");
    let (sha256, sha512) = (image_id(&image), image_sha512(&image));
    let prepare = |image: &str| {
        let mut command = gantry.installer();
        let output = command.args(["prepare", "--image", image, "--hostname", "asks"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let pod = text(&output.stdout);
        let id = json(&Path::new(pod.trim_end()).join("container"))["apps"][0]["image"]["id"].clone();
        let said = text(&output.stderr).replace("layout: overlays\n", "");
        (id.as_str().unwrap().to_owned(), said)
    };
    prepare(image.to_str().unwrap());
    forget_sha512(&gantry);
    let (called, said) = prepare("example.com/asks");
    assert_eq!(called, sha256);
    assert!(said.contains("its sha512 is not known, so the pod calls it by its sha256"), "{said}");
    // The file has it, and then the store does.
    assert_eq!(prepare(image.to_str().unwrap()), (sha512.clone(), String::new()));
    assert_eq!(prepare("example.com/asks"), (sha512, String::new()));
}

/// Shell functions: to ask, and to kill the service of the pod.
const KILLS: &str = r#"ask() { busybox wget -qO- $AC_METADATA_URL/acMetadata/v1/pod/uuid >/dev/null && echo answered || echo nothing; }
kill_it() { for c in /proc/[0-9]*/comm; do [ "$(cat $c 2>/dev/null)" = metadata ] || continue
p=${c#/proc/}; kill -9 ${p%/comm} 2>/dev/null && echo killed || echo refused; done; }
"#;

/// What an app may kill is started again by the next question, also another app's.
#[root_test]
fn a_service_that_is_killed_answers_again() {
    for (users, expected) in [("own", "refused"), ("shared", "killed"), ("host", "killed")] {
        let gantry = Gantry::new();
        let mut kills = manifest(
            "kills",
            &[
                "/bin/sh",
                "-c",
                &format!("{KILLS} ask; for i in 1 2 3; do kill_it; ask; done; touch /meet/killed"),
            ],
        );
        let asks = "until [ -e /meet/killed ]; do sleep 0.1; done; ask >/meet/asked; cat /meet/asked";
        let mut asks = manifest("asks", &["/bin/sh", "-c", &format!("{KILLS} {asks}")]);
        for image in [&mut kills, &mut asks] {
            image["app"]["mountPoints"] = serde_json::json!([{"name": "meet", "path": "/meet"}]);
        }
        let busybox = Rootfs::busybox().unwrap();
        let (kills, asks) = (gantry.image("kills", &busybox, &kills), gantry.image("asks", &busybox, &asks));
        let pod =
            gantry.prepare(&[&kills, &asks], &["--userns", users, "--volume", "meet,kind=empty,mode=1777"]);
        let (code, output) = gantry.start(&pod).wait();
        let once = format!("{expected}\nanswered\n");
        let expected = format!("answered\n{once}{once}{once}answered\n");
        assert_eq!((code, text(&output.stdout)), (0, expected), "{users}: {}", text(&output.stderr));
    }
}

/// Pods with the host's network reach each other's services, which answer to nobody but their own pod.
#[root_test]
fn the_token_of_another_pod_is_refused() {
    let gantry = Gantry::new();
    let first = image(&gantry, "trap 'exit 0' TERM; echo $AC_METADATA_URL; echo up; sleep 1000 & wait");
    let mut running = gantry.start(&gantry.prepare(&[&first], &["--net", "host"]));
    let url = running.read_until("up");
    let url = url.trim().to_owned();
    let script = "ask() { busybox wget -qO- $1/acMetadata/v1/pod/uuid 2>&1 | grep -o -e '[45][0-9][0-9] .*' -e '^........-.*'; }
        own=$AC_METADATA_URL; other=$OTHER
        ask ${other%/*}/${own##*/}; ask ${own%/*}/${other##*/}; ask ${other%/*}/; ask $own | wc -l
        busybox wget -qO- --header 'Metadata-Flavor: AppContainer' ${other%/*}/acMetadata/v1/pod/uuid 2>&1 | grep -o '[45][0-9][0-9] .*'";
    let second = manifest("other", &["/bin/sh", "-c", script]);
    let second = gantry.image("other", &Rootfs::busybox().unwrap(), &second);
    let other = format!("OTHER={url}");
    let pod = gantry.prepare(&[&second], &["--net", "host", "-e", &other]);
    let (code, output) = gantry.start(&pod).wait();
    let refused = "401 Unauthorized\n";
    let expected = format!("{refused}{refused}{refused}1\n{refused}");
    assert_eq!((code, text(&output.stdout)), (0, expected), "{url}: {}", text(&output.stderr));
    running.signal(Signal::SIGTERM);
    running.wait();
}

/// Time can't be measured on every machine. What an answer takes beside work is waiting, and that is counted: for the request,
/// and for the client to close.
#[root_test]
fn an_answer_takes_few_waits() {
    const ASKED: u32 = 100;
    let gantry = Gantry::new();
    let script = format!(
        "trap 'exit 0' TERM; ask() {{ busybox wget -qO- $AC_METADATA_URL/acMetadata/v1/pod/manifest >/dev/null || exit 9; }}
        ask; echo one; read line; i=0; while [ $i -lt {ASKED} ]; do ask; i=$((i+1)); done; echo all; sleep 1000 & wait"
    );
    let asks = image(&gantry, &script);
    let pod = gantry.prepare(&[&asks], &[]);
    let mut start = Command::new("./stage1/init");
    start.current_dir(&pod).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = start.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "one");
    let id = pod.file_name().unwrap().to_str().unwrap();
    let process = processes(&cgroup(child.id().cast_signed(), id)).into_iter().find(|process| {
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim_end() == "metadata")
    });
    let waits = || -> u32 {
        let status = fs::read_to_string(format!("/proc/{}/status", process.unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = waits();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "all");
    let taken = waits() - before;
    assert!((ASKED..=3 * ASKED + 3).contains(&taken), "{taken} waits for {ASKED} answers");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    gantry.wait_all();
}

#[root_test]
fn a_pod_may_be_without_a_metadata_service() {
    let gantry = Gantry::new();
    let image = image(
        &gantry,
        "echo ${AC_METADATA_URL-none}; busybox nc -w 1 127.0.0.1 16925 </dev/null || echo nobody",
    );
    let pod = gantry.prepare(&[&image], &["--no-metadata"]);
    let (code, output) = gantry.start(&pod).wait();
    assert_eq!((code, text(&output.stdout)), (0, "none\nnobody\n".to_owned()), "{}", text(&output.stderr));
    // The manifest of a pod with one, and with a variable of that name of its own.
    let pod = gantry.prepare(&[&image], &["-e", "AC_METADATA_URL=http://192.0.2.1"]);
    let (_, output) = gantry.start(&pod).wait();
    assert_eq!(text(&output.stdout), "http://192.0.2.1\n");
}
