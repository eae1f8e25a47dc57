// SPDX-License-Identifier: Apache-2.0
//! Networks of pods: published ports, names, and what a pod does not reach.

mod cni;
mod foreign;
mod names;
mod seen;
mod servers;

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use gate::root_test;
use nix::sys::signal::Signal;
use testing::image::script;
use testing::pods::{Gantry, Running, assert_says, text, wait_gone};
use testing::rootfs::Rootfs;

/// A server that says one line to each client.
const SERVER: &str = "echo ready; while true; do echo from-the-pod | nc -l -p 80; done";

/// Starts a pod that runs a script, with more options.
fn start(gantry: &Gantry, words: &str, options: &[&str]) -> (std::path::PathBuf, Running) {
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", words));
    let pod = gantry.prepare(&[&image], options);
    let running = gantry.start(&pod);
    (pod, running)
}

/// Runs a script in a pod to its end, and returns what it has said.
fn said(words: &str, options: &[&str]) -> String {
    let gantry = Gantry::new();
    let (code, output) = start(&gantry, words, options).1.wait();
    assert_eq!((code, text(&output.stderr).as_str()), (0, ""));
    text(&output.stdout)
}

fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// Asks until the server listens: it does not while it serves another client.
fn ask_until_it_answers(address: &str) -> String {
    let start = Instant::now();
    loop {
        match ask(address) {
            Ok(said) if !said.is_empty() => return said,
            other => assert!(start.elapsed() < Duration::from_secs(20), "{address}: {other:?}"),
        }
        thread::yield_now();
    }
}

/// Returns the links of pods on this thread's host.
fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name.starts_with("gantry")).collect()
}

fn wait_without_links() {
    let start = Instant::now();
    while !links().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", links());
        thread::yield_now();
    }
}

#[root_test]
fn a_published_port_is_reached_and_goes_with_the_pod() {
    let gantry = Gantry::new();
    let (pod, mut running) = start(&gantry, SERVER, &["-p", "8080:80", "-p", "[::1]:8081:80"]);
    running.wait_for("ready");
    for address in ["127.0.0.1:8080", "[::1]:8080", "[::1]:8081"] {
        assert_eq!(ask_until_it_answers(address), "from-the-pod\n", "{address}");
    }
    assert!(TcpStream::connect("127.0.0.1:8081").is_err());
    assert_eq!(links().len(), 1);
    running.signal(Signal::SIGTERM);
    running.wait();
    wait_gone(&pod);
    wait_without_links();
    TcpListener::bind("0.0.0.0:8080").unwrap();
}

#[root_test]
fn nothing_is_left_of_a_pod_that_is_killed() {
    let gantry = Gantry::new();
    let (pod, mut running) = start(&gantry, SERVER, &["-p", "8080:80"]);
    running.wait_for("ready");
    running.signal(Signal::SIGKILL);
    wait_gone(&pod);
    wait_without_links();
    TcpListener::bind("0.0.0.0:8080").unwrap();
}

#[root_test]
fn the_ports_of_a_pod_that_has_just_ended_are_the_next_ones() {
    let gantry = Gantry::new();
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", "true"));
    for _ in 0..8 {
        // No wait for what is left of the pod before.
        let mut run = gantry.with_images("run", &[&image], &["-p", "8080:80", "-p", "8080:80/udp"]);
        let output = run.output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    }
    gantry.wait_all();
}

#[root_test]
fn a_port_that_is_taken_is_an_error_with_code_3() {
    let gantry = Gantry::new();
    let _taken = TcpListener::bind("127.0.0.1:8080").unwrap();
    let (_, running) = start(&gantry, "echo started", &["-p", "8080:80"]);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (3, ""));
    let message = text(&output.stderr);
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_says(&message, &["port 8080/tcp of the host is taken by process", "expected a free one"]);
    assert_eq!(links(), Vec::<String>::new());
}

#[root_test]
fn names_of_the_pod_and_of_the_host_resolve() {
    let options = [
        "--dns",
        "192.0.2.53",
        "--dns-search",
        "a.example",
        "--add-host",
        "db=192.0.2.7",
        "--hostname",
        "web",
    ];
    let all = said("cat /etc/hosts /etc/resolv.conf; ip -4 addr show eth0; id -u", &options);
    assert_says(
        &all,
        &[
            "192.0.2.7 db\n",
            "169.254.77.1 host.gantry.internal\n",
            "nameserver 192.0.2.53\n",
            "search a.example\n",
        ],
    );
    let own = all.lines().find_map(|line| line.strip_suffix(" web")).unwrap();
    assert!(all.contains(&format!("inet {own}/32")), "{all}");
}

#[root_test]
fn a_pod_reaches_neither_the_hosts_loopback_nor_its_abstract_sockets() {
    let _tcp = TcpListener::bind("127.0.0.1:9000").unwrap();
    let _abstract =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name("gantry-secret").unwrap()).unwrap();
    let words = "nc -w 1 127.0.0.1 9000 </dev/null 2>/dev/null && echo through; \
                 nc -w 1 host.gantry.internal 9000 </dev/null 2>/dev/null && echo through; \
                 grep gantry-secret /proc/net/unix && echo through; echo done";
    assert_eq!(said(words, &[]), "done\n");
    let with_host = Gantry::new();
    let (_, running) =
        start(&with_host, "grep -c gantry-secret /proc/net/unix", &["--net", "host", "--user", "0:0"]);
    let (code, output) = running.wait();
    assert_eq!((code, text(&output.stdout).as_str()), (0, "1\n"), "a control");
    assert_says(&text(&output.stderr), &["warning: app app is root in the host's network"]);
}

#[root_test]
fn every_user_of_a_pod_may_listen_at_low_ports() {
    for net in ["private", "none"] {
        let words = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /sys/class/net";
        let links = if net == "none" { "lo\n" } else { "eth0\nlo\n" };
        assert_eq!(said(words, &["--net", net]), format!("0\n{links}"), "{net}");
    }
}

#[root_test]
fn two_pods_have_the_same_port() {
    let gantry = Gantry::new();
    let (_, mut one) = start(&gantry, SERVER, &["-p", "8080:80"]);
    let (_, mut other) = start(&gantry, SERVER, &["-p", "8081:80"]);
    for running in [&mut one, &mut other] {
        running.wait_for("ready");
    }
    for address in ["127.0.0.1:8080", "127.0.0.1:8081"] {
        ask_until_it_answers(address);
    }
    for running in [one, other] {
        running.signal(Signal::SIGTERM);
        running.wait();
    }
    wait_without_links();
}

#[root_test]
fn bad_options_are_refused_before_anything_is_prepared() {
    let gantry = Gantry::new();
    let image = gantry.image("app", &Rootfs::busybox().unwrap(), &script("app", "true"));
    let refused = |options: &[&str]| {
        let output = gantry.with_images("prepare", &[Path::new(&image)], options).output().unwrap();
        assert!(!output.status.success(), "{options:?}");
        text(&output.stderr)
    };
    assert_says(&refused(&["-p", "80"]), &["expected [ADDRESS:]HOST:POD[/udp]"]);
    assert_says(&refused(&["-p", "80:80", "-p", "127.0.0.1:80:81"]), &["have a port of the host in common"]);
    assert_says(
        &refused(&["--net", "bridge"]),
        &["unknown network \"bridge\": expected private, none, host or cni:NAME"],
    );
    assert_says(&refused(&["--net", "none", "-p", "80:80"]), &["expected --net=private, to publish ports"]);
    assert_says(
        &refused(&["--net", "host", "--net-alias", "web"]),
        &["expected --net=private, to be reached by other pods"],
    );
    assert_says(&refused(&["--dns", "dns.example"]), &["dns.example"]);
    assert_eq!(gantry.pods(), Vec::<std::path::PathBuf>::new());
}
