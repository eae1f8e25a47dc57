// SPDX-License-Identifier: Apache-2.0
//! `/init` ends before the pod's systemd does, but not before what the caller is promised: each part is held up here.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use gate::root_test;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::{Value, json};
use testing::image::{manifest, with_handler};
use testing::pods::{Gantry, status, text, wait_gone};
use testing::rootfs::Rootfs;

use super::full::Disk;

/// Longer than a pod takes to end that waits for nothing.
const LONG: Duration = Duration::from_secs(1);

/// A pod of one app, which has a FIFO at /go.
struct Held {
    pod: PathBuf,
    go: PathBuf,
    init: Child,
}

impl Held {
    fn start(gantry: &Gantry, mut image: Value) -> Self {
        let go = gantry.beside("go");
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
        image["app"]["mountPoints"] = json!([{"name": "go", "path": "/go"}]);
        let image = gantry.image("one", &Rootfs::busybox().unwrap(), &image);
        let pod = gantry.prepare(&[&image], &["--volume", &format!("go,kind=host,source={}", go.display())]);
        let mut init = Command::new("./stage1/init");
        init.current_dir(&pod).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { init: init.spawn().unwrap(), pod, go }
    }

    /// Waits until the pod reads from the FIFO, and returns its other end.
    fn reads(&self) -> File {
        File::options().write(true).open(&self.go).unwrap()
    }

    /// Checks that the pod has no code for as long as nothing happens.
    fn has_no_code(&mut self) {
        sleep(LONG);
        let code = format!("/proc/{}/root/outcome/code", self.init.id());
        assert!(!fs::exists(code).unwrap(), "it has recorded a code");
        assert_eq!(self.init.try_wait().unwrap(), None);
    }

    /// Waits for the end of `/init`, and returns its code and what the pod has written by then.
    fn ended(mut self) -> (Option<i32>, String) {
        let ended = self.init.wait().unwrap();
        let mut written = Vec::new();
        let (mut out, mut error) = (self.init.stdout.take().unwrap(), self.init.stderr.take().unwrap());
        fcntl(&out, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        fcntl(&error, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        // If somebody could still write, this would be an error.
        out.read_to_end(&mut written).unwrap();
        error.read_to_end(&mut written).unwrap();
        wait_gone(&self.pod);
        (ended.code(), text(&written))
    }
}

fn app(script: &str) -> Value {
    manifest("one", &["/bin/sh", "-c", script])
}

#[root_test]
fn a_code_waits_for_the_post_stop_handler() {
    let gantry = Gantry::new();
    let image = with_handler(app("exit 7"), "post-stop", "read line < /go; echo after");
    let mut held = Held::start(&gantry, image);
    let mut go = held.reads();
    held.has_no_code();
    go.write_all(b"go\n").unwrap();
    assert_eq!(held.ended(), (Some(7), "after\n".into()));
}

#[root_test]
fn a_code_waits_for_the_last_that_an_app_has_left_behind() {
    let gantry = Gantry::new();
    let mut image = app("trap '' TERM; (read line < /go; echo last) & exit 7");
    // Otherwise what is left behind is killed at once.
    image["annotations"] = json!([{"name": "gantry/stop-mode", "value": "all"}]);
    let mut held = Held::start(&gantry, image);
    let mut go = held.reads();
    held.has_no_code();
    go.write_all(b"go\n").unwrap();
    assert_eq!(held.ended(), (Some(7), "last\n".into()));
}

/// Lets a file system be written to again.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(self.0).status();
    }
}

#[root_test]
fn a_code_waits_for_the_status_on_disk() {
    let on = Disk::Ext4.mount();
    let mut held = Held::start(&on.0, app("read line < /go; exit 7"));
    let mut go = held.reads();
    let dir = on.0.dir();
    assert!(Command::new("fsfreeze").arg("-f").arg(&dir).status().unwrap().success());
    let frozen = Frozen(&dir);
    go.write_all(b"go\n").unwrap();
    held.has_no_code();
    drop(frozen);
    let pod = held.pod.clone();
    assert_eq!(held.ended(), (Some(7), String::new()));
    assert_eq!(status(&pod, "one"), 7);
    fs::remove_dir_all(&pod).unwrap();
}
