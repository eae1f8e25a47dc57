// SPDX-License-Identifier: Apache-2.0
//! A test that has a host to itself, so that whatever pods leave is seen, whatever it is called.
//!
//! Its thread has mounts, a `/run` and (from `gate`) a network of its own, which the threads and programs that it starts
//! have, too. Orphans become children of the test's process. Only one test of a program has that at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::host::own_mounts;
use crate::tables;

/// How long what is left may take to go: the kernel removes links and tables some time after their last user.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(5);
/// Where cgroups are, of all hierarchies.
const CGROUPS: &str = "/sys/fs/cgroup";

static ONE: Mutex<()> = Mutex::new(());

/// The host of one test.
#[derive(Debug)]
pub struct Alone {
    before: Traces,
    _only: MutexGuard<'static, ()>,
}

/// What pods could leave, but for processes and cgroups.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: Vec<String>,
    run: BTreeSet<String>,
    links: BTreeSet<String>,
    tables: BTreeSet<String>,
    sockets: BTreeSet<String>,
}

impl Default for Alone {
    fn default() -> Self {
        Self::new()
    }
}

impl Alone {
    /// Gives this thread a host of its own, once no other test has one.
    ///
    /// # Panics
    /// Panics if that fails.
    pub fn new() -> Self {
        let only = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        own_mounts();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .expect("/run can be made anew");
        set_child_subreaper(true).expect("orphans can be adopted");
        Self { before: Traces::look(), _only: only }
    }

    /// Checks that no process, mount, cgroup, name in `/run`, link, table or socket is left of these pods, or of what else
    /// was started. All children whose end somebody waits for must have been waited for.
    ///
    /// # Panics
    /// Panics if something is left.
    pub fn assert_nothing_is_left(&self, pods: &[String]) {
        let begun = Instant::now();
        let wait = |what: &mut dyn FnMut() -> Option<String>| {
            while let Some(left) = what() {
                assert!(begun.elapsed() < PATIENCE, "{left}");
                sleep(STEP);
            }
        };
        wait(&mut || children().map(|left| format!("processes are left: {left}")));
        wait(&mut || {
            let now = Traces::look();
            (now != self.before).then(|| format!("left on the host: {now:#?}\nbefore: {:#?}", self.before))
        });
        wait(&mut || {
            let mut left = Vec::new();
            list(Path::new(CGROUPS), &mut |path| {
                if pods.iter().any(|pod| path.contains(&format!("gantry-{pod}"))) {
                    left.push(path.to_owned());
                }
            });
            (!left.is_empty()).then(|| format!("cgroups are left: {left:?}"))
        });
    }
}

/// Collects children that have ended, and returns the others' command lines.
fn children() -> Option<String> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return None,
            Ok(status) if status.pid().is_none() => break,
            _ => {}
        }
    }
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let words = |id: &str| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let children: Vec<_> = children
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .map(|id| format!("{id} {}", words(&id).replace('\0', " ")))
        .collect();
    Some(children.join(", "))
}

impl Traces {
    fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).expect("/proc can be read");
        // The fifth field is the mount point (proc_pid_mountinfo(5)).
        let mounts = read("/proc/thread-self/mountinfo");
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect();
        let mut run = BTreeSet::new();
        list(Path::new("/run"), &mut |path| {
            run.insert(path.to_owned());
        });
        let links = read("/proc/thread-self/net/dev");
        let links =
            links.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
        let sockets = read("/proc/thread-self/net/unix");
        let sockets = sockets.lines().skip(1).filter_map(|line| line.split(' ').nth(7)).map(str::to_owned);
        Self {
            mounts,
            run,
            links: links.collect(),
            tables: tables::names().expect("nf_tables can be asked").into_iter().collect(),
            sockets: sockets.collect(),
        }
    }
}

/// Tells of everything below a directory.
fn list(directory: &Path, tell: &mut dyn FnMut(&str)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        tell(&entry.path().to_string_lossy());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), tell);
        }
    }
}
