// SPDX-License-Identifier: Apache-2.0
//! Logs of pods in the background: everything that was written, in the usual format, within bounds.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gate::root_test;
use testing::image::script;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;
use testing::{program, stage1};

use super::{id, output, refused, said, text};

fn image(gantry: &Gantry, name: &str, app: &str) -> String {
    gantry.image(name, &Rootfs::busybox().unwrap(), &script(name, app)).to_str().unwrap().to_owned()
}

/// Runs a pod of this app in the background to its end, and returns its directory.
fn run(gantry: &Gantry, app: &str, words: &[&str]) -> PathBuf {
    let image = image(gantry, "app", app);
    let pod = said(gantry, &[&["run", "-d", &image], words].concat());
    let pod = pod.trim_end();
    output(gantry, &["wait", pod]);
    // The log writer is at work as long as the note is locked, and `logs` waits for it.
    output(gantry, &["logs", pod, "-n", "0"]);
    gantry.dir().join("containers").join(pod)
}

#[root_test]
fn records_are_those_of_the_cri() {
    let gantry = Gantry::new();
    let pod = run(&gantry, "echo one; echo two >&2; printf part", &[]);
    let log = fs::read_to_string(pod.join("logs/app.log")).unwrap();
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.splitn(4, ' ').collect()).collect();
    assert!(lines.iter().all(|line| line[0].len() == 30 && line[0].ends_with('Z')), "{log}");
    let mut rest: Vec<_> = lines.iter().map(|line| line[1..].join(" ")).collect();
    rest.sort_unstable();
    assert_eq!(rest, ["stderr F two", "stdout F one", "stdout P part"]);
    assert_eq!(said(&gantry, &["logs", &id(&pod), "--app", "POD"]), "");
    let times = output(&gantry, &["logs", "-t", &id(&pod)]);
    assert!(text(&times.stdout).lines().all(|line| line.starts_with("20")), "{times:?}");
    assert_eq!(text(&times.stdout).lines().count(), 2, "{times:?}");
    refused(&gantry, &["logs", &id(&pod), "--app", "none"], &["has no app \"none\"", "its apps: app"]);
}

/// The log writer has no capability that opens what has no modes.
#[root_test]
fn what_is_written_is_there_whatever_the_umask() {
    for umask in ["000", "777"] {
        let gantry = Gantry::new();
        let image = image(&gantry, "app", "echo up");
        let mut sh = Command::new("sh");
        sh.arg("-c")
            .arg(format!("umask {umask}; exec \"$0\" --dir \"$1\" run -d \"$2\""))
            .arg(program("installer"));
        let run = sh.arg(gantry.dir()).arg(image).env("GANTRY_STAGE1", stage1()).output().unwrap();
        assert!(run.status.success() && run.stderr.is_empty(), "umask {umask}: {run:?}");
        let pod = text(&run.stdout).trim_end().to_owned();
        output(&gantry, &["wait", &pod]);
        assert_eq!(said(&gantry, &["logs", &pod]), "up\n", "umask {umask}");
        let logs = gantry.dir().join("containers").join(pod).join("logs");
        let mode = |path: &str| fs::metadata(logs.join(path)).unwrap().mode() & 0o7777;
        assert_eq!([mode("."), mode("LOST"), mode("app.log")], [0o700, 0o600, 0o600], "umask {umask}");
    }
}

#[root_test]
fn nothing_is_lost_and_lines_may_be_long() {
    let gantry = Gantry::new();
    let app = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; \
               head -c 100000 /dev/zero | tr '\\0' x; echo; seq 1 200000";
    let pod = run(&gantry, app, &["--log-opt", "max-size=unlimited"]);
    let said = said(&gantry, &["logs", &id(&pod)]);
    let expected: String = (0..2000)
        .map(|number| number.to_string())
        .chain(["x".repeat(100_000)])
        .chain((1..=200_000).map(|number| number.to_string()))
        .map(|line| line + "\n")
        .collect();
    assert!(said == expected, "{} bytes, {} expected", said.len(), expected.len());
    let tail = text(&output(&gantry, &["logs", "-n", "2", &id(&pod)]).stdout);
    assert_eq!(tail, "199999\n200000\n");
    let recent = ["logs", "--since", "1h", "-n", "1", &id(&pod)];
    assert_eq!(text(&output(&gantry, &recent).stdout), "200000\n");
    assert_eq!(text(&output(&gantry, &["logs", "--since", "2999-01-01", &id(&pod)]).stdout), "");
}

#[root_test]
fn logs_are_bounded() {
    let gantry = Gantry::new();
    let pod = run(&gantry, "seq 1 100000", &["--log-opt", "max-size=1m", "--log-opt", "max-file=3"]);
    let logs: Vec<_> = fs::read_dir(pod.join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("app.log"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!(logs.len(), 3);
    assert!(logs.iter().all(|length| *length <= 1 << 20), "{logs:?}");
    let said = said(&gantry, &["logs", &id(&pod)]);
    // The beginning of the first line may be in a part that is gone.
    let numbers: Vec<u32> = said.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&100_000));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "what is there is in order and whole");
}

#[root_test]
fn a_log_is_followed_to_the_end() {
    let gantry = Gantry::new();
    let image = image(&gantry, "app", "while [ ! -e /go ]; do sleep 0.01; done; seq 1 50000");
    // With users of its own, root's files would be nobody's there.
    let pod = said(&gantry, &["run", "-d", "--userns", "host", &image]);
    let pod = pod.trim_end();
    let mut follow = gantry.installer();
    let mut follow = follow.args(["logs", "-f", pod]).stdout(Stdio::piped()).spawn().unwrap();
    let upper = gantry.dir().join("containers").join(pod).join("stage1/rkt/upper/app");
    assert!(upper.is_dir(), "{}", upper.display());
    let process = said(&gantry, &["inspect", pod]);
    let process: serde_json::Value = serde_json::from_str(&process).unwrap();
    assert!(process[0]["process"].is_number());
    go(&gantry, pod);
    let mut read = String::new();
    follow.stdout.take().unwrap().read_to_string(&mut read).unwrap();
    assert!(follow.wait().unwrap().success());
    assert_eq!(read.lines().count(), 50_000);
    assert!(read.ends_with("50000\n"));
}

/// Makes the file that the app waits for, in its root, through its first process.
fn go(gantry: &Gantry, pod: &str) {
    let is_app = |process: &std::path::Path| {
        fs::read_to_string(process.join("cgroup")).is_ok_and(|cgroup| cgroup.contains("app-app.service"))
            && fs::read_link(process.join("exe")).is_ok()
    };
    let cgroup = format!("gantry-{pod}");
    let _ = gantry;
    loop {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let of_pod = fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains(&cgroup));
            if of_pod && is_app(&path) && fs::write(path.join("root/go"), "").is_ok() {
                return;
            }
        }
    }
}

#[root_test]
fn several_apps_have_several_logs() {
    let gantry = Gantry::new();
    let [one, two] = ["one", "two"].map(|name| image(&gantry, name, &format!("echo of {name}")));
    let pod = said(&gantry, &["run", "-d", "--image", &one, "--image", &two]);
    let pod = pod.trim_end();
    output(&gantry, &["wait", pod]);
    let said_of = |words: &[&str]| said(&gantry, &[&["logs", pod], words].concat());
    let mut all: Vec<_> = said_of(&[]).lines().map(str::to_owned).collect();
    all.sort_unstable();
    assert_eq!(all, ["one: of one", "two: of two"]);
    assert_eq!(said_of(&["--app", "two"]), "of two\n");
}

#[root_test]
fn a_pod_without_a_log_writes_none() {
    let gantry = Gantry::new();
    let pod = run(&gantry, "seq 1 100000", &["--log-driver", "none"]);
    assert!(!pod.join("logs/app.log").exists());
    assert_eq!(said(&gantry, &["logs", &id(&pod)]), "");
}
