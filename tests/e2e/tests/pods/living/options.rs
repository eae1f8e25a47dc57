// SPDX-License-Identifier: Apache-2.0
//! Pods without a file of JSON: what options say reaches the app, and is in the pod's manifest.

use std::fs;
use std::path::Path;
use std::process::Output;

use gate::root_test;
use serde_json::Value;
use testing::image::{manifest, script};
use testing::pods::{Gantry, image_id};
use testing::rootfs::Rootfs;

use super::{id, output, refused, said, text};

fn image(gantry: &Gantry, name: &str, manifest: &Value) -> String {
    gantry.image(name, &Rootfs::busybox().unwrap(), manifest).to_str().unwrap().to_owned()
}

/// Runs a pod to its end and returns what its apps have written to stdout.
fn ran(gantry: &Gantry, words: &[&str]) -> String {
    let output = output(gantry, &[&["run"], words].concat());
    gantry.wait_all();
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Returns the manifest of the only pod.
fn stored(gantry: &Gantry) -> Value {
    serde_json::from_str(&said(gantry, &["cat-manifest", &id(&gantry.pod())])).unwrap()
}

#[root_test]
fn an_app_is_as_its_options_say() {
    let gantry = Gantry::new();
    let tells =
        "echo $A-$B-$C $(id -u):$(id -g) $PWD $0 $1; grep CapBnd /proc/self/status; touch /x || echo ro";
    let image = image(&gantry, "tells", &script("tells", tells));
    let file = gantry.beside("variables");
    fs::write(&file, "# of a file\nA=file\nB=b c\n").unwrap();
    let file = file.to_str().unwrap();
    let words = ["--env-file", file, &image, "-e", "A=1", "-e", "GONE", "-u", "7:8", "-w", "/usr"];
    let more = ["--cap-drop", "ALL", "--cap-add", "kill", "--read-only", "-m", "64m", "--", "zero", "one"];
    let said = ran(&gantry, &[&words[..], &more[..]].concat());
    assert_eq!(said, "1-b c- 7:8 /usr zero one\nCapBnd:\t0000000000000020\nro\n");
    let manifest = stored(&gantry);
    let app = &manifest["apps"][0];
    assert_eq!(manifest["acKind"], "PodManifest");
    assert_eq!((&app["app"]["user"], &app["app"]["group"]), (&"7".into(), &"8".into()));
    assert_eq!(app["app"]["exec"][4], "one");
    assert_eq!((&app["readOnlyRootFS"], &app["app"]["workingDirectory"]), (&true.into(), &"/usr".into()));
}

#[root_test]
fn a_pod_is_of_its_images_version_with_options_and_without() {
    let gantry = Gantry::new();
    let image = image(&gantry, "tells", &script("tells", "echo $HOME $A"));
    assert_eq!(ran(&gantry, &[&image]), "\n", "HOME is 0.1's");
    assert_eq!(stored(&gantry)["acKind"], "PodManifest");
    let gantry = Gantry::new();
    assert_eq!(ran(&gantry, &["-e", "A=1", &image]), "1\n");
}

#[root_test]
fn a_program_replaces_the_images() {
    let gantry = Gantry::new();
    let image = image(&gantry, "other", &manifest("other", &["/nothing"]));
    assert_eq!(ran(&gantry, &[&image, "--exec", "/bin/echo", "--", "a", "b c"]), "a b c\n");
    let gone = ["prepare", &image, "--exec", "/none"];
    assert_eq!(output(&gantry, &gone).status.code(), Some(1));
    assert_eq!(ran(&gantry, &["--entrypoint", "echo", &image]), "\n", "a name is looked up in PATH");
}

#[root_test]
fn things_are_mounted_where_options_say() {
    let gantry = Gantry::new();
    let see = "cat /in/file /two/file; touch /in/x 2>/dev/null || echo ro; touch /new/x /both/y && ls /new";
    let mut manifest = script("sees", see);
    manifest["app"]["user"] = "0".into();
    let image = image(&gantry, "sees", &manifest);
    let source = gantry.beside("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "here\n").unwrap();
    let source = source.to_str().unwrap();
    let (ro, bind) = (format!("{source}:/in:ro"), format!("type=bind,source={source},target=/two"));
    let words =
        ["-v", &ro, "--mount", &bind, "-v", "/new", "--volume", "data,kind=empty", "-v", "data:/both"];
    assert_eq!(ran(&gantry, &[&[image.as_str()], &words[..]].concat()), "here\nhere\nro\nx\n");
    let missing = ["prepare", &image, "-v", "/nonexistent:/in"];
    refused(&gantry, &missing, &["volume at \"/in\"", "/nonexistent"]);
    refused(&gantry, &["prepare", &image, "-v", "none:/in"], &["volume none, which the pod does not have"]);
    refused(&gantry, &["prepare", &image, "-v", "/:/proc"], &["is the pod's own"]);
}

#[root_test]
fn each_app_has_its_own_options() {
    let gantry = Gantry::new();
    let [one, two] = ["one", "two"].map(|name| image(&gantry, name, &script(name, "echo $A $0")));
    let said = ran(&gantry, &["--image", &one, "-e", "A=1", "--image", &two, "-e", "A=2", "--", "last"]);
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1 /bin/sh", "2 last"]);
    let output = output(&gantry, &["run", "-e", "A=1", &one, &two]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--env stands before the first of 2 images"), "{output:?}");
}

#[root_test]
fn a_pod_manifest_suffices_if_its_images_are_in_the_store() {
    let gantry = Gantry::new();
    let image = image(&gantry, "stored", &script("stored", "echo stored"));
    let pod = serde_json::json!({
        "acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [{"name": "a", "image": {"id": image_id(Path::new(&image))}}],
    });
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    let words = ["--pod-manifest", path.to_str().unwrap()];
    refused(&gantry, &[&["prepare"], &words[..]].concat(), &["no such image in the store"]);
    said(&gantry, &["image", "import", &image]);
    assert_eq!(ran(&gantry, &words), "stored\n");
    let output = output(&gantry, &[&["run"], &words[..], &["-e", "A=1"]].concat());
    assert_eq!(output.status.code(), Some(2), "a manifest says all");
}

#[test]
fn bad_values_are_said_in_one_line() {
    let gantry = Gantry::new();
    for (words, why) in [
        (&["-e", "1A=b"][..], "invalid environment variable name"),
        (&["-m", "1x"], "expected a number of bytes"),
        (&["--cpus", "none"], "expected one such as 2 or 0.5"),
        (&["-u", ":"], "invalid user"),
        (&["-w", "bin"], "expected an absolute path"),
        (&["-v", "/a:/b:z"], "expected the options ro, rw, bind, rbind and follow-links"),
        (&["--mount", "type=tmpfs,target=/a"], "expected type=bind or type=volume"),
        (&["--device", "/etc/passwd"], "a device of the host's"),
        (&["--cap-add", "NOTHING"], "unknown capability"),
        (&["--restart", "unless-stopped"], "expected no, on-failure or always"),
        (&["--stop-timeout", "0"], "expected whole seconds"),
        (&["--name", "a/b"], "invalid pod name"),
        (&["--hostname", "a_b"], "invalid host name"),
        (&["--label", "=x"], "expected NAME=VALUE"),
        (&["--log-driver", "file"], "are for --detach"),
        (&["--detach", "--log-opt", "max-size=x"], "expected max-size=BYTES"),
    ] {
        let Output { status, stderr, .. } = output(&gantry, &[&["run", "image"], words].concat());
        let error = text(&stderr);
        let line = error.lines().next().unwrap();
        assert_eq!(status.code(), Some(2), "{words:?}: {error}");
        assert!(line.starts_with("error: ") && line.contains(why), "{words:?}: {error}");
    }
}

/// In the order in which they are taken, with times that never go back.
#[root_test]
fn steps_are_said_with_their_times() {
    let gantry = Gantry::new();
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", "echo up"));
    let image = image.to_str().unwrap();
    for is_new in [true, false] {
        let ran = output(&gantry, &["run", "--net", "none", "--verbose", image]);
        assert_eq!(text(&ran.stdout), "up\n", "{ran:?}");
        let said = text(&ran.stderr);
        let steps: Vec<_> =
            said.lines().map(|line| line.split_once(" s: ").expect("a time and a step")).collect();
        assert!(steps.iter().map(|(time, _)| time.parse::<f64>().unwrap()).is_sorted(), "{said}");
        let last = [
            "checking the pod",
            "adding",
            "laying out",
            "layout: ",
            "writing the manifest",
            "pod directory",
            "starting",
        ];
        let ends = &steps[steps.len() - last.len()..];
        assert!(ends.iter().zip(last).all(|((_, step), begins)| step.starts_with(begins)), "{said}");
        assert_eq!(steps.iter().any(|(_, step)| step.starts_with("unpacking ")), is_new, "{said}");
        let state = if is_new { "unpacked" } else { "in the store" };
        for what in ["stage1 ", "image "] {
            assert!(steps.iter().any(|(_, step)| step.starts_with(what) && step.ends_with(state)), "{said}");
        }
        gantry.wait_all();
    }
    let quiet = output(&gantry, &["run", "--net", "none", image]);
    assert_eq!(text(&quiet.stderr), "", "nothing without being asked");
    gantry.wait_all();
}
