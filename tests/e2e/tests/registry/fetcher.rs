// SPDX-License-Identifier: Apache-2.0
//! The process that speaks to registries has no rights, and ends with the installer, however that ends.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::thread;

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testing::pods::{Gantry, text};

/// A registry that takes a connection and never answers, and an installer that waits for it.
struct Waiting {
    _gantry: Gantry,
    installer: Child,
    fetcher: u32,
    _connection: std::net::TcpStream,
}

impl Waiting {
    fn new() -> Self {
        let gantry = Gantry::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = gantry.installer();
        command.args(["image", "pull", &format!("localhost:{port}/a/b:1")]).stderr(Stdio::piped());
        let installer = command.spawn().unwrap();
        let (connection, _) = listener.accept().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", installer.id());
        let fetcher = fs::read_to_string(children).unwrap().trim().parse().expect("one child");
        Self { _gantry: gantry, installer, fetcher, _connection: connection }
    }

    /// Ends the installer by a signal, checks that the fetcher ends, and returns what the installer says.
    fn end(mut self, signal: Signal) -> String {
        kill(Pid::from_raw(self.installer.id().try_into().unwrap()), signal).unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.installer.stderr.take().unwrap(), &mut said).unwrap();
        self.installer.wait().unwrap();
        while is_fetcher(self.fetcher) {
            thread::yield_now();
        }
        said
    }
}

fn is_fetcher(process: u32) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|words| words.starts_with(b"gantry-fetch"))
}

#[root_test]
fn it_has_no_rights() {
    let waiting = Waiting::new();
    assert!(is_fetcher(waiting.fetcher));
    let place = |name: &str| format!("/proc/{}/{name}", waiting.fetcher);
    let status = fs::read_to_string(place("status")).unwrap();
    let status: BTreeMap<_, _> = status.lines().filter_map(|line| line.split_once(":\t")).collect();
    let nobody = "65534\t65534\t65534\t65534";
    for (field, expected) in [
        ("Uid", nobody),
        ("Gid", nobody),
        ("Groups", " "),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(status.get(field), Some(&expected), "{field}");
    }
    for entry in fs::read_dir(place("fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        let is_harmless = target.starts_with("/dev/null") || target.to_string_lossy().starts_with("socket:");
        assert!(is_harmless, "{}", target.display());
    }
    waiting.end(Signal::SIGTERM);
}

#[root_test]
fn it_ends_with_the_installer() {
    assert_eq!(Waiting::new().end(Signal::SIGINT), "interrupted\n");
    assert_eq!(Waiting::new().end(Signal::SIGKILL), "");
    // If it is killed itself, that is an error of one line.
    let waiting = Waiting::new();
    kill(Pid::from_raw(waiting.fetcher.try_into().unwrap()), Signal::SIGKILL).unwrap();
    let output = waiting.installer.wait_with_output().unwrap();
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("the process that speaks to registries has ended"), "{error}");
}
