// SPDX-License-Identifier: Apache-2.0
//! Counts of what takes time when programs start and end, whatever the machine.

use std::fs;

use nix::unistd::Pid;

use super::registers::Registers;

/// How often a program and its children did something with success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Processes that were made.
    pub processes: usize,
    /// Threads that were made in a process that was there.
    pub threads: usize,
    /// Mounts that were made, moved or changed.
    pub mounts: usize,
    /// Mounts that were taken away by a call.
    pub unmounts: usize,
    /// Writes that moved a process to another cgroup.
    pub migrations: usize,
    /// Inotify instances that were made.
    pub inotify: usize,
}

impl Counts {
    /// Counts a thread that was made.
    pub(super) fn made(&mut self, new: Pid) {
        let status = fs::read_to_string(format!("/proc/{new}/status")).unwrap_or_default();
        let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        // A process's first thread has the process's number. What is gone already was one.
        if group.is_none_or(|group: i32| group == new.as_raw()) {
            self.processes += 1;
        } else {
            self.threads += 1;
        }
    }

    /// Counts a call that a thread has made with success.
    pub(super) fn called(&mut self, thread: Pid, entry: &Registers) {
        let number = usize::try_from(entry.number()).ok();
        let name = number.and_then(syscalls::Sysno::new).map(|call| call.name());
        match name {
            Some("mount" | "move_mount" | "mount_setattr") => self.mounts += 1,
            Some("umount2") => self.unmounts += 1,
            Some("inotify_init" | "inotify_init1") => self.inotify += 1,
            Some("write") => {
                let file = fs::read_link(format!("/proc/{thread}/fd/{}", entry.arguments()[0]));
                self.migrations += usize::from(file.is_ok_and(|file| file.ends_with("cgroup.procs")));
            }
            _ => {}
        }
    }
}
