// SPDX-License-Identifier: Apache-2.0
//! Callers whose stdout and stderr are sockets, as those of a unit whose output goes to the journal.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread;

use gate::root_test;
use nix::sys::signal::{Signal::SIGTERM, kill};
use nix::unistd::Pid;
use serde_json::json;
use testing::image::with_handler;
use testing::pods::Gantry;
use testing::rootfs::{Node, Rootfs};

use super::roots;

fn start(gantry: &Gantry, manifest: &serde_json::Value, out: UnixStream, error: UnixStream) -> Child {
    let tree = Rootfs::busybox().unwrap().with("log", Node::Link("/dev/stdout".into()));
    let image = gantry.image("field", &tree, manifest);
    let mut command = gantry.with_images("run", &[&image], &["--rm"]);
    command.stdout(OwnedFd::from(out)).stderr(OwnedFd::from(error)).spawn().unwrap()
}

fn read(mut stream: UnixStream) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    })
}

#[root_test]
fn an_app_opens_dev_stdout_and_dev_stderr_where_they_are_sockets() {
    for user in ["0", "1000"] {
        let gantry = Gantry::new();
        let mut image = roots("echo out > /dev/stdout; echo err > /dev/stderr; echo log >> /log; echo more");
        image["app"]["user"] = json!(user);
        let image = with_handler(image, "post-stop", "echo after > /dev/stdout; echo after >&2");
        let ((out, to_out), (error, to_error)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let mut child = start(&gantry, &image, to_out, to_error);
        let (out, error) = (read(out), read(error));
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let said = |all: thread::JoinHandle<Vec<u8>>| String::from_utf8(all.join().unwrap()).unwrap();
        assert_eq!((said(out).as_str(), said(error).as_str()), ("out\nlog\nmore\nafter\n", "err\nafter\n"));
        gantry.wait_all();
    }
}

/// One socket for both, as systemd has it: what is written to one and the other stays in order.
#[root_test]
fn what_goes_to_one_socket_stays_in_order() {
    let gantry = Gantry::new();
    let image = roots("i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done");
    let (all, to_all) = UnixStream::pair().unwrap();
    let mut child = start(&gantry, &image, to_all.try_clone().unwrap(), to_all);
    let all = read(all);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let expected: String = (0..500).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(all.join().unwrap()).unwrap(), expected);
    gantry.wait_all();
}

/// The reader begins when the app has long ended, and the socket has no room for what it has written.
#[root_test]
fn nothing_is_lost_however_late_the_socket_is_read() {
    let gantry = Gantry::new();
    let lines = 60_000;
    let write =
        format!("i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); done; echo ended >&2; exit 7");
    let ((out, to_out), (mut error, to_error)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let mut child = start(&gantry, &roots(&write), to_out, to_error);
    let mut first = vec![0; 100_000];
    let mut stream = out.try_clone().unwrap();
    stream.read_exact(&mut first).unwrap();
    let rest = read(out);
    error.read_exact(&mut [0; 6]).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let all = [first, rest.join().unwrap()].concat();
    let expected: String = (0..lines).map(|number| format!("line {number}\n")).collect();
    assert!(all == expected.into_bytes());
    gantry.wait_all();
}

/// An app that fills the socket can be stopped, and a reader that goes ends it as with any other pipe.
#[root_test]
fn an_app_that_nobody_reads_is_stopped_and_one_without_a_reader_ends() {
    let gantry = Gantry::new();
    let (out, to_out) = UnixStream::pair().unwrap();
    let mut child =
        start(&gantry, &roots("while :; do echo 0123456789; done"), to_out.try_clone().unwrap(), to_out);
    let mut stream = out.try_clone().unwrap();
    stream.read_exact(&mut [0; 11]).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), SIGTERM).unwrap();
    let rest = read(out);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(stream);
    assert!(rest.join().unwrap().ends_with(b"\n"));
    gantry.wait_all();
    let (mut out, to_out) = UnixStream::pair().unwrap();
    let mut child =
        start(&gantry, &roots("while :; do echo 0123456789; done"), to_out.try_clone().unwrap(), to_out);
    out.read_exact(&mut [0; 11]).unwrap();
    let _ = out.write_all(b"");
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(141));
    gantry.wait_all();
}
