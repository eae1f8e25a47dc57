// SPDX-License-Identifier: Apache-2.0
//! Pods with a pod manifest: many apps of few images, volumes, restarts and stops.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gate::root_test;
use nix::sys::signal::Signal;
use pod::layers::Layers;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use testing::image::{manifest, script, with_handler};
use testing::layers::layers;
use testing::pods::{Gantry, image_id, status, text};
use testing::rootfs::Rootfs;

/// Returns an app's entry that runs a script as root.
fn app(name: &str, image: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": {"id": image},
        "app": {"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0"},
    })
}

fn pod_manifest(gantry: &Gantry, apps: &[Value], more: &Value) -> PathBuf {
    let mut pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps});
    pod.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    path
}

fn busybox(gantry: &Gantry, name: &str) -> (PathBuf, String) {
    let image = gantry.image(name, &Rootfs::busybox().unwrap(), &manifest(name, &["true"]));
    let id = image_id(&image);
    (image, id)
}

fn run(gantry: &Gantry, images: &[&Path], pod: &Path) -> Output {
    let output =
        gantry.with_images("run", images, &["--pod-manifest", pod.to_str().unwrap()]).output().unwrap();
    gantry.wait_all();
    output
}

#[root_test]
fn thirty_apps_of_three_images_each_with_a_tree_of_its_own() {
    let gantry = Gantry::new();
    let images: Vec<_> = ["one", "two", "three"].map(|name| busybox(&gantry, name)).into();
    // Each app leaves a mark in its root, and waits until all have. Then none may find another's mark in its own root.
    let own = "echo > /mark-$AC_APP_NAME; echo > /meet/$AC_APP_NAME; \
               while [ $(ls /meet | wc -l) -lt 30 ]; do sleep 0.05; done; [ \"$(ls -d /mark-*)\" = /mark-$AC_APP_NAME ] || exit 9; ";
    let apps: Vec<Value> = (0..30)
        .map(|n| {
            let end = if n == 17 { "exit 7" } else { "exit 0" };
            let mut app = app(&format!("app-{n}"), &images[n % 3].1, &format!("{own}{end}"));
            app["mounts"] = json!([{"volume": "meet", "path": "/meet"}]);
            app
        })
        .collect();
    let pod = pod_manifest(&gantry, &apps, &json!({"volumes": [{"name": "meet", "kind": "empty"}]}));
    let images: Vec<_> = images.iter().map(|(path, _)| path.as_path()).collect();
    let output = run(&gantry, &images, &pod);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(7), ""));
    for n in 0..30 {
        let found = status(&gantry.pod(), &format!("app-{n}"));
        // Some had not ended yet when the failing app ended the pod.
        assert!(if n == 17 { found == 7 } else { [0, 143].contains(&found) }, "app-{n}: {found}");
    }
    assert_eq!(fs::read_dir(gantry.pod().join("stage1/rkt/status")).unwrap().count(), 30);
}

#[root_test]
fn an_image_is_called_by_its_sha512_where_the_pod_does() {
    let gantry = Gantry::new();
    let (image, sha256) = busybox(&gantry, "image");
    let hex: String =
        Sha512::digest(fs::read(&image).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("sha512-{hex}");
    let pod = pod_manifest(&gantry, &[app("a", &id, "echo runs")], &json!({}));
    let output = run(&gantry, &[&image], &pod);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "runs\n"),
        "{}",
        text(&output.stderr)
    );
    let Layers::Overlay { images, .. } = layers(&gantry.pod()) else { panic!("overlays can be made here") };
    assert_eq!(images.keys().map(ToString::to_string).collect::<Vec<_>>(), [id.as_str()]);

    let both = pod_manifest(&gantry, &[app("a", &id, "true"), app("b", &sha256, "true")], &json!({}));
    let refused = run(&gantry, &[&image], &both);
    assert!(text(&refused.stderr).contains("expected one of them"), "{}", text(&refused.stderr));
    let wrong = format!("{}@sha512-{}", image.display(), "0".repeat(128));
    let refused = gantry.with_images("prepare", &[Path::new(&wrong)], &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains(&id), "{}", text(&refused.stderr));
}

#[root_test]
fn a_root_that_is_read_only_still_has_its_places() {
    let gantry = Gantry::new();
    let (image, id) = busybox(&gantry, "image");
    let look = "echo > /file; mkdir /var; echo > /tmp/file && echo > /deep/in/it/file && ls /tmp /deep/in/it";
    let mut app = app("a", &id, look);
    app["readOnlyRootFS"] = json!(true);
    app["mounts"] = json!([{"volume": "v", "path": "/deep/in/it"}]);
    let pod = pod_manifest(&gantry, &[app], &json!({"volumes": [{"name": "v", "kind": "empty"}]}));
    let output = run(&gantry, &[&image], &pod);
    assert_eq!(text(&output.stdout), "/deep/in/it:\nfile\n\n/tmp:\nfile\n");
    assert_eq!(text(&output.stderr).matches("Read-only file system").count(), 2, "{}", text(&output.stderr));
}

#[root_test]
fn empty_volumes_are_shared_owned_and_stay_with_the_pod() {
    let gantry = Gantry::new();
    let (image, id) = busybox(&gantry, "image");
    let mut write = app("write", &id, "stat -c '%a %u %g' /a; echo more >> /a/file; wc -l < /a/file");
    write["mounts"] = json!([{"volume": "v", "path": "/a"}]);
    let mut read = app(
        "read",
        &id,
        "while ! [ -s /b/file ]; do sleep 0.05; done; echo > /b/no; stat -c 'own %a %u' /c; ls /c; touch /c/mine",
    );
    // Two volumes of one name: the pod's, and one that only this app sees.
    let own = json!({"name": "v", "kind": "empty", "mode": "0700", "uid": 9});
    read["mounts"] = json!([{"volume": "v", "path": "/b"}, {"volume": "v", "path": "/c", "appVolume": own}]);
    // The reader's mount point is read-only, the volume is not.
    read["app"]["mountPoints"] = json!([{"name": "v", "path": "/b", "readOnly": true}]);
    let volume = json!({"name": "v", "kind": "empty", "mode": "1750", "uid": 7, "gid": 8});
    let pod = pod_manifest(&gantry, &[write, read], &json!({"volumes": [volume]}));
    let pod = gantry.prepare(&[&image], &["--pod-manifest", pod.to_str().unwrap()]);
    for start in 1..=2 {
        let (_, output) = gantry.start(&pod).wait();
        let lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        assert!(
            lines.contains(&"1750 7 8".to_owned()) && lines.contains(&start.to_string()),
            "{start}: {lines:?}"
        );
        assert!(lines.contains(&"own 700 9".to_owned()), "{lines:?}");
        assert_eq!(lines.contains(&"mine".to_owned()), start == 2, "{lines:?}");
        assert!(!lines.contains(&"file".to_owned()), "{lines:?}");
        assert!(text(&output.stderr).contains("Read-only file system"), "{}", text(&output.stderr));
    }
    let directory = fs::metadata(pod.join("stage1/rkt/volumes/v")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.uid(), directory.gid()), (0o1750, 7, 8));
}

/// In a mount namespace of the test's own, so that the host's mount table stays as it is.
#[root_test]
fn a_host_volume_brings_what_is_mounted_below_it_unless_told_otherwise() {
    let gantry = Gantry::new();
    let source = gantry.beside("source");
    fs::create_dir_all(source.join("below")).unwrap();
    let mut image = manifest("volume", &["/bin/sh", "-c", "ls /v/below; echo > /v/below/new"]);
    image["app"]["mountPoints"] = json!([{"name": "v", "path": "/v"}]);
    let image = gantry.image("volume", &Rootfs::busybox().unwrap(), &image);
    for (options, listed, error) in [
        ("", "mounted\n", ""),
        (",recursive=true,readOnly=true", "mounted\n", "Read-only file system"),
        (",recursive=false", "", ""),
    ] {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c"]);
        command
            .arg("mount -t tmpfs none \"$1/below\" && echo > \"$1/below/mounted\" && shift && exec \"$@\"");
        command.arg("sh").arg(&source).arg(testing::program("installer"));
        let argument = format!("v,kind=host,source={}{options}", source.display());
        let installer = gantry.with_images("run", &[&image], &["--volume", &argument]);
        let output =
            command.args(installer.get_args()).env("GANTRY_STAGE1", testing::stage1()).output().unwrap();
        gantry.wait_all();
        assert_eq!(text(&output.stdout), listed, "{options}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(error), "{options}: {}", text(&output.stderr));
    }
    assert!(source.join("below/new").exists(), "without recursive, what is below is the source's own");
}

/// Returns the entry of an app that counts its starts in a volume.
fn counting(id: &str, restart: &str, script: &str) -> Value {
    let mut counting =
        app("a", id, &format!("echo >> /v/starts; n=$(wc -l < /v/starts); echo start $n; {script}"));
    counting["mounts"] = json!([{"volume": "v", "path": "/v"}]);
    counting["annotations"] = json!([{"name": "gantry/restart", "value": restart}]);
    counting
}

#[root_test]
fn an_app_is_started_again_as_its_annotation_says() {
    let volumes = json!({"volumes": [{"name": "v", "kind": "empty"}]});
    for (restart, script, code, starts) in [
        ("no", "exit 3", 3, 1),
        ("on-failure", "[ $n = 3 ] || exit 3", 0, 3),
        ("on-failure", "[ $n = 2 ] || kill -TERM $$", 0, 2),
        ("on-failure", "exit 0", 0, 1),
    ] {
        let gantry = Gantry::new();
        let (image, id) = busybox(&gantry, "image");
        let mut app = counting(&id, restart, script);
        app["app"]["eventHandlers"] = json!([
            {"name": "pre-start", "exec": ["echo", "before"]},
            // It takes a while: the next start has to wait for it.
            {"name": "post-stop", "exec": ["sh", "-c", "sleep 0.3; echo after"]},
        ]);
        let pod = pod_manifest(&gantry, &[app], &volumes);
        let output = run(&gantry, &[&image], &pod);
        let expected: String = (1..=starts).map(|n| format!("before\nstart {n}\nafter\n")).collect();
        let found = (output.status.code(), text(&output.stdout));
        assert_eq!(found, (Some(code), expected), "{restart} {script}: {}", text(&output.stderr));
        assert_eq!(i32::from(status(&gantry.pod(), "a")), code, "{restart} {script}");
    }
}

#[root_test]
fn an_app_that_is_always_started_again_ends_with_the_pod() {
    let gantry = Gantry::new();
    let (image, id) = busybox(&gantry, "image");
    let app = counting(
        &id,
        "always",
        "[ $n = 3 ] || exit 0; trap 'exit 0' TERM; echo up; while :; do sleep 60 & wait; done",
    );
    let pod = pod_manifest(&gantry, &[app], &json!({"volumes": [{"name": "v", "kind": "empty"}]}));
    let pod = gantry.prepare(&[&image], &["--pod-manifest", pod.to_str().unwrap()]);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    running.signal(Signal::SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, status(&pod, "a")), (0, 0), "{}", text(&output.stderr));
}

#[root_test]
fn an_app_has_its_stop_timeout_and_no_longer() {
    let gantry = Gantry::new();
    let stubborn = "trap '' TERM; echo up; while :; do sleep 1; done";
    let mut image = with_handler(script("stubborn", stubborn), "post-stop", "echo after");
    image["annotations"] = json!([{"name": "gantry/stop-timeout", "value": "1"}]);
    let image = gantry.image("stubborn", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &[]);
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    let asked = std::time::Instant::now();
    running.signal(Signal::SIGTERM);
    let (code, output) = running.wait();
    assert_eq!((code, status(&pod, "stubborn")), (137, 137));
    assert_eq!(text(&output.stdout), "after\n");
    // The default is ten seconds.
    assert!(asked.elapsed() < std::time::Duration::from_secs(8), "{:?}", asked.elapsed());
}

/// Whether this host's cgroup v2 has the controllers or not, limits are either enforced or reported as not enforced.
#[root_test]
fn limits_that_are_not_enforced_are_named() {
    let gantry = Gantry::new();
    let mut image = manifest("limited", &["cat", "/proc/self/oom_score_adj"]);
    image["app"]["isolators"] = json!([
        {"name": "resource/memory", "value": {"limit": "64M"}},
        {"name": "os/linux/cpu-shares", "value": 512},
        {"name": "os/linux/oom-score-adj", "value": -1000},
        {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_RESOURCE"]}},
        {"name": "resource/unheard-of", "value": null},
    ]);
    let image = gantry.image("limited", &Rootfs::busybox().unwrap(), &image);
    let output = gantry.run(&[&image]);
    let warnings = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{warnings}");
    assert!(
        warnings.contains("warning: isolator resource/unheard-of of app limited is not known"),
        "{warnings}"
    );
    let said = |what: &str| warnings.contains(what);
    let may_lower = fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| {
        line.strip_prefix("CapBnd:")
            .is_some_and(|hex| u64::from_str_radix(hex.trim(), 16).unwrap() & 1 << 24 != 0)
    });
    assert_ne!(
        said("isolator os/linux/oom-score-adj of app limited is not enforced"),
        may_lower,
        "{warnings}"
    );
    assert_ne!(
        said("CAP_SYS_RESOURCE of app limited: this process has no such capability"),
        may_lower,
        "{warnings}"
    );
    assert_eq!(text(&output.stdout) == "-1000\n", may_lower, "{}", text(&output.stdout));
    let table = fs::read_to_string("/proc/self/cgroup").unwrap();
    let v1 = |controller: &str| {
        table
            .lines()
            .any(|line| line.split(':').nth(1).is_some_and(|c| c.split(',').any(|c| c == controller)))
    };
    for (controller, isolator) in [("memory", "resource/memory"), ("cpu", "os/linux/cpu-shares")] {
        if v1(controller) {
            let line = format!(
                "isolator {isolator} of app limited is not enforced: the pod's cgroup has no {controller} controller"
            );
            assert!(said(&line), "{warnings}");
        }
    }
}
