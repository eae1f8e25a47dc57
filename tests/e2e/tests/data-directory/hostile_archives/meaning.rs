// SPDX-License-Identifier: Apache-2.0
//! Sound archives with bad manifests, and bad arguments about them.

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::image_id;

use super::{Ground, good, of, with_manifest};

/// Checks that the pod manifest, for one image, is refused.
#[track_caller]
fn refuse_pod(ground: &Ground, pod: &[u8], parts: &[&str]) {
    let image = ground.image("good.aci", &good());
    let pod = ground.image("pod.json", pod);
    let mut command = ground.gantry.with_images("prepare", &[&image], &["--pod-manifest"]);
    ground.refuse_run(command.arg(pod), 1, parts);
}

fn pod(id: &str) -> Value {
    json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": [{"name": "a", "image": {"id": id}}]})
}

#[root_test]
fn case_25_a_digest_that_is_a_path() {
    let ground = Ground::new();
    let zeros = "0".repeat(64);
    for id in ["sha256:../../x", "sha256-../../x", "../../../outside/canary", "", "sha256-", "/"] {
        refuse_pod(&ground, pod(id).to_string().as_bytes(), &["pod.json", "invalid image id", id]);
    }
    for id in [format!("sha256-{zeros}/../x"), format!("sha256-{zeros}\n"), format!("sha256:{zeros}")] {
        refuse_pod(&ground, pod(&id).to_string().as_bytes(), &["invalid image id", "expected sha256-"]);
    }
    let image = ground.image("good.aci", &good());
    let usage = format!("{}@sha256-../../x", image.display());
    let prepare = |image: &str| ground.gantry.with_images("prepare", &[image.as_ref()], &[]);
    ground.refuse_run(&mut prepare(&usage), 2, &["invalid image id", "sha256-../../x", "--help"]);
    // Without the hyphen it is not a digest but a part of a file's name, and there is no such file.
    let file = format!("{}@sha256:../../x", image.display());
    ground.refuse(file.as_ref(), &["good.aci@sha256:../../x"]);
    ground.refuse("sha256:../../x".as_ref(), &["sha256:../../x"]);
    for digest in ["../../x", "sha256:../../x", &zeros[1..]] {
        let mut command = ground.gantry.with_images("prepare", &[&image], &["--stage1-sha256", digest]);
        ground.refuse_run(&mut command, 2, &["--stage1-sha256", digest]);
    }
    ground.accept(&image);
}

#[root_test]
fn case_26_json_that_is_deep_or_ambiguous_or_too_large() {
    let ground = Ground::new();
    let image = manifest("bad", &["/a"]);
    let id = image_id(&ground.image("good.aci", &good()));
    // In a field that is read and in one that is not, at the top and below.
    let with = |whole: &Value, member: &str| format!("{{{member},{}", &whole.to_string()[1..]).into_bytes();
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for deep in ["[".repeat(10_000), "{\"a\":".repeat(10_000), nested] {
        let member = format!("\"unknown\":{deep}");
        let file = with_manifest(&with(&image, &member)).end();
        ground.refuse(&ground.image("deep.aci", &file), &["deep.aci", "recursion limit"]);
        for field in ["unknown", "volumes", "annotations"] {
            let member = format!("\"{field}\":{deep}");
            refuse_pod(&ground, &with(&pod(&id), &member), &["pod.json", "recursion limit"]);
        }
    }
    for member in [
        "\"acKind\":\"ImageManifest\"",
        "\"x\":1,\"x\":1",
        "\"x\":[{\"\\u001b\":1,\"\\u001b\":2}]",
        "\"acKi\\u006ed\":0",
    ] {
        let file = with_manifest(&with(&image, member)).end();
        ground.refuse(&ground.image("twice.aci", &file), &["twice.aci", "duplicate key"]);
        refuse_pod(&ground, &with(&pod(&id), member), &["pod.json", "duplicate key"]);
    }
}

#[root_test]
fn case_26_numbers_that_no_type_holds() {
    let ground = Ground::new();
    let id = image_id(&ground.image("good.aci", &good()));
    let fields = [
        ("supplementaryGIDs", "[N]"),
        ("ports", "[{\"name\":\"p\",\"protocol\":\"tcp\",\"port\":N}]"),
        ("ports", "[{\"name\":\"p\",\"protocol\":\"tcp\",\"port\":1,\"count\":N}]"),
        ("isolators", "[{\"name\":\"os/linux/oom-score-adj\",\"value\":N}]"),
        ("isolators", "[{\"name\":\"os/linux/cpu-shares\",\"value\":N}]"),
        ("isolators", "[{\"name\":\"resource/memory\",\"value\":{\"limit\":\"NE\"}}]"),
        ("isolators", "[{\"name\":\"resource/cpu\",\"value\":{\"limit\":N}}]"),
    ];
    let placed = |mut whole: Value, at: &str, value: &str| {
        *whole.pointer_mut(at).unwrap() = json!("HERE");
        whole.to_string().replace("\"HERE\"", value)
    };
    for (field, value) in fields {
        let at = format!("/app/{field}");
        let mut image = manifest("bad", &["/a"]);
        image["app"][field] = Value::Null;
        let in_image = placed(image.clone(), &at, &value.replace('N', "18446744073709551616"));
        let file = with_manifest(in_image.as_bytes()).end();
        ground.refuse(&ground.image("number.aci", &file), &["number.aci", "manifest"]);
        let mut pod = pod(&id);
        pod["apps"][0]["app"] = image["app"].clone();
        for number in ["18446744073709551616", "-18446744073709551616", "1e400"] {
            let in_pod = placed(pod.clone(), &format!("/apps/0{at}"), &value.replace('N', number));
            refuse_pod(&ground, in_pod.as_bytes(), &["pod.json"]);
        }
    }
    for field in ["uid", "gid", "mode"] {
        let mut pod = pod(&id);
        pod["volumes"] = json!([{"name": "v", "kind": "empty", field: null}]);
        let in_pod = placed(pod, &format!("/volumes/0/{field}"), "18446744073709551616");
        refuse_pod(&ground, in_pod.as_bytes(), &["pod.json"]);
    }
}

#[root_test]
fn case_27_images_that_need_other_images() {
    let ground = Ground::new();
    let depending = |name: &str, on: &Value| {
        let mut manifest = manifest(name, &["/a"]);
        manifest["dependencies"] = on.clone();
        manifest
    };
    // In a circle: each depends on the other, and one on itself.
    let one = depending("one", &json!([{"imageName": "example.com/two"}]));
    let two = depending("two", &json!([{"imageName": "example.com/one"}]));
    let own = depending(
        "own",
        &json!([{"imageName": "example.com/own", "imageID": format!("sha256-{}", "0".repeat(64))}]),
    );
    let one = ground.image("one.aci", &of(&one));
    let two = ground.image("two.aci", &of(&two));
    ground.refuse(&one, &["one.aci", "example.com/one depends on example.com/two", "is not there"]);
    ground.refuse(&ground.image("own.aci", &of(&own)), &["own.aci", "expected sha256-000"]);
    let mut both = ground.gantry.with_images("prepare", &[&one, &two], &[]);
    ground.refuse_run(&mut both, 1, &["example.com/one -> example.com/two -> example.com/one"]);
    // A pod manifest that says what to run instead changes nothing: the tree is not complete.
    let mut selecting = manifest("selecting", &["/a"]);
    selecting["pathWhitelist"] = json!(["/b"]);
    let selecting = ground.image("selecting.aci", &of(&selecting));
    ground.refuse(&selecting, &["app selecting", "/a"]);
    let pod = ground.image("pod.json", pod(&image_id(&selecting)).to_string().as_bytes());
    let mut command = ground.gantry.with_images("prepare", &[&selecting], &["--pod-manifest"]);
    ground.refuse_run(command.arg(pod), 1, &["app a", "/a"]);
    ground.accept(&ground.image("none.aci", &of(&depending("none", &json!([])))));
}
