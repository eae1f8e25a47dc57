// SPDX-License-Identifier: Apache-2.0
//! Real programs in pods with networks of their own: a web server that is published, a resolver that is asked, and a
//! database with its client in another pod.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::json;
use testing::image::{manifest, script};
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::{Node, Rootfs};

const NGINX: &str = "daemon off;\nworker_processes 1;\nerror_log stderr;\npid /tmp/pid;\nevents {}\nhttp {\n\
    access_log off;\nclient_body_temp_path /tmp/a;\nproxy_temp_path /tmp/b;\nfastcgi_temp_path /tmp/c;\n\
    uwsgi_temp_path /tmp/d;\nscgi_temp_path /tmp/e;\n\
    server { listen 80; listen [::]:80; location / { return 200 \"seen from $remote_addr\\n\"; } }\n}\n";

fn get(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[root_test]
fn nginx_is_reached_by_its_published_ports() {
    let gantry = Gantry::new();
    let tree = Rootfs::nginx().unwrap().with("etc/nginx/nginx.conf", Node::File(0o644, NGINX.into()));
    let mut web = manifest("web", &["/usr/sbin/nginx"]);
    web["app"]["user"] = json!("www-data");
    web["app"]["group"] = json!("www-data");
    let image = gantry.image("web", &tree, &web);
    let pod = gantry.prepare(&[&image], &["-p", "8080:80", "-p", "[::1]:8081:80"]);
    let running = gantry.start(&pod);
    let begun = Instant::now();
    for (address, seen) in [
        ("127.0.0.1:8080", "seen from 169.254.77.1\n"),
        ("[::1]:8080", "seen from fd67:616e:7472::1\n"),
        ("[::1]:8081", "seen from fd67:616e:7472::1\n"),
    ] {
        let answer = loop {
            match get(address) {
                Ok(answer) if !answer.is_empty() => break answer,
                other => assert!(begun.elapsed() < Duration::from_secs(30), "{address}: {other:?}"),
            }
            thread::yield_now();
        };
        assert_says(&answer, &["HTTP/1.1 200 OK", seen]);
    }
    assert!(get("127.0.0.1:8081").is_err());
    running.signal(Signal::SIGTERM);
    let (code, output) = running.wait();
    assert_eq!(code, 0, "{}", text(&output.stderr));
}

/// Answers each question about an IPv4 address with 192.0.2.7 (RFC 1035, section 4), and others with nothing.
fn resolve(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut question) {
        let mut answer = question[..length].to_vec();
        // The name ends with an empty label; type and class follow.
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let is_v4 = question[end - 4..end] == [0, 1, 0, 1];
        answer.truncate(end);
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[4..12].copy_from_slice(&[0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
        if is_v4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        let _ = socket.send_to(&answer, client);
    }
}

#[root_test]
fn names_are_asked_of_the_resolver_that_is_given() {
    let resolver = UdpSocket::bind("0.0.0.0:53").unwrap();
    thread::spawn(move || resolve(&resolver));
    let said = super::said(
        "nslookup db.example 2>&1; cat /etc/resolv.conf",
        &["--dns", "169.254.77.1", "--dns-search", "example"],
    );
    assert_says(&said, &["192.0.2.7", "nameserver 169.254.77.1\n", "search example\n"]);
}

#[root_test]
fn a_client_reaches_postgres_in_another_pod_by_its_alias() {
    let gantry = Gantry::new();
    let tree = Rootfs::postgres().unwrap();
    let server = "set -e; PATH=$(echo /usr/lib/postgresql/*/bin):$PATH; cd /var/lib/postgresql; \
                  initdb -D data --locale=C --encoding=UTF8 --no-sync --auth=trust >/dev/null; \
                  echo 'host all all all trust' >>data/pg_hba.conf; \
                  exec postgres -D data -h '*' -k /tmp -c fsync=off -c jit=off";
    let as_postgres = |name: &str, words: &str| {
        let mut manifest = script(name, words);
        manifest["app"]["user"] = json!("postgres");
        manifest["app"]["group"] = json!("postgres");
        manifest
    };
    let server = gantry.image("server", &tree, &as_postgres("server", server));
    let client = "PATH=$(echo /usr/lib/postgresql/*/bin):$PATH; \
                  until psql -h db -d postgres -c 'select 1' >/dev/null 2>&1; do sleep 0.1; done; \
                  psql -h db -d postgres -A -t -c 'create table t (n int); insert into t values (42); select n from t'";
    let client = gantry.image("client", &tree, &as_postgres("client", client));
    let started =
        gantry.with_images("run", &[&server], &["-d", "--name", "db", "--net-alias", "db"]).output().unwrap();
    assert!(started.status.success(), "{}", text(&started.stderr));
    let asked = gantry.with_images("run", &[&client], &["--net-alias", "client"]).output().unwrap();
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    assert_says(&text(&asked.stdout), &["42\n"]);
    let stopped = gantry.installer().args(["stop", "db"]).output().unwrap();
    assert!(stopped.status.success(), "{}", text(&stopped.stderr));
    gantry.wait_all();
}
