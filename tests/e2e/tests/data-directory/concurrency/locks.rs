// SPDX-License-Identifier: Apache-2.0
//! Which processes can make others wait, and for how long.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gate::root_test;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testing::host::waits_for_a_lock;
use testing::pods::text;
use testing::tiny::Tiny;

use super::{prepared, refused, start};

/// A wait that takes longer is taken for a hang.
const LONG: Duration = Duration::from_secs(60);

fn locked(directory: &Path) -> Flock<File> {
    Flock::lock(File::open(directory).unwrap(), FlockArg::LockExclusive).unwrap()
}

/// A process that may open a directory can also lock it, even if it may only read it.
#[root_test]
fn nobody_else_can_hold_gantry_up() {
    let tiny = Tiny::new();
    fs::create_dir(tiny.dir()).unwrap();
    fs::set_permissions(tiny.dir(), Permissions::from_mode(0o755)).unwrap();
    let lock = locked(&tiny.dir());
    let child = start(&tiny, &["prepare", "--image", "tiny.aci"]);
    let (tell, told) = mpsc::channel();
    let output = thread::spawn(move || {
        let output = child.wait_with_output().unwrap();
        tell.send(()).unwrap();
        output
    });
    let ended = told.recv_timeout(LONG);
    drop(lock);
    prepared(&output.join().unwrap());
    ended.expect("it did not wait for the lock");

    // No other process can open what it will lock: that is checked before locking.
    let staging = tiny.dir().join("staging");
    assert_eq!(fs::metadata(&staging).unwrap().permissions().mode() & 0o7777, 0o700);
    fs::set_permissions(&staging, Permissions::from_mode(0o755)).unwrap();
    let _lock = locked(&staging);
    refused(&start(&tiny, &["image", "list"]).wait_with_output().unwrap(), "others can open it");
}

#[root_test]
fn a_signal_ends_the_wait_for_a_lock() {
    let tiny = Tiny::new();
    assert!(tiny.installer(&["image", "import", "tiny.aci"]).output().unwrap().status.success());
    let tree = fs::read_dir(tiny.dir().join("store/tree-v1")).unwrap().next().unwrap().unwrap().path();
    for (directory, signal, code) in
        [(tiny.dir().join("staging"), Signal::SIGTERM, 143), (tree, Signal::SIGINT, 130)]
    {
        let _lock = locked(&directory);
        let child = start(&tiny, &["image", "list"]);
        while !waits_for_a_lock(child.id()) {
            thread::yield_now();
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = (output.status.code(), text(&output.stdout), text(&output.stderr));
        assert_eq!(said, (Some(code), String::new(), "interrupted\n".into()), "{}", directory.display());
    }
}
