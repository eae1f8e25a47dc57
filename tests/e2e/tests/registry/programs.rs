// SPDX-License-Identifier: Apache-2.0
//! Real programs from Debian's packages as OCI images of several layers, pulled from a registry, each with a real client:
//! what their official images ask of a runtime.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use gate::root_test;
use serde_json::{Value, json};
use testing::oci::OciImage;
use testing::pods::{Gantry, assert_says, text};
use testing::registry::Server;
use testing::rootfs::{Node, Rootfs};

use crate::server::installer;

const PATIENCE: Duration = Duration::from_secs(60);

/// A host with a pod of an image that a registry has.
struct Host {
    gantry: Gantry,
    server: Server,
}

impl Host {
    /// Starts the pod `app` of these layers in the background.
    fn start(layers: &[&Rootfs], config: &Value, options: &[&str]) -> Self {
        let image = OciImage::gzipped(layers, config);
        let host = Self { gantry: Gantry::new(), server: Server::start(&image.blobs()) };
        let name = host.server.name("a/b");
        host.said(&[&["run", "-d", "--name", "app"], options, &[&name]].concat());
        host
    }

    /// Runs the installer with these words, which must succeed, and returns what it prints.
    fn said(&self, words: &[&str]) -> String {
        let output = installer(&self.gantry, &self.server, words);
        assert!(output.status.success(), "{words:?}: {}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// Returns what the app has written to stdout, and then what it has written to stderr.
    fn log(&self) -> String {
        let output = installer(&self.gantry, &self.server, &["logs", "app"]);
        text(&output.stdout) + &text(&output.stderr)
    }

    /// Runs a program in the pod again and again until it succeeds, and returns what it prints.
    fn asked(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let output = installer(&self.gantry, &self.server, &[&["enter", "app", "--"], words].concat());
            if output.status.success() {
                return text(&output.stdout);
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "{words:?}: {}\n{}", text(&output.stderr), self.log());
            thread::yield_now();
        }
    }

    /// Stops the pod, and returns its log, which has to end with the code.
    fn stopped(&self, code: &str) -> String {
        self.said(&["stop", "app"]);
        let output = installer(&self.gantry, &self.server, &["wait", "app"]);
        let log = self.log();
        assert_eq!(text(&output.stdout).trim_end(), code, "{log}");
        log
    }
}

impl Host {
    /// Asks the pod's web server until it answers.
    fn get(&self) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect("127.0.0.1:8080")?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(b"GET /page HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let begun = Instant::now();
        loop {
            match ask() {
                Ok(answer) if !answer.is_empty() => return answer,
                other => assert!(begun.elapsed() < PATIENCE, "{other:?}: {}", self.log()),
            }
            thread::yield_now();
        }
    }
}

fn file(text: &str) -> Node {
    Node::File(0o644, text.into())
}

fn link(target: &str) -> Node {
    Node::Link(target.into())
}

fn is_library(path: &Path) -> bool {
    path.starts_with("usr/lib")
}

#[root_test]
fn redis_keeps_what_it_was_told_in_its_volume() {
    let (libraries, server) = Rootfs::redis().unwrap().split(is_library);
    let data = Rootfs::default().owned("data", Node::Directory(0o755), 101);
    let config = json!({"Entrypoint": ["redis-server"], "Cmd": ["--appendonly", "yes"], "User": "redis",
                        "WorkingDir": "/data", "Volumes": {"/data": {}}, "ExposedPorts": {"6379/tcp": {}}});
    let host = Host::start(&[&libraries, &server, &data], &config, &[]);
    assert_eq!(host.asked(&["redis-cli", "-e", "SET", "greeting", "hello"]), "OK\n");
    assert_says(&host.stopped("0"), &["Redis is now ready to exit"]);
    host.said(&["start", "app"]);
    assert_eq!(host.asked(&["redis-cli", "-e", "GET", "greeting"]), "hello\n");
    host.stopped("0");
}

/// The image logs as nginx's own does: to /dev/stdout, by links where Debian's configuration has its logs.
#[root_test]
fn nginx_logs_to_stdout() {
    let (libraries, server) = Rootfs::nginx().unwrap().split(is_library);
    let site = Rootfs::default()
        .with("etc/nginx/sites-enabled/default", link("../sites-available/default"))
        .with("var/www/html/page", file("a page\n"))
        .with("run", Node::Directory(0o755))
        .with("var/lib/nginx", Node::Directory(0o755))
        .with("var/log/nginx/access.log", link("/dev/stdout"))
        .with("var/log/nginx/error.log", link("/dev/stderr"));
    let config = json!({"Cmd": ["nginx", "-g", "daemon off;"], "StopSignal": "SIGQUIT",
                        "ExposedPorts": {"80/tcp": {}}});
    let host = Host::start(&[&libraries, &server, &site], &config, &["-p", "127.0.0.1:8080:80"]);
    assert_says(&host.get(), &["HTTP/1.1 200 OK", "a page\n"]);
    assert_says(&host.stopped("0"), &["\"GET /page HTTP/1.0\" 200"]);
}

/// The volume begins with the owner and mode that the image has there, without which postgres refuses it; SIGINT ends it
/// fast, also while clients are connected.
#[root_test]
fn postgres_has_a_volume_of_its_own_user_and_is_stopped_fast() {
    let (libraries, server) = Rootfs::postgres().unwrap().split(|path| {
        // Its programs and what they load are below usr/lib/postgresql.
        is_library(path) && !path.starts_with("usr/lib/postgresql")
    });
    let script = "set -e; PATH=$(echo /usr/lib/postgresql/*/bin):$PATH\n\
                  [ -e data/PG_VERSION ] || initdb -D data --locale=C --encoding=UTF8 --no-sync --auth=trust >/dev/null\n\
                  exec postgres -D data -k /tmp -c fsync=off -c jit=off\n";
    let start = Rootfs::default()
        .with("usr/local/bin/start", Node::File(0o755, format!("#!/bin/sh\n{script}").into()))
        .owned("var/lib/postgresql/data", Node::Directory(0o700), 105);
    let config = json!({"Entrypoint": ["start"], "User": "postgres", "WorkingDir": "/var/lib/postgresql",
                        "Volumes": {"/var/lib/postgresql/data": {}}, "StopSignal": "SIGINT"});
    let volume = ["--volume", "var-lib-postgresql-data,kind=image"];
    let host = Host::start(&[&libraries, &server, &start], &config, &volume);
    let psql = |words: &str| {
        let script = format!("exec /usr/lib/postgresql/*/bin/psql -h /tmp -d postgres -A -t -c \"{words}\"");
        host.asked(&["/bin/sh", "-c", &script])
    };
    psql("select 1");
    psql("create table t (n int)");
    assert_eq!(psql("insert into t values (42) returning n").lines().next(), Some("42"));
    assert_says(&host.stopped("0"), &["received fast shutdown request"]);
    host.said(&["start", "app"]);
    assert_eq!(psql("select n from t"), "42\n");
    host.stopped("0");
}

const APP: &str = "import http.server, signal, sys\n\
    class Page(http.server.BaseHTTPRequestHandler):\n\
    \x20   def do_GET(self):\n\
    \x20       self.send_response(200); self.end_headers(); self.wfile.write(b'python says ' + self.path.encode())\n\
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n\
    print('serving', sys.argv[1], flush=True)\n\
    http.server.HTTPServer(('', int(sys.argv[1])), Page).serve_forever()\n";

#[root_test]
fn an_app_in_python_serves_and_is_stopped() {
    let (libraries, python) = Rootfs::python().unwrap().split(is_library);
    let app = Rootfs::default().with("app/app.py", file(APP));
    let config = json!({"Entrypoint": ["python3", "app.py"], "Cmd": ["1"], "User": "1000:1000", "WorkingDir": "/app",
                        "Env": ["PATH=/usr/bin", "PYTHONDONTWRITEBYTECODE=1"]});
    let image = OciImage::gzipped(&[&libraries, &python, &app], &config);
    let host = Host { gantry: Gantry::new(), server: Server::start(&image.blobs()) };
    let name = host.server.name("a/b");
    host.said(&["run", "-d", "--name", "app", "-p", "127.0.0.1:8080:8000", &name, "--", "8000"]);
    assert_says(&host.get(), &["200 OK", "python says /page"]);
    assert_says(&host.stopped("7"), &["serving 8000", "GET /page"]);
}
