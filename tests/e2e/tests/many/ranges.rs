// SPDX-License-Identifier: Apache-2.0
//! The ids that pods' processes have on the host, read from the processes themselves, and whether two pods share some.

use std::fs;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;

use gate::root_test;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use testing::alone::Alone;
use testing::broadcast::{cgroup, processes};

use crate::id;

/// The cgroups of pods.
pub(crate) struct Watch(Vec<(String, PathBuf)>);

/// What was seen of running pods.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// How many pods had ids of their own.
    pub(crate) pods: usize,
    /// How many processes did.
    pub(crate) processes: usize,
}

/// A process, and the ids that it can have or give.
struct Process {
    pod: usize,
    pid: Pid,
    handle: OwnedFd,
    ids: Vec<Range<u64>>,
}

impl Watch {
    pub(crate) fn over(pods: &[PathBuf]) -> Self {
        let own = std::process::id().cast_signed();
        let cgroup = |pod: &PathBuf| (id(pod), cgroup(own, &id(pod)));
        Self(pods.iter().map(cgroup).collect())
    }

    /// Looks at all pods, and fails if two of them share an id.
    pub(crate) fn look(&self) -> Seen {
        let all: Vec<_> = (0..self.0.len()).flat_map(|pod| self.processes(pod)).collect();
        self.check(&all);
        let mut pods: Vec<_> = all.iter().map(|process| process.pod).collect();
        pods.dedup();
        Seen { pods: pods.len(), processes: all.len() }
    }

    fn check(&self, all: &[Process]) {
        for (at, one) in all.iter().enumerate() {
            let others = all[at + 1..].iter().filter(|other| other.pod != one.pod && other.shares_with(one));
            for other in others {
                // What was read of one may be of before the other began: both are there after both were read, or they
                // never were at once.
                assert!(
                    one.has_ended() || other.has_ended(),
                    "pods {} and {} share ids: processes {} and {} have {:?} and {:?}",
                    self.0[one.pod].0,
                    self.0[other.pod].0,
                    one.pid,
                    other.pid,
                    one.ids,
                    other.ids,
                );
            }
        }
    }

    /// Lists a pod's processes that have not the host's ids.
    fn processes(&self, pod: usize) -> Vec<Process> {
        let all = processes(&self.0[pod].1).into_iter();
        all.filter_map(|number| Process::read(pod, number)).collect()
    }
}

impl Process {
    fn read(pod: usize, number: i32) -> Option<Self> {
        let pid = Pid::from_raw(number)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let ids = parse(&fs::read_to_string(format!("/proc/{number}/uid_map")).ok()?);
        (!ids.is_empty()).then_some(Self { pod, pid, handle, ids })
    }

    fn shares_with(&self, other: &Self) -> bool {
        self.ids.iter().any(|one| other.ids.iter().any(|other| overlap(one, other)))
    }

    fn has_ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&now)).unwrap() > 0
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Reads a process's map (user_namespaces(7)): the host's ids in it, unless these are all.
fn parse(map: &str) -> Vec<Range<u64>> {
    let line = |line: &str| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [_, first, count] = numbers[..] else { return None };
        (count < u64::from(u32::MAX)).then_some(first..first + count)
    };
    map.lines().filter_map(line).collect()
}

#[test]
fn ranges_that_overlap_are_seen() {
    let ids = |map| parse(map).remove(0);
    let (one, inner) = (ids("0 1073741824 131072\n"), ids("         0 1073807360      65536\n"));
    assert!(overlap(&one, &inner) && overlap(&inner, &one));
    assert!(!overlap(&one, &ids("0 1073872896 65536\n")));
    assert_eq!(parse("0 0 4294967295\n"), []);
}

/// Starts a process whose namespace has these ids of the host's.
fn with_ids(first: u32) -> Child {
    let child = Command::new("unshare").args(["--user", "sleep", "1000"]).spawn().unwrap();
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/user")).unwrap();
    while namespace(&child.id().to_string()) == namespace("self") {
        thread::yield_now();
    }
    fs::write(format!("/proc/{}/uid_map", child.id()), format!("0 {first} 65536")).unwrap();
    child
}

#[root_test]
fn processes_that_share_ids_are_seen() {
    // Another test's would wait for these children.
    let _alone = Alone::new();
    let watch = Watch(["one", "two"].map(|pod| (pod.to_owned(), PathBuf::new())).to_vec());
    let mut children = [0x4000_0000, 0x4001_0000, 0x4001_0000].map(with_ids);
    let read = |index: usize| Process::read(index / 2, children[index].id().cast_signed()).unwrap();
    let all = [0, 1, 2].map(read);
    let shared = panic::catch_unwind(AssertUnwindSafe(|| watch.check(&all))).unwrap_err();
    assert!(shared.downcast_ref::<String>().unwrap().contains("pods one and two share ids"));
    // One that has ended has none.
    for child in &mut children[1..] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    watch.check(&all);
    children[0].kill().unwrap();
    children[0].wait().unwrap();
}
