// SPDX-License-Identifier: Apache-2.0
//! What pods are called, and what the program is called.

use std::os::unix::fs::symlink;
use std::process::Command;

use gate::root_test;
use nix::sys::signal::Signal;
use serde_json::Value;
use testing::image::script;
use testing::pods::Gantry;
use testing::program;

use super::{WAITS, id, output, prepare, refused, said, text};

#[root_test]
fn a_relative_directory_where_there_is_no_current_one_is_said() {
    let gantry = Gantry::new();
    let gone = gantry.beside("gone");
    let mut sh = Command::new("sh");
    sh.args(["-c", "mkdir \"$0\" && cd \"$0\" && rmdir \"$0\" && exec \"$1\" --dir d list"]);
    let list = sh.arg(gone).arg(program("installer")).output().unwrap();
    let error = text(&list.stderr);
    assert_eq!(list.status.code(), Some(2), "{error}");
    assert!(error.starts_with("error: invalid --dir: it is relative"), "{error}");
}

/// It runs there, so it isn't told that it doesn't.
#[root_test]
fn a_pod_of_another_process_namespace_is_said_to_be_one() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", WAITS));
    let mut running = gantry.start(&pod);
    running.wait_for("up");
    for words in [&["enter"][..], &["kill", "--app", "lives"], &["kill"], &["stop"], &["top"]] {
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(program("installer"))
            .arg("--dir")
            .arg(gantry.dir());
        let said = command.args(words).arg(id(&pod)).output().unwrap();
        let expected = format!(
            "error: the process of pod {} can't be seen (expected it to be in this process namespace)\n",
            id(&pod)
        );
        assert_eq!(text(&said.stderr), expected, "{words:?}");
    }
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().0, 0);
}

#[root_test]
fn a_pod_is_found_by_its_id_its_beginning_or_its_directory() {
    let gantry = Gantry::new();
    let manifest = script("lives", "echo ran");
    let [pod, other] = [prepare(&gantry, &manifest), prepare(&gantry, &manifest)];
    let name = id(&pod);
    let manifest = said(&gantry, &["cat-manifest", &name]);
    assert_eq!(manifest.as_bytes(), std::fs::read(pod.join("container")).unwrap());
    let apart = name.bytes().zip(id(&other).bytes()).take_while(|(a, b)| a == b).count() + 1;
    let directory = pod.to_str().unwrap();
    let slash = format!("{directory}/");
    for called in [&name[..apart], &name[..20], &name.to_uppercase(), directory, &slash] {
        assert_eq!(said(&gantry, &["cat-manifest", called]), manifest, "{called}");
    }
    assert_eq!(said(&gantry, &["run", &name[..20]]), "ran\n");
    gantry.wait_all();
    // A directory may be in another data directory.
    let mut elsewhere = Command::new(program("installer"));
    let found = elsewhere.current_dir(&pod).args(["--dir", "/nonexistent", "status", "."]).output().unwrap();
    assert!(text(&found.stdout).contains(&name), "{found:?}");
    let inspected: Value = serde_json::from_str(&said(&gantry, &["inspect", &name, &id(&other)])).unwrap();
    assert_eq!(inspected[0]["manifest"], serde_json::from_str::<Value>(&manifest).unwrap());
    assert_eq!(inspected[1]["id"], id(&other));
    assert_eq!(said(&gantry, &["list", "-q", "--state", "prepared"]), format!("{}\n", id(&other)));
    assert_eq!(said(&gantry, &["list", "-q", "--state", "exited", "--state", "prepared"]).lines().count(), 2);
    assert_eq!(said(&gantry, &["list", "-q", "--state", "running"]), "");
}

#[root_test]
fn a_pod_that_is_not_there_is_said_in_one_line() {
    let gantry = Gantry::new();
    refused(&gantry, &["status", "6733"], &["no directory"]);
    let pod = prepare(&gantry, &script("lives", "echo ran"));
    let name = id(&pod);
    let nearly: String =
        name.chars().take(12).enumerate().map(|(at, c)| if at == 4 { 'x' } else { c }).collect();
    refused(&gantry, &["status", &nearly], &["no pod", &format!("did you mean {name}?")]);
    refused(&gantry, &["stop", "web"], &["no pod \"web\"", "installer list"]);
    refused(&gantry, &["rm", "/nonexistent/pod"], &["no pod directory"]);
    refused(&gantry, &["rm", "/"], &["is no pod directory"]);
    // Ids begin with one of sixteen digits, so two of seventeen pods begin with the same.
    let manifest = script("lives", "echo ran");
    let ids: Vec<_> = (0..16).map(|_| id(&prepare(&gantry, &manifest))).chain([name]).collect();
    let twice = ids.iter().find(|one| ids.iter().filter(|other| other[..1] == one[..1]).count() > 1).unwrap();
    refused(&gantry, &["rm", &twice[..1]], &["could be", "expected one pod's id"]);
    assert_eq!(gantry.pods().len(), 17);
}

#[root_test]
fn messages_name_the_program_as_it_was_called() {
    let gantry = Gantry::new();
    let gantrys = gantry.beside("gantry-program/gantry");
    std::fs::create_dir(gantrys.parent().unwrap()).unwrap();
    symlink(program("installer"), &gantrys).unwrap();
    prepare(&gantry, &script("lives", "echo ran"));
    let call = |words: &[&str]| {
        let output = Command::new(&gantrys).arg("--dir").arg(gantry.dir()).args(words).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    assert!(call(&["status", "web"]).contains("gantry list"));
    assert!(call(&["--version"]).starts_with("gantry "));
    let help = call(&["--help"]);
    assert!(help.contains("Usage: gantry ") && help.contains("gantry run --image"), "{help}");
    assert!(!help.contains("installer") && !call(&["prepare", "--help"]).contains("installer"));
    assert!(call(&["stop"]).contains("Usage: gantry stop"));
    assert!(text(&output(&gantry, &["--help"]).stdout).contains("Usage: installer "));
}

/// What somebody else has put beside the pods is named, and nothing touches it.
#[root_test]
fn what_is_no_pod_is_named_and_left_where_it_is() {
    let gantry = Gantry::new();
    let pod = id(&prepare(&gantry, &script("lives", "echo ran")));
    let containers = gantry.dir().join("containers");
    let stale = "11111111-1111-4111-8111-111111111111";
    std::fs::create_dir(containers.join("foreign")).unwrap();
    std::fs::write(containers.join("file"), "content").unwrap();
    std::fs::create_dir(containers.join(stale)).unwrap();
    let listed = output(&gantry, &["list"]);
    let warnings = text(&listed.stderr);
    assert_eq!((listed.status.code(), warnings.lines().count()), (Some(0), 3), "{listed:?}");
    for warning in
        ["\"foreign\" in containers is no pod: expected a UUID", "\"file\" in containers is no pod", stale]
    {
        assert!(
            warnings.lines().any(|line| line.starts_with("warning: ") && line.contains(warning)),
            "{warnings}"
        );
    }
    assert!(text(&listed.stdout).contains("(damaged)"), "{listed:?}");
    for command in ["status", "rm", "stop", "start", "logs", "inspect"] {
        refused(&gantry, &[command, "foreign"], &["no pod \"foreign\""]);
    }
    refused(&gantry, &["start", stale], &[stale, "cannot open stage1"]);
    assert!(output(&gantry, &["gc", "--grace", "0"]).status.success());
    assert_eq!(std::fs::read(containers.join("file")).unwrap(), b"content");
    assert!(
        containers.join("foreign").is_dir()
            && containers.join(&pod).is_dir()
            && containers.join(stale).is_dir()
    );
    // Of a stale one, `rm` is the way out.
    assert_eq!(said(&gantry, &["rm", stale]), format!("removed {stale}\n"));
}

/// A pod in the wrong state is an error in one line with the way out or what was expected, and the pod stays as it is.
#[root_test]
fn a_pod_in_the_wrong_state_is_said_in_one_line_and_stays() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &script("lives", super::WAITS));
    let name = id(&pod);
    let enter = |app: &str| output(&gantry, &["enter", &name, "--app", app, "--", "/bin/true"]);
    let is_refused = |app: &str, part: &str| {
        let refused = enter(app);
        let error = text(&refused.stderr);
        assert_eq!((refused.status.code(), error.lines().count()), (Some(254), 1), "{refused:?}");
        assert!(error.contains(part), "{error}");
    };
    for words in [&["top"][..], &["kill", "-s", "TERM"]] {
        refused(&gantry, &[words, &[&name]].concat(), &["is prepared: expected it to run"]);
    }
    refused(&gantry, &["wait", &name], &["has no exit code: it was never started"]);
    is_refused("lives", "is prepared: expected it to run");
    assert_eq!(super::status(&gantry, &pod)["state"], "prepared");
    said(&gantry, &["start", &name]);
    refused(&gantry, &["start", &name], &["is running: expected it to have ended"]);
    refused(&gantry, &["rm", &name], &["is running: expected it to have ended", "stop"]);
    refused(&gantry, &["logs", &name, "--app", "other"], &["has no app \"other\"", "its apps: lives"]);
    refused(&gantry, &["kill", &name, "--app", "other", "-s", "HUP"], &["has no app \"other\""]);
    is_refused("other", "has no app \"other\"");
    assert_eq!(super::status(&gantry, &pod)["state"], "running");
    said(&gantry, &["stop", &name]);
    refused(&gantry, &["kill", "-s", "TERM", &name], &["is exited: expected it to run"]);
    is_refused("lives", "is exited: expected it to run");
}
