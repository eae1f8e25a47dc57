// SPDX-License-Identifier: Apache-2.0
//! Networks of the host's own making, with the plugins of Debian's package containernetworking-plugins.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testing::image::script;
use testing::packages;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::Rootfs;

use super::names::attendants;
use crate::living::wait_until;

const SERVER: &str = "echo ready; while true; do echo from-the-pod | nc -l -p 80; done";

/// A host with a network called `web`: point to point, with addresses of a file's.
struct Host {
    gantry: Gantry,
    image: PathBuf,
}

impl Host {
    fn new() -> Self {
        let gantry = Gantry::new();
        let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", SERVER));
        let host = Self { gantry, image };
        let plugins = host.plugins();
        fs::create_dir(&plugins).unwrap();
        packages::programs("containernetworking-plugins", Path::new("usr/lib/cni"), &plugins).unwrap();
        fs::create_dir(host.networks()).unwrap();
        host.write("web", &[host.ptp()]);
        host
    }

    fn plugins(&self) -> PathBuf {
        self.gantry.beside("plugins")
    }

    fn networks(&self) -> PathBuf {
        self.gantry.beside("networks")
    }

    fn ptp(&self) -> Value {
        json!({"type": "ptp", "ipam": {
            "type": "host-local", "dataDir": self.gantry.beside("leases"), "subnet": "10.99.0.0/24",
            "routes": [{"dst": "0.0.0.0/0"}],
        }})
    }

    fn write(&self, name: &str, plugins: &[Value]) {
        let list = json!({"cniVersion": "0.4.0", "name": name, "plugins": plugins});
        fs::write(self.networks().join(format!("{name}.conflist")), list.to_string()).unwrap();
    }

    /// Returns the addresses that pods have been given.
    fn leases(&self) -> Vec<String> {
        let files = fs::read_dir(self.gantry.beside("leases/web")).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("10.")).collect()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.gantry.installer();
        command.env("GANTRY_CNI_NETWORKS", self.networks()).env("CNI_PATH", self.plugins()).args(words);
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Starts the server in the background.
    fn start(&self, network: &str) -> Output {
        self.output(&["run", "-d", "--name", "web", "--net", network, self.image.to_str().unwrap()])
    }

    fn attendant(&self) -> i32 {
        *attendants(&self.gantry).first().expect("the pod has an attendant")
    }
}

#[root_test]
fn plugins_connect_a_pod_and_take_that_back_at_its_end() {
    let host = Host::new();
    let started = host.start("cni:web");
    assert!(started.status.success(), "{}", text(&started.stderr));
    let status: Value = serde_json::from_str(&host.said(&["status", "--format", "json", "web"])).unwrap();
    assert_eq!((&status["network"], &status["addresses"]), (&json!("cni:web"), &json!(["10.99.0.2"])));
    assert_eq!(super::ask_until_it_answers("10.99.0.2:80"), "from-the-pod\n");
    assert_eq!(host.leases(), ["10.99.0.2"]);
    let pod = host.gantry.pod();
    assert!(pod.join("cni").exists());
    host.said(&["stop", "web"]);
    wait_until("its address is free", || host.leases().is_empty() && !pod.join("cni").exists());
    // And once more: the same pod.
    host.said(&["start", "web"]);
    assert_eq!(super::ask_until_it_answers("10.99.0.3:80"), "from-the-pod\n", "the next address");
    host.said(&["stop", "web"]);
    host.said(&["rm", "web"]);
    assert_eq!(host.leases(), Vec::<String>::new(), "rm waits for the plugins");
}

#[root_test]
fn what_plugins_say_about_names_is_the_pods_unless_the_user_says_otherwise() {
    let host = Host::new();
    let mut ptp = host.ptp();
    ptp["dns"] = json!({"nameservers": ["10.99.0.53"], "search": ["web.example"], "options": ["ndots:2"]});
    host.write("named", &[ptp]);
    let image =
        host.gantry.image("shows", &Rootfs::busybox().unwrap(), &script("shows", "cat /etc/resolv.conf"));
    let image = image.to_str().unwrap();
    let of_plugins = "nameserver 10.99.0.53\nsearch web.example\noptions ndots:2\n";
    assert_eq!(host.said(&["run", "--net", "cni:named", image]), of_plugins);
    let said = host.said(&["run", "--net", "cni:named", "--dns", "192.0.2.9", image]);
    assert!(said.contains("nameserver 192.0.2.9\n") && !said.contains("10.99.0.53"), "{said}");
}

#[root_test]
fn what_a_killed_attendant_has_not_taken_back_the_next_gc_does() {
    let host = Host::new();
    for command in [&["gc", "--grace", "1d"][..], &["rm", "web"]] {
        let started = host.start("cni:web");
        assert!(started.status.success(), "{}", text(&started.stderr));
        kill(Pid::from_raw(host.attendant()), Signal::SIGKILL).unwrap();
        host.said(&["stop", "--force", "web"]);
        assert_eq!(host.leases().len(), 1, "nobody was there to give it back");
        host.said(command);
        assert_eq!(host.leases(), Vec::<String>::new(), "{command:?}");
        let _ = host.output(&["rm", "web"]);
    }
    // The next start, too, takes back what the last one left.
    let started = host.start("cni:web");
    assert!(started.status.success(), "{}", text(&started.stderr));
    kill(Pid::from_raw(host.attendant()), Signal::SIGKILL).unwrap();
    host.said(&["stop", "--force", "web"]);
    host.said(&["start", "web"]);
    assert_eq!(host.leases().len(), 1);
    host.said(&["stop", "web"]);
    host.said(&["rm", "web"]);
    assert_eq!(host.leases(), Vec::<String>::new());
}

#[root_test]
fn networks_that_cannot_be_used_are_refused_in_one_line() {
    let host = Host::new();
    let refused = |network: &str, words: &[&str]| {
        let output = host.start(network);
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.lines().count() == 1, "{network}: {error}");
        assert_says(&error, words);
    };
    refused("cni:other", &["unknown CNI network other", "which has: \"web\""]);
    assert_eq!(host.gantry.pods(), Vec::<PathBuf>::new(), "it is known at prepare");
    fs::set_permissions(host.networks().join("web.conflist"), fs::Permissions::from_mode(0o666)).unwrap();
    refused("cni:web", &["unknown CNI network web", "others than its owner can write there"]);

    fs::set_permissions(host.networks().join("web.conflist"), fs::Permissions::from_mode(0o644)).unwrap();

    let fails = host.plugins().join("fails");
    let script =
        "#!/bin/sh\ntest $CNI_COMMAND = ADD || exit 0\necho '{\"code\": 7, \"msg\": \"no luck\"}'; exit 1\n";
    fs::write(&fails, script).unwrap();
    fs::set_permissions(&fails, fs::Permissions::from_mode(0o777)).unwrap();
    host.write("web", &[host.ptp(), json!({"type": "fails"})]);
    refused("cni:web", &["CNI network web", "plugins/fails", "others than its owner can write there"]);
    host.write("other", &[json!({"type": "missing"})]);
    refused("cni:other", &["no plugin \"missing\""]);
    assert_eq!(host.gantry.pods(), Vec::<PathBuf>::new());

    // What only shows when the plugins are asked: the pod does not start, and nothing stays.
    fs::set_permissions(&fails, fs::Permissions::from_mode(0o755)).unwrap();
    refused("cni:web", &["does not run", "CNI network web", "no luck"]);
    wait_until("its address is free", || host.leases().is_empty());
    host.said(&["rm", "web"]);
}

#[root_test]
fn published_ports_are_for_plugins_that_can() {
    let host = Host::new();
    let words = ["run", "-d", "--name", "web", "--net", "cni:web", "-p", "8080:80"];
    let output = host.command(&words).arg(&host.image).output().unwrap();
    assert_says(&text(&output.stderr), &["CNI network web publishes no ports", "portMappings"]);
    assert_eq!(host.gantry.pods(), Vec::<PathBuf>::new());
    // One that shows what it was given.
    let plugin = host.plugins().join("shows");
    let given = host.gantry.beside("given");
    let script = format!(
        "#!/bin/sh\nread line; test $CNI_COMMAND = DEL || echo \"$line\" >{}\necho '{{\"cniVersion\": \"0.4.0\"}}'\n",
        given.display()
    );
    fs::write(&plugin, script).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    host.write("web", &[host.ptp(), json!({"type": "shows", "capabilities": {"portMappings": true}})]);
    let output = host.command(&words).arg(&host.image).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // The shell's `read` takes what has no newline, too.
    let given: Value = serde_json::from_str(&fs::read_to_string(given).unwrap()).unwrap();
    let mappings = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    assert_eq!(given["runtimeConfig"]["portMappings"], mappings);
    assert_eq!(given["prevResult"]["ips"][0]["address"], "10.99.0.2/24");
    TcpListener::bind("0.0.0.0:8080").unwrap();
    host.said(&["stop", "web"]);
    host.said(&["rm", "web"]);
}

#[root_test]
fn a_pod_that_is_started_directly_has_nobody_to_connect_it() {
    let host = Host::new();
    let words = ["prepare", "--net", "cni:web", host.image.to_str().unwrap()];
    let pod = host.said(&words);
    let output = Command::new("./stage1/init").current_dir(pod.trim_end()).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(3), 1), "{error}");
    assert_says(&error, &["nothing connects the pod to web", "gantry run or start"]);
}
