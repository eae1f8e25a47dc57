// SPDX-License-Identifier: Apache-2.0
//! No cgroup of a pod outlives the pod.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gate::root_test;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use testing::image::script;
use testing::pods::{Gantry, text};
use testing::rootfs::Rootfs;

/// Opens this process's cgroup, by a mount that is attached nowhere.
fn own() -> OwnedFd {
    unshare(CloneFlags::CLONE_NEWCGROUP).unwrap();
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_create(context.as_fd()).unwrap();
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap()
}

fn open_dir(at: impl AsFd, path: &str) -> nix::Result<OwnedFd> {
    openat(at, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// A cgroup below the process's own, with one below it. It is removed on drop unless that was done before.
struct Left<'a> {
    own: &'a OwnedFd,
    name: String,
}

impl<'a> Left<'a> {
    fn new(own: &'a OwnedFd, name: &str) -> Self {
        let left = Self { own, name: name.into() };
        for path in [left.name.clone(), left.below()] {
            mkdirat(own, path.as_str(), Mode::S_IRWXU).unwrap();
        }
        left
    }

    fn below(&self) -> String {
        format!("{}/below", self.name)
    }

    fn is_there(&self) -> bool {
        open_dir(self.own, &self.name).is_ok()
    }

    /// Puts a process into it that ends when its stdin does.
    fn enter(&self) -> Child {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let path = format!("{}/cgroup.procs", self.below());
        let file =
            openat(self.own, path.as_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        File::from(file).write_all(child.id().to_string().as_bytes()).unwrap();
        child
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        for path in [self.below(), self.name.clone()] {
            let _ = unlinkat(self.own, path.as_str(), UnlinkatFlags::RemoveDir);
        }
    }
}

fn prepare(gantry: &Gantry) -> PathBuf {
    let image = gantry.image("one", &Rootfs::busybox().unwrap(), &script("one", "exit 7"));
    gantry.prepare(&[&image], &[])
}

fn is_left(own: &OwnedFd, pod: &Path) -> bool {
    let name = format!("gantry-{}", pod.file_name().unwrap().to_str().unwrap());
    match open_dir(own, &name) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, Errno::ENOENT);
            false
        }
    }
}

#[root_test]
fn a_start_that_fails_leaves_no_cgroup() {
    let gantry = Gantry::new();
    let (own, pod) = (own(), prepare(&gantry));
    let installer = gantry.installer();
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /dev && exec \"$@\"", "sh"]);
    shell.arg(installer.get_program()).args(installer.get_args()).arg("run").arg(&pod);
    let output = shell.stdin(Stdio::null()).output().unwrap();
    gantry.wait_all();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(254), 1), "{said}");
    assert!(!is_left(&own, &pod));
}

/// The reaper ends with the first process of its process namespace, whatever it has still to do.
#[root_test]
fn a_pod_in_a_process_namespace_of_its_own_leaves_no_cgroup() {
    let gantry = Gantry::new();
    let (own, pod) = (own(), prepare(&gantry));
    for _ in 0..5 {
        let mut unshare = Command::new("unshare");
        let output = unshare.args(["-pf", "./stage1/init"]).current_dir(&pod).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(7), ""));
        assert!(!is_left(&own, &pod));
    }
}

#[root_test]
fn what_a_killed_reaper_left_is_removed_by_the_next_start_and_by_gc() {
    let gantry = Gantry::new();
    let (own, pod) = (own(), prepare(&gantry));
    let start = || assert_eq!(gantry.start(&pod).wait().0, 7);
    let gc = || assert!(gantry.installer().arg("gc").status().unwrap().success());
    for (sweep, number) in [(&start as &dyn Fn(), 0), (&gc, 1)] {
        let name = |kind| format!("gantry-6733c088-a507-4694-aabf-ae0bc1ccaa{kind}{number}");
        let left = Left::new(&own, &name(1));
        let inhabited = Left::new(&own, &name(2));
        let mut inhabitant = inhabited.enter();
        // A pod that is starting has such a cgroup.
        let starting = Left::new(&own, &name(3));
        let lock = open_dir(&own, &starting.name).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockSharedNonblock).map_err(|(_, error)| error).unwrap();
        let others = Left::new(&own, &format!("gantry-other-{number}"));
        sweep();
        let stay = [&inhabited, &starting, &others].map(Left::is_there);
        inhabitant.stdin.take();
        inhabitant.wait().unwrap();
        assert_eq!((left.is_there(), stay), (false, [true; 3]));
        drop(lock);
        sweep();
        assert_eq!([&inhabited, &starting, &others].map(Left::is_there), [false, false, true]);
    }
}
