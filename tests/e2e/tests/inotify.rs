// SPDX-License-Identifier: Apache-2.0
//! No inotify instance is left, so a pod's systemd would end without a message. This test is a program of its own, so
//! that no other test starts a pod meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use gate::root_test;
use rustix::fs::inotify::{CreateFlags, init};
use testing::image::script;
use testing::pods::{Gantry, nspawn};
use testing::rootfs::Rootfs;

const LIMIT: &str = "fs.inotify.max_user_instances";

/// Does something while all instances are taken, including those that other processes of this host release meanwhile.
fn without_any<T>(done: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let take_all = |taken: &mut Vec<OwnedFd>| {
        taken.extend(std::iter::from_fn(|| init(CreateFlags::CLOEXEC).ok()));
    };
    let mut taken = Vec::new();
    take_all(&mut taken);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                take_all(&mut taken);
                std::thread::yield_now();
            }
        });
        let done = done();
        over.store(true, Ordering::Relaxed);
        done
    })
}

fn told(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said).into_owned();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let limit: u64 = limit.trim().parse().unwrap();
    let way_out = format!("{LIMIT} is {limit}, so raise it, as with sysctl -w {LIMIT}={}\n", limit * 2);
    assert!(said.ends_with(&way_out) && said.lines().count() == 1, "{said}");
    said
}

/// Starts a pod, and takes all instances after `/init` has checked them and its child has started nspawn. Returns
/// `None` if systemd was faster.
fn start_and_take(pod: &Path) -> Option<Vec<u8>> {
    let mut init = Command::new("./stage1/init");
    init.current_dir(pod).stdin(Stdio::null()).stderr(Stdio::piped());
    let init = init.spawn().unwrap();
    while nspawn(init.id()).is_none() {
        std::thread::yield_now();
    }
    let output = without_any(|| init.wait_with_output().unwrap());
    (output.status.code() == Some(5)).then_some(output.stderr)
}

#[root_test]
fn inotify_instances_that_are_used_up_are_named() {
    let gantry = Gantry::new();
    let image = gantry.image("one", &Rootfs::busybox().unwrap(), &script("one", "exit 7"));
    let pod = gantry.prepare(&[&image], &[]);
    let mut direct = Command::new("./stage1/init");
    let (direct, mut run) = (direct.current_dir(&pod), gantry.installer());
    let run = run.arg("run").arg(&pod);

    let ended = without_any(|| [direct, run].map(|command| command.output().unwrap()));
    for (output, code) in ended.iter().zip([3, 254]) {
        let said = told(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with("error: no inotify instance is left for the pod"), "{said}");
    }
    gantry.wait_all();
    // Once instances are free again, the pod starts.
    assert_eq!(gantry.start(&pod).wait().0, 7);

    let said = (0..10).find_map(|_| {
        let said = start_and_take(&pod);
        gantry.wait_all();
        said
    });
    let said = told(&said.expect("systemd finds none left at last"));
    assert!(said.starts_with("error: systemd-nspawn exited with 255 before the pod had a code: "), "{said}");
}
