// SPDX-License-Identifier: Apache-2.0
//! Names in pods: an image's own hosts file, and pods that find each other by their aliases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use testing::image::script;
use testing::pods::{Gantry, assert_says, image_id, text, wait_gone};
use testing::rootfs::{Node, Rootfs};

use super::start;
use crate::living::{said, wait_until};

/// What an image's authors may have written: neither the pod's name nor all of loopback's.
const OWN: &str = "127.0.0.1 localhost\n192.0.2.7 db # theirs";

#[root_test]
fn an_images_own_hosts_file_is_kept_and_the_pods_name_resolves() {
    let gantry = Gantry::new();
    let tree = Rootfs::busybox().unwrap().with("etc/hosts", Node::File(0o644, OWN.into()));
    let mut own = script("app", "cat /etc/hosts; echo x >>/etc/hosts");
    own["app"]["user"] = serde_json::json!("0");
    let image = gantry.image("app", &tree, &own);
    for layout in ["overlay", "copy"] {
        let pod = gantry.prepare(&[&image], &["--hostname", "web", "--layout", layout]);
        for _ in 0..2 {
            let (_, output) = gantry.start(&pod).wait();
            let hosts = text(&output.stdout);
            assert!(hosts.starts_with(&format!("{OWN}\n")), "{layout}: {hosts}");
            assert_says(&hosts, &[" web\n", " host.gantry.internal\n", "::1 ip6-localhost"]);
            assert_eq!(hosts.matches(" web\n").count(), 2, "once for each protocol: {hosts}");
        }
    }
    let pod = gantry.prepare(&[&image], &["--hosts", "none"]);
    assert_eq!(text(&gantry.start(&pod).wait().1.stdout), OWN, "as it is");
    let pod = gantry.prepare(&[&image], &["--hosts", "none"]);
    gantry.start(&pod).wait();
    assert_eq!(text(&gantry.start(&pod).wait().1.stdout), format!("{OWN}x\n"), "it is the app's to write");
}

/// A server on port 80 that shows its hosts file whenever it is asked to.
const SERVER: &str = "echo ready; exec nc -ll -p 80 -e /bin/cat /etc/hosts";

/// Starts a pod in the background, and returns its address.
fn server(gantry: &Gantry, image: &Path, name: &str, alias: &[&str]) -> String {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(alias.iter().flat_map(|alias| ["--net-alias", alias]));
    words.push(image.to_str().unwrap());
    said(gantry, &words);
    let status: serde_json::Value =
        serde_json::from_str(&said(gantry, &["status", "--format", "json", name])).unwrap();
    status["addresses"][0].as_str().unwrap().to_owned()
}

/// Returns what the pod at an address has in its hosts file, from the first alias on.
fn listed(address: &str) -> Vec<String> {
    let hosts = super::ask_until_it_answers(&format!("{address}:80"));
    let list = hosts.split_once("# Pods of this host").map_or("", |(_, list)| list);
    let list = list.lines().skip(1).filter(|line| !line.contains("::"));
    list.map(str::to_owned).collect()
}

#[root_test]
fn pods_with_aliases_find_and_reach_each_other() {
    let gantry = Gantry::new();
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", SERVER));
    let web = server(&gantry, &image, "web", &["web", "www.example"]);
    assert_eq!(listed(&web), [format!("{web} web www.example")]);
    let other = server(&gantry, &image, "other", &[]);
    assert_eq!(listed(&other), Vec::<String>::new(), "it has asked for nothing");
    // The app asks at once: the names are there before it starts.
    let client = "nc web 80 </dev/null; nc www.example 80 </dev/null | grep -c localhost";
    let (pod, code, output) = client_of(&gantry, client, &["--net-alias", "client"]);
    let seen = text(&output.stdout);
    assert_eq!(code, 0, "{seen}{}", text(&output.stderr));
    assert_says(&seen, &[&format!("{web} web www.example\n"), " client\n"]);
    wait_gone(&pod);
    wait_until("its name is gone", || listed(&web) == [format!("{web} web www.example")]);

    // Without an alias, a pod is not let through, by name or by address.
    let stranger =
        format!("nc -w 1 web 80 </dev/null; nc -w 1 {web} 80 </dev/null && echo through; echo done");
    let (_, code, output) = client_of(&gantry, &stranger, &[]);
    assert_eq!((code, text(&output.stdout).as_str()), (0, "done\n"), "{}", text(&output.stderr));
    for name in ["web", "other"] {
        said(&gantry, &["stop", name]);
    }
    gantry.wait_all();
    wait_until("no attendant is left", || attendants(&gantry).is_empty());
}

/// Runs a pod that asks others to its end, by the command that people use.
fn client_of(gantry: &Gantry, words: &str, options: &[&str]) -> (PathBuf, i32, Output) {
    let image = gantry.image("client", &Rootfs::busybox().unwrap(), &script("client", words));
    let pod = gantry.prepare(&[&image], options);
    let output = gantry.installer().args(["start", "--attach"]).arg(&pod).output().unwrap();
    (pod, output.status.code().unwrap(), output)
}

/// Returns the attendants of networks of this test's pods.
pub(super) fn attendants(gantry: &Gantry) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |process: &i32| {
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words = text(&words);
        words.starts_with("gantry-network\0") && words.contains(gantry.dir().to_str().unwrap())
    };
    numbers.filter(is_it).collect()
}

#[root_test]
fn the_name_of_a_pod_whose_processes_were_all_killed_goes_with_the_next_collection() {
    let gantry = Gantry::new();
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", SERVER));
    let web = server(&gantry, &image, "web", &["web"]);
    let others = attendants(&gantry);
    let db = server(&gantry, &image, "db", &["db"]);
    let both = [format!("{web} web"), format!("{db} db")];
    let mut found = listed(&web);
    found.sort_unstable();
    let mut sorted = both.to_vec();
    sorted.sort_unstable();
    assert_eq!(found, sorted);
    let its: Vec<_> = attendants(&gantry).into_iter().filter(|process| !others.contains(process)).collect();
    assert_eq!(its.len(), 1);
    kill(Pid::from_raw(its[0]), Signal::SIGKILL).unwrap();
    said(&gantry, &["stop", "--force", "db"]);
    found = listed(&web);
    found.sort_unstable();
    assert_eq!(found, sorted, "nobody is there to take it out");
    said(&gantry, &["gc"]);
    assert_eq!(listed(&web), [format!("{web} web")]);
    said(&gantry, &["stop", "web"]);
    gantry.wait_all();
}

#[root_test]
fn a_pod_that_is_started_directly_has_no_names_of_others() {
    let gantry = Gantry::new();
    let (_, running) =
        start(&gantry, "grep -c 'Pods of this host' /etc/hosts; exit 0", &["--net-alias", "web"]);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "0\n"));
}

#[root_test]
fn names_for_other_pods_are_refused_where_no_other_pod_could_reach_it() {
    let gantry = Gantry::new();
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", "exit 0"));
    let annotation = |name: &str, value: &str| json!({"name": name, "value": value});
    for mode in ["none", "host"] {
        let pod = json!({
            "acKind": "PodManifest", "acVersion": "0.8.11",
            "apps": [{"name": "app", "image": {"id": image_id(&image)}}],
            "annotations": [annotation("gantry/net", mode), annotation("gantry/net-alias", "web")],
        });
        let manifest = gantry.beside("pod.json");
        fs::write(&manifest, pod.to_string()).unwrap();
        let options = ["--pod-manifest", manifest.to_str().unwrap()];
        let output = gantry.with_images("prepare", &[&image], &options).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert_says(&error, &["gantry/net-alias", mode, "expected the network private"]);
    }
}
