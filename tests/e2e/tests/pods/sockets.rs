// SPDX-License-Identifier: Apache-2.0
//! Socket activation, with real clients.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::Gantry;
use testing::program;
use testing::rootfs::{Node, Rootfs};

fn rootfs() -> Rootfs {
    Rootfs::default().with("socket-echo", Node::File(0o755, fs::read(program("socket-echo")).unwrap()))
}

/// Returns a port that is free, and so is the next one.
fn free_tcp_ports() -> u16 {
    loop {
        let first = TcpListener::bind("[::]:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("::", port + 1)).is_ok() {
            return port;
        }
    }
}

fn image(name: &str, protocols: &[&str], ports: Value) -> Value {
    let mut exec = vec!["/socket-echo"];
    exec.extend(protocols);
    let mut image = manifest(name, &exec);
    image["app"]["ports"] = ports;
    image
}

fn port(name: &str, protocol: &str, port: u16, count: u16) -> Value {
    json!({"name": name, "protocol": protocol, "port": port, "count": count, "socketActivated": true})
}

/// Returns the answer to a TCP client. The socket listens before the pod runs, so the client waits for nothing but the
/// answer.
fn ask_tcp(host: &str, port: u16) -> String {
    let mut connection = TcpStream::connect((host, port)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn ask_udp(host: &str, port: u16) -> String {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.send_to(b"?", (host, port)).unwrap();
    let mut answer = [0; 100];
    let (count, _) = socket.recv_from(&mut answer).unwrap();
    String::from_utf8(answer[..count].to_vec()).unwrap()
}

#[root_test]
fn clients_reach_the_right_socket_of_the_right_app() {
    let gantry = Gantry::new();
    let (web, other) = (free_tcp_ports(), free_tcp_ports());
    let dns = UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let one =
        image("one", &["tcp", "tcp", "udp"], json!([port("web", "tcp", web, 2), port("dns", "udp", dns, 1)]));
    let two = image("two", &["tcp"], json!([port("web", "tcp", other, 1)]));
    let (one, two) = (gantry.image("one", &rootfs(), &one), gantry.image("two", &rootfs(), &two));
    let pod = gantry.prepare(&[&one, &two], &[]);
    // A second start finds the ports free again.
    for _ in 0..2 {
        let running = gantry.start(&pod);
        while TcpStream::connect(("127.0.0.1", web)).is_err() {
            std::thread::yield_now();
        }
        for host in ["127.0.0.1", "::1"] {
            assert_eq!(ask_tcp(host, web), "one web\n");
            assert_eq!(ask_tcp(host, web + 1), "one web\n");
            assert_eq!(ask_tcp(host, other), "two web\n");
            assert_eq!(ask_udp(host, dns), "one dns\n");
        }
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait().0, 0);
        assert!(TcpStream::connect(("127.0.0.1", web)).is_err(), "nobody listens any more");
    }
}

#[root_test]
fn a_port_of_the_pod_says_where_on_the_host() {
    let gantry = Gantry::new();
    let on_host = free_tcp_ports();
    let image =
        gantry.image("moved", &rootfs(), &image("moved", &["tcp"], json!([port("web", "tcp", 80, 1)])));
    let pod = json!({
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "moved", "image": {"id": testing::pods::image_id(&image)}}],
        "ports": [{"name": "web", "hostPort": on_host}],
    });
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    let pod = gantry.prepare(&[&image], &["--pod-manifest", path.to_str().unwrap()]);
    let running = gantry.start(&pod);
    while TcpStream::connect(("127.0.0.1", on_host)).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(ask_tcp("127.0.0.1", on_host), "moved web\n");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().0, 0);
}

#[root_test]
fn a_port_that_is_taken_is_named_and_nothing_is_left() {
    let gantry = Gantry::new();
    let holder = TcpListener::bind("[::]:0").unwrap();
    let taken = holder.local_addr().unwrap().port();
    let image =
        gantry.image("taken", &rootfs(), &image("taken", &["tcp"], json!([port("web", "tcp", taken, 1)])));
    let pod = gantry.prepare(&[&image], &[]);
    let (code, output) = gantry.start(&pod).wait();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code, 3, "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        error.starts_with(&format!(
            "error: port web: cannot listen on tcp {taken}: Address in use (os error 98)"
        )),
        "{error}"
    );
    drop(holder);
    let running = gantry.start(&pod);
    while TcpStream::connect(("127.0.0.1", taken)).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(ask_tcp("127.0.0.1", taken), "taken web\n");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().0, 0);
}
