// SPDX-License-Identifier: Apache-2.0
//! A real server from Debian's packages, dynamically linked, with a user of its own, and a real client.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::json;
use testing::image::manifest;
use testing::pods::{Gantry, status};
use testing::rootfs::Rootfs;

/// Returns a port that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a command in the inline form of redis' protocol, and returns the answer's first line.
fn ask(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[root_test]
fn redis_serves_a_client_and_stops_in_order() {
    let port = free_port();
    let exec = [
        "redis-server",
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
        "--dir",
        "/var/lib/redis",
        "--appendonly",
        "yes",
    ];
    let mut image = manifest("redis", &exec);
    image["app"]["user"] = json!("redis");
    image["app"]["group"] = json!("redis");
    let gantry = Gantry::new();
    let image = gantry.image("redis", &Rootfs::redis().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &["-p", &format!("127.0.0.1:{port}:6379")]);
    for expected in ["$-1", "$5"] {
        let mut running = gantry.start(&pod);
        running.wait_for("Ready to accept connections");
        assert_eq!(ask(port, "PING"), "+PONG");
        assert_eq!(ask(port, "GET greeting"), expected, "what was stored is there at the second start");
        assert_eq!(ask(port, "SET greeting hello"), "+OK");
        running.signal(Signal::SIGTERM);
        let (code, output) = running.wait();
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Redis is now ready to exit"), "{said}");
        assert_eq!(status(&pod, "redis"), 0);
    }
}
