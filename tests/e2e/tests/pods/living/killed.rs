// SPDX-License-Identifier: Apache-2.0
//! Pods in the background of which something is killed by SIGKILL, or everything at once, as by a power failure: `list`,
//! `status`, `logs` and `gc` tell the truth each time, and the pod starts again.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use testing::image::script;
use testing::pods::{Gantry, wait_gone};
use testing::rootfs::Rootfs;

use super::{WAITS, id, nspawn, output, said, status, text, wait_until};

/// A pod in the background that is up.
struct Background {
    gantry: Gantry,
    pod: PathBuf,
}

impl Background {
    fn prepare() -> Self {
        let gantry = Gantry::new();
        let image = gantry.image("lives", &Rootfs::busybox().unwrap(), &script("lives", WAITS));
        let pod = gantry.prepare(&[&image], &[]);
        Self { gantry, pod }
    }

    fn start() -> Self {
        let background = Self::prepare();
        background.said(&["start"]);
        background.wait_for_logs("up\n");
        background
    }

    /// Runs a command about the pod that must succeed.
    fn said(&self, words: &[&str]) -> String {
        said(&self.gantry, &[words, &[id(&self.pod).as_str()]].concat())
    }

    fn wait_for_logs(&self, expected: &str) {
        let begun = Instant::now();
        while self.said(&["logs"]) != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", self.said(&["logs"]));
            std::thread::yield_now();
        }
    }

    fn status(&self) -> Value {
        status(&self.gantry, &self.pod)
    }

    fn process(&self) -> i32 {
        self.status()["process"].as_i64().expect("it runs").try_into().unwrap()
    }

    /// Checks that the pod has ended, how that is listed, and that its last run is as expected; that its log is whole;
    /// that no collection removes it before its time, and that it starts again.
    fn has_ended(&self, listed: &str, last: &Value) {
        wait_gone(&self.pod);
        let found = self.status();
        assert_eq!((&found["state"], &found["process"]), (&json!("exited"), &Value::Null), "{found}");
        let run = found["runs"].as_array().unwrap().last().unwrap();
        for (field, value) in last.as_object().unwrap() {
            assert_eq!(&run[field], value, "{field} of {run}");
        }
        let table = said(&self.gantry, &["list"]);
        let line: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(line[1..3], ["exited", listed], "{table}");
        let logs = output(&self.gantry, &["logs", &id(&self.pod)]);
        assert_eq!(text(&logs.stdout), "up\n", "what was written is there");
        let is_cut = text(&logs.stderr).starts_with("warning: the log writer was killed");
        assert_eq!(is_cut, listed == "?", "{logs:?}");
        assert_eq!(said(&self.gantry, &["gc", "--grace", "1h"]), "", "its time has not come");
        self.said(&["start"]);
        self.wait_for_logs("up\nup\n");
        self.ends_in_order("up\nup\nstops\n");
    }

    /// Stops the pod, and checks what is told then. A collection removes it, and all that it was made of.
    fn ends_in_order(&self, logs: &str) {
        self.said(&["stop"]);
        let found = self.status();
        assert_eq!((&found["state"], &found["code"]), (&json!("exited"), &json!(0)), "{found}");
        assert_eq!(self.said(&["logs"]), logs);
        let collected = said(&self.gantry, &["gc", "--grace", "0"]);
        assert!(collected.contains(&format!("removed pod {}\n", id(&self.pod))), "{collected}");
        assert_eq!(said(&self.gantry, &["list", "-q"]), "");
    }
}

fn kill_now(process: i32) {
    kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
}

#[root_test]
fn of_a_pod_whose_process_is_killed() {
    let pod = Background::start();
    kill_now(pod.process());
    pod.has_ended("killed", &json!({"killed": true, "code": null, "failure": null}));
}

#[root_test]
fn of_a_pod_whose_nspawn_is_killed() {
    let pod = Background::start();
    kill_now(nspawn(pod.process()));
    pod.has_ended("failed", &json!({"killed": false, "code": null, "failure": 5}));
}

/// Returns a process of a pod's log writer, by its name: the stdout of each is the note of what was lost.
fn of_log_writer(pod: &Path, name: &str) -> Option<i32> {
    let note = fs::metadata(pod.join("logs/LOST")).unwrap();
    let is_it = |process: &i32| {
        fs::metadata(format!("/proc/{process}/fd/1"))
            .is_ok_and(|out| (out.dev(), out.ino()) == (note.dev(), note.ino()))
            && fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    let mut all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    all.find(is_it)
}

const WRITER: &str = "gantry-log";
const KEEPER: &str = "gantry-keeper";

/// Returns a process of a pod's log writer, once there is one.
fn await_log_writer(pod: &Path, name: &str) -> i32 {
    let mut found = None;
    wait_until(name, || {
        found = of_log_writer(pod, name);
        found.is_some()
    });
    found.unwrap()
}

/// The pod goes on, and so does its log.
#[root_test]
fn of_a_pod_whose_log_writer_is_killed() {
    let pod = Background::start();
    let process = pod.process();
    for name in [WRITER, KEEPER] {
        let killed = await_log_writer(&pod.pod, name);
        kill_now(killed);
        let found = pod.status();
        assert_eq!((&found["state"], &found["process"]), (&json!("running"), &json!(process)), "{found}");
        assert_eq!(pod.said(&["logs"]), "up\n", "what was written is there");
        assert_eq!(said(&pod.gantry, &["gc", "--grace", "0"]), "", "a pod that runs is nobody's to collect");
        wait_until("there is another", || of_log_writer(&pod.pod, name).is_some_and(|other| other != killed));
    }
    pod.ends_in_order("up\nstops\n");
}

/// Nothing is left that could log, and that is said. The next start logs again.
#[root_test]
fn of_a_pod_whose_log_writer_is_killed_with_its_keeper() {
    let pod = Background::start();
    let [writer, keeper] = [WRITER, KEEPER].map(|name| await_log_writer(&pod.pod, name));
    // One that is stopped replaces none.
    kill(Pid::from_raw(keeper), Signal::SIGSTOP).unwrap();
    kill_now(writer);
    kill_now(keeper);
    assert_eq!(pod.status()["state"], "running");
    let logs_say_so = || {
        let logs = output(&pod.gantry, &["logs", &id(&pod.pod)]);
        let warning = "warning: the log writer was killed: what apps wrote after that is not there\n";
        assert_eq!((text(&logs.stdout).as_str(), text(&logs.stderr).as_str()), ("up\n", warning));
    };
    // A killed process has its descriptors for a moment longer, and with them the note's lock.
    let note = File::open(pod.pod.join("logs/LOST")).unwrap();
    wait_until("both have ended", || flock(&note, FlockOperation::NonBlockingLockShared).is_ok());
    drop(note);
    logs_say_so();
    pod.said(&["stop"]);
    assert_eq!(pod.status()["state"], "exited");
    logs_say_so();
    pod.said(&["start"]);
    pod.wait_for_logs("up\nup\n");
    pod.ends_in_order("up\nup\nstops\n");
}

/// No app gets SIGPIPE, and each line is logged, once, however often the log writer and its keeper are killed meanwhile. Once
/// in one file, and once in files that are moved.
#[root_test]
fn of_pods_whose_log_writers_are_killed_all_the_time() {
    const PARTS: u32 = 24;
    const LINES: u32 = 25_000;
    // One part for each death, while it happens.
    let script_of = format!(
        "i=0; while read part; do seq $((i * {LINES} + 1)) $(((i + 1) * {LINES})) || exit 9; i=$((i + 1)); done </go"
    );
    for bounds in [["max-size=unlimited", "max-file=1"], ["max-size=1m", "max-file=100"]] {
        let gantry = Gantry::new();
        let go = gantry.beside("go");
        mkfifo(&go, Mode::S_IRWXU).unwrap();
        let volume = format!("go,kind=host,source={}", go.display());
        let mut writes = script("writes", &script_of);
        writes["app"]["mountPoints"] = json!([{"name": "go", "path": "/go"}]);
        writes["app"]["user"] = json!("0");
        writes["app"]["group"] = json!("0");
        let image = gantry.image("writes", &Rootfs::busybox().unwrap(), &writes);
        let [size, files] = bounds;
        let image = image.to_str().unwrap();
        let words =
            ["run", "-d", "--net", "none", "--volume", &volume, "--log-opt", size, "--log-opt", files, image];
        let pod = said(&gantry, &words).trim_end().to_owned();
        let path = gantry.dir().join("containers").join(&pod);
        let mut go = File::options().write(true).open(&go).unwrap();
        let mut killed = 0;
        for name in [WRITER, KEEPER, WRITER].iter().cycle().take(PARTS as usize) {
            // One of them at a time.
            let both = || [WRITER, KEEPER].map(|name| of_log_writer(&path, name));
            wait_until("both are there", || both().iter().all(Option::is_some));
            let Some(process) = of_log_writer(&path, name) else { panic!("{name} has ended by itself") };
            go.write_all(b"part\n").unwrap();
            killed += i32::from(kill(Pid::from_raw(process), Signal::SIGKILL).is_ok());
            wait_until("it has ended", || of_log_writer(&path, name) != Some(process));
        }
        drop(go);
        let seen = || {
            let found = said(&gantry, &["status", "--format", "json", &pod]);
            serde_json::from_str::<Value>(&found).unwrap()
        };
        wait_until("the pod has ended", || seen()["state"] == "exited");
        assert_eq!(seen()["code"], 0, "no app gets SIGPIPE");
        let logged = said(&gantry, &["logs", &pod]);
        let expected: String = (1..=PARTS * LINES).map(|number| format!("{number}\n")).collect();
        let differs = logged.lines().zip(expected.lines()).position(|(one, other)| one != other);
        assert!(logged == expected, "{} bytes, line {differs:?}, after {killed} deaths", logged.len());
        assert!(killed >= 10, "{killed}");
    }
}

fn enter(pod: &Background, script: &str) -> Child {
    let mut command = pod.gantry.installer();
    command.args(["enter", &id(&pod.pod), "--", "/bin/sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What was entered goes on without the command, for as long as the pod runs, and the pod takes no notice.
#[root_test]
fn of_a_pod_whose_enter_is_killed() {
    let pod = Background::start();
    let process = pod.process();
    let mut command = enter(&pod, "echo inside; exec sleep 1000");
    let mut line = [0; 7];
    std::io::Read::read_exact(command.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"inside\n");
    command.kill().unwrap();
    assert_eq!(command.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    let found = pod.status();
    assert_eq!((&found["state"], &found["process"]), (&json!("running"), &json!(process)), "{found}");
    assert_eq!(pod.said(&["logs"]), "up\n", "an enter is not logged");
    let again = output(&pod.gantry, &["enter", &id(&pod.pod), "--", "/bin/echo", "again"]);
    assert_eq!(text(&again.stdout), "again\n", "{again:?}");
    assert_eq!(said(&pod.gantry, &["gc", "--grace", "0"]), "");
    pod.ends_in_order("up\nstops\n");
}

/// Everything is killed at one moment: the pod runs in a process namespace of its own, whose first process is killed. So
/// nobody is left to write anything down.
#[root_test]
fn of_a_pod_whose_host_loses_power() {
    let pod = Background::prepare();
    let installer = pod.gantry.installer();
    let mut host = Command::new("unshare");
    host.args(["--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c"]);
    host.args(["\"$@\" && exec sleep 1000", "sh"]).arg(installer.get_program()).args(installer.get_args());
    host.args(["start", &id(&pod.pod)]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut host = host.spawn().unwrap();
    pod.wait_for_logs("up\n");
    assert_eq!(pod.status()["state"], "running");
    host.kill().unwrap();
    host.wait().unwrap();
    wait_gone(&pod.pod);
    let found = pod.status();
    let run = &found["runs"][0];
    assert!(run["started"].is_number(), "{found}");
    assert_eq!((&run["ended"], &run["killed"], &run["code"]), (&Value::Null, &json!(false), &Value::Null));
    pod.has_ended("?", &json!({"ended": null, "code": null, "killed": false, "failure": null}));
}
