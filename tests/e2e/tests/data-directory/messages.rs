// SPDX-License-Identifier: Apache-2.0
//! Messages that can't be written change nothing, and data that can't be written is no success.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use gate::root_test;
use serde_json::json;
use testing::image::script;
use testing::pods::{Gantry, image_id, image_sha512, status};
use testing::program;
use testing::rootfs::Rootfs;
use testing::state::State;
use testing::tiny::Tiny;

/// A stream that can't be written to.
#[derive(Clone, Copy, Debug)]
enum Broken {
    Full,
    WithoutReader,
    ForReading,
    Closed,
}

const ALL: [Broken; 4] = [Broken::Full, Broken::WithoutReader, Broken::ForReading, Broken::Closed];

/// Returns the command with one of its streams, 1 or 2, broken.
fn with(command: &Command, stream: u8, broken: Broken) -> Command {
    let stdio = match broken {
        Broken::Full => File::options().write(true).open("/dev/full").unwrap().into(),
        // Its reader is gone from the beginning.
        Broken::WithoutReader => Stdio::from(OwnedFd::from(std::io::pipe().unwrap().1)),
        Broken::ForReading => File::open("/dev/null").unwrap().into(),
        Broken::Closed => return through_shell(command, &format!("{stream}>&-")),
    };
    let mut same = same(command);
    same.stdout(Stdio::piped()).stderr(Stdio::piped());
    if stream == 1 {
        same.stdout(stdio)
    } else {
        same.stderr(stdio)
    };
    same
}

/// Runs the command, redirected as a shell does it.
fn through_shell(command: &Command, redirection: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    take_over(&mut shell, command);
    shell
}

fn same(command: &Command) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args());
    take_over(&mut same, command);
    same
}

fn take_over(new: &mut Command, command: &Command) {
    new.env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null());
    command.get_current_dir().map(|directory| new.current_dir(directory));
}

fn code(command: &mut Command) -> Option<i32> {
    command.output().unwrap().status.code()
}

/// Checks that one line on stderr says that stdout can't be written to, and that the code is 1.
fn check_data_lost(output: &Output, about: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{about}: {error}");
    assert!(error.starts_with("error: cannot write to stdout: "), "{about}: {error}");
}

#[root_test]
fn a_message_that_nobody_gets_changes_no_code() {
    let tiny = Tiny::new();
    assert_eq!(code(&mut tiny.installer(&["image", "import", "tiny.aci", "other.aci"])), Some(0));
    let other = tiny.dir().join("store/tree-v1").join(image_id(&tiny.image("other")));
    let volume = "none,kind=host,source=/";
    for broken in ALL {
        fs::write(other.join("info"), "damaged").unwrap();
        for (words, expected) in [
            (&["prepare", "--image", "tiny.aci"][..], 0),
            (&["prepare", "--image", "tiny.aci", "--volume", volume], 0),
            (&["prepare", "--image", "/nonexistent.tar"], 1),
            (&["prepare", "--nonsense"], 2),
            (&["run", "/nonexistent"], 254),
            (&["run", "--nonsense"], 2),
            (&["image", "list"], 0),
            (&["image", "rm", "example.com/none"], 1),
            (&["verify"], 1),
            // The store no longer knows which file the image came from.
            (&["verify", "--repair"], 1),
            (&["--help"], 0),
            (&["gc"], 0),
            (&["image", "import", "other.aci"], 0),
        ] {
            let output = with(&tiny.installer(words), 2, broken).output().unwrap();
            assert_eq!(output.status.code(), Some(expected), "{broken:?}: {words:?}: {output:?}");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if expected == 0 && words[0] == "prepare" {
                assert!(Path::new(printed.trim_end()).join("layers").is_file(), "{broken:?}: {printed:?}");
            }
        }
        let mut build = Command::new(program("rootfs-build"));
        assert_eq!(code(&mut with(build.arg("nonsense"), 2, broken)), Some(2), "{broken:?}");
    }
}

#[root_test]
fn a_pod_with_a_warning_starts_whether_or_not_anybody_is_told() {
    let gantry = Gantry::new();
    let mut warned = script("warned", "echo up; exit 7");
    warned["app"]["isolators"] = json!([{"name": "resource/unheard-of", "value": null}]);
    let warned = gantry.image("warned", &Rootfs::busybox().unwrap(), &warned);
    for broken in ALL {
        let output = with(&gantry.with_images("run", &[&warned], &[]), 2, broken).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b"up\n"[..]), "{broken:?}");
        gantry.wait_all();
    }
}

/// `/init` and the launcher have restored SIGPIPE's default action by the time they fail.
#[root_test]
fn what_fails_in_a_start_and_in_a_pod_has_its_own_code_whether_or_not_anybody_is_told() {
    let gantry = Gantry::new();
    let image = gantry.image("gone", &Rootfs::busybox().unwrap(), &script("gone", "true"));
    let pod = gantry.prepare(&[&image], &["--layout", "copy"]);
    let mut start = Command::new("./stage1/init");
    start.current_dir(&pod);
    let program = pod.join("stage1/opt/stage2").join(image_sha512(&image)).join("rootfs/bin/sh");
    fs::remove_file(&program).unwrap();
    for broken in ALL {
        assert_eq!(code(&mut with(&start, 2, broken)), Some(127), "{broken:?}");
        gantry.wait_all();
        assert_eq!(status(&pod, "gone"), 127, "{broken:?}");
    }
    fs::rename(pod.join("container"), pod.join("gone")).unwrap();
    for broken in ALL {
        assert_eq!(code(&mut with(&start, 2, broken)), Some(1), "{broken:?}");
    }
}

#[root_test]
fn a_path_that_cannot_be_printed_leaves_no_pod() {
    let tiny = Tiny::new();
    let prepare = tiny.installer(&["prepare", "--image", "tiny.aci"]);
    for broken in ALL {
        check_data_lost(&with(&prepare, 1, broken).output().unwrap(), &format!("{broken:?}"));
        assert!(!tiny.dir().exists(), "{broken:?}");
    }
    assert_eq!(code(&mut same(&prepare)), Some(0));
    let before = State::of(&tiny.dir());
    for broken in ALL {
        check_data_lost(&with(&prepare, 1, broken).output().unwrap(), &format!("{broken:?}"));
        assert_eq!(State::of(&tiny.dir()), before, "{broken:?}");
    }
}

/// Rust's runtime also opens /dev/null where stdout is closed.
#[root_test]
fn a_path_that_goes_to_dev_null_is_printed() {
    let tiny = Tiny::new();
    let prepare = tiny.installer(&["prepare", "--image", "tiny.aci"]);
    for (pods, redirection) in [">/dev/null", "1<>/dev/null", "<&- 1<>/dev/null"].iter().enumerate() {
        assert_eq!(code(&mut through_shell(&prepare, redirection)), Some(0), "{redirection}");
        assert_eq!(State::of(&tiny.dir()).pods.len(), pods + 1, "{redirection}");
    }
}

#[root_test]
fn data_that_cannot_be_printed_is_an_error_after_all_work_is_done() {
    for broken in ALL {
        let tiny = Tiny::new();
        let about = |words: &[&str]| format!("{broken:?}: {words:?}");
        let lost = |words: &[&str]| {
            check_data_lost(&with(&tiny.installer(words), 1, broken).output().unwrap(), &about(words));
        };
        let trees = || State::of(&tiny.dir()).trees.len();
        for words in [&["--help"][..], &["prepare", "--help"], &["--version"], &["image", "list"]] {
            lost(words);
        }
        assert!(!tiny.dir().exists(), "{broken:?}");
        lost(&["image", "import", "tiny.aci"]);
        // If it is known beforehand that the id can't be printed, nothing is imported.
        assert_eq!(trees(), usize::from(matches!(broken, Broken::Full)), "{broken:?}");
        assert_eq!(code(&mut tiny.installer(&["image", "import", "tiny.aci", "other.aci"])), Some(0));
        let ids = ["tiny", "other"].map(|name| image_id(&tiny.image(name)));
        let paths = ids.each_ref().map(|id| tiny.dir().join("store/tree-v1").join(id));
        for path in &paths {
            fs::write(path.join("tree/rootfs/etc/passwd"), "damaged").unwrap();
        }
        lost(&["verify", "--repair"]);
        assert_eq!(code(&mut tiny.installer(&["verify"])), Some(0), "{broken:?}: both are renewed");
        lost(&["image", "rm", "tiny.id"]);
        assert_eq!(trees(), 1, "{broken:?}");
        lost(&["gc"]);
        assert_eq!(trees(), 0, "{broken:?}");
        let mut build = Command::new(program("rootfs-build"));
        let build = with(build.arg("--help"), 1, broken).output().unwrap();
        check_data_lost(&build, &format!("{broken:?}: rootfs-build"));
    }
}

/// Only the plan is printed to stdout.
#[root_test]
fn a_plan_that_cannot_be_printed_is_an_error() {
    let gantry = Gantry::new();
    let image = gantry.image("plan", &Rootfs::busybox().unwrap(), &script("plan", "true"));
    let pod = gantry.prepare(&[&image], &[]);
    for argument in ["--help", "--dry-run"] {
        let mut init = Command::new("./stage1/init");
        init.current_dir(&pod).arg(argument);
        for broken in [Broken::Full, Broken::WithoutReader, Broken::ForReading] {
            check_data_lost(&with(&init, 1, broken).output().unwrap(), &format!("{broken:?}: {argument}"));
        }
    }
}
