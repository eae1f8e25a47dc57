// SPDX-License-Identifier: Apache-2.0
//! Seeds, from which fuzzing starts: an input of every kind that is accepted, and some that are not. They are made anew
//! each time.

use std::io::Write as _;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::archive::{FILE, STREAM};
use crate::writer::Tar;

/// The targets' names, and their seeds.
pub fn all() -> [(&'static str, Vec<Vec<u8>>); 3] {
    [("archive", archives()), ("manifests", manifests()), ("units", choices(4096, 32))]
}

/// Returns the words of manifests, as a dictionary of libFuzzer's.
pub fn dictionary() -> String {
    let text: Vec<u8> = manifests().concat();
    let mut words: Vec<_> = String::from_utf8_lossy(&text).split('"').map(str::to_owned).collect();
    words.retain(|word| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
    words.sort();
    words.dedup();
    words.iter().map(|word| format!("\"{word}\"\n\"\\\"{word}\\\"\"\n")).collect()
}

/// Returns bytes that mean nothing but choices, always the same.
fn choices(length: usize, count: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(0);
    (1..=count).map(|part| (0..length * part / count).map(|_| rng.u8(..)).collect()).collect()
}

fn archives() -> Vec<Vec<u8>> {
    let everything = Tar::image()
        .pax(&[("mtime", b"-1.25"), ("SCHILY.xattr.user.a", b"\n=\0"), ("comment", b"x")])
        .file("rootfs/a", b"content")
        .hard_link("rootfs/b", "rootfs/a")
        .symlink("rootfs/l", "../../canary")
        .special("rootfs/null", b'3', 1, 3)
        .special("rootfs/fifo", b'6', 0, 0)
        .entry(b"l", b'L', b"rootfs/name/that/is/long\0", |_| {})
        .file("x", b"")
        .directory("rootfs/late/", 0o1777)
        .end();
    let hostile = [
        Tar::image().symlink("rootfs/l", "../../canary.d").file("rootfs/l/x", b"evil"),
        Tar::image().hard_link("rootfs/h", "../canary"),
        Tar::image().symlink("rootfs/l", "../..").hard_link("rootfs/h", "rootfs/l/canary"),
        Tar::image().file("rootfs/a", b"kept").hard_link("rootfs/h", "rootfs/a").file("rootfs/h", b"evil"),
        Tar::image().symlink("rootfs/l", "..").directory("rootfs/l", 0o777),
        Tar::image().pax(&[("size", b"3"), ("path", b"rootfs/../x")]).file("rootfs/a", b"abc"),
        Tar::image().entry(b"rootfs/s", b'S', b"", |_| {}),
        Tar::default().symlink("rootfs", "/"),
    ];
    let tagged = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
    let mut all = vec![tagged(STREAM, &everything)];
    all.extend(hostile.into_iter().map(|tar| tagged(STREAM, &tar.end())));
    all.push(tagged(FILE, &everything));
    all.extend(compressed(&everything).iter().map(|file| tagged(FILE, file)));
    all.extend(choices(1024, 16));
    all
}

/// Compresses in each format, and in two members.
fn compressed(stream: &[u8]) -> Vec<Vec<u8>> {
    let in_parts = |compress: &dyn Fn(&[u8]) -> Vec<u8>| {
        let (first, second) = stream.split_at(stream.len() / 2);
        [compress(stream), [compress(first), compress(second)].concat()]
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bzip2 = |bytes: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let xz = |bytes: &[u8]| {
        let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    [in_parts(&gzip), in_parts(&bzip2), in_parts(&xz), in_parts(&zstd)].concat()
}

fn manifests() -> Vec<Vec<u8>> {
    let id = |digit: &str| format!("sha256-{}", digit.repeat(64));
    let together = |pod: &Value, images: &[&Value]| {
        let all: Vec<_> = [pod].iter().chain(images).map(|manifest| manifest.to_string()).collect();
        all.join("\0").into_bytes()
    };
    let (image, image_0_1) = (image(), image_0_1());
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11",
        "apps": [
            {"name": "a", "image": {"id": id("1")}, "readOnlyRootFS": true,
             "mounts": [{"volume": "v", "path": "/w"}],
             "annotations": [{"name": "gantry/restart", "value": "on-failure"}]},
            {"name": "b", "image": {"id": id("2")}, "app": {"exec": ["x"], "user": "root", "group": "0"}}],
        "volumes": [{"name": "v", "kind": "empty", "mode": "0700", "uid": 1, "gid": 2}],
        "isolators": [{"name": "resource/memory", "value": {"limit": "1Gi"}}],
        "annotations": [{"name": "gantry/stop-timeout", "value": "5"}],
        "ports": [{"name": "web", "hostPort": 8080}]});
    let runtime = json!({"acKind": "ContainerRuntimeManifest", "acVersion": "0.1.1",
        "uuid": "6733c088-a507-4694-aabf-ae0bc1ccaaff",
        "apps": [{"name": "a", "imageID": id("1"), "isolators": [], "annotations": {}}],
        "volumes": [{"kind": "host", "source": "/srv", "readOnly": true, "recursive": false,
            "fulfills": ["v"]}]});
    vec![
        together(&pod, &[&image, &image_0_1]),
        together(&runtime, &[&image_0_1]),
        together(&runtime, &[&image]),
        together(
            &json!(null),
            &[&json!({"acKind": "ImageManifest", "acVersion": "1.0.0", "name": "x",
            "dependencies": [{"imageName": "y"}], "pathWhitelist": ["/x"]})],
        ),
    ]
}

fn image() -> Value {
    let set = |name: &str, set: &[&str]| json!({"name": format!("os/linux/{name}"), "value": {"set": set}});
    json!({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a",
        "labels": [{"name": "os", "value": "linux"}],
        "app": {
            "exec": ["/bin/sh", "-c", "é\n"], "user": "7", "group": "/etc/x", "supplementaryGIDs": [1, 2],
            "workingDirectory": "/w", "environment": [{"name": "A", "value": "b"}],
            "eventHandlers": [{"name": "pre-start", "exec": ["a"]}, {"name": "post-stop", "exec": ["b"]}],
            "mountPoints": [{"name": "v", "path": "/v", "readOnly": true}],
            "ports": [{"name": "web", "protocol": "tcp", "port": 80, "count": 1, "socketActivated": true}],
            "isolators": [
                set("capabilities-retain-set", &["CAP_KILL"]), set("seccomp-remove-set", &["mount"]),
                {"name": "os/linux/no-new-privileges", "value": true},
                {"name": "os/linux/oom-score-adj", "value": 100}, {"name": "os/linux/cpu-shares", "value": 512},
                {"name": "resource/cpu", "value": {"limit": "500m", "request": "100m"}}]},
        "annotations": [{"name": "authors", "value": "x"}]})
}

fn image_0_1() -> Value {
    json!({"acKind": "ImageManifest", "acVersion": "0.1.1", "name": "example.com/b",
        "labels": [{"name": "os", "val": "linux"}],
        "app": {"exec": ["/a"], "user": "root", "group": "0", "environment": {"A": "b"},
            "mountPoints": [{"name": "v", "path": "/v"}],
            "isolators": [{"name": "memory/limit", "val": "1G"}, {"name": "cpu/shares", "val": "2"},
                {"name": "capabilities/bounding-set", "val": "CAP_KILL CAP_CHOWN"}]},
        "annotations": {"Created": "x"}})
}
