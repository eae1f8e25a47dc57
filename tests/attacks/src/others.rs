// SPDX-License-Identifier: Apache-2.0
//! Attacks a process that is not the app's: that of the app beside it, which [`victim`] finds, and the pod's systemd,
//! which is process 1. Each is how debuggers look into a process, or how old container runtimes were left.

use std::fs::{self, File, OpenOptions};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::sched::{CloneFlags, setns};
use nix::sys::ptrace;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::attack::{Attack, io_step, step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[
    ("victim-environment", || environment(victim()?)),
    ("victim-root", || root(victim()?)),
    ("victim-descriptors", || descriptors(victim()?)),
    ("victim-memory", || memory(victim()?)),
    ("victim-signal", || signal(victim()?)),
    ("victim-trace", || trace(victim()?)),
    ("victim-take-descriptor", || take_descriptor(victim()?)),
    ("victim-mounts", || join(victim()?)),
    ("systemd-environment", || environment(SYSTEMD)),
    ("systemd-root", || root(SYSTEMD)),
    ("systemd-memory", || memory(SYSTEMD)),
    ("systemd-signal", || signal(SYSTEMD)),
    ("systemd-trace", || trace(SYSTEMD)),
    ("systemd-take-descriptor", || take_descriptor(SYSTEMD)),
    ("stage1-init", || init(SYSTEMD)),
];

const SYSTEMD: Pid = Pid::from_raw(1);
/// How long a victim may take to start.
const START: Duration = Duration::from_secs(20);

/// Finds the process that was started as `attack --as $ATTACK_VICTIM`: everybody may read command lines.
pub(crate) fn victim() -> Result<Pid, String> {
    let mark = env::var("ATTACK_VICTIM").map_err(|_| "ATTACK_VICTIM is not set")?;
    let until = Instant::now() + START;
    loop {
        let processes = io_step("list /proc", fs::read_dir("/proc"))?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        if let Some(id) = { ids }.find(|id| is_marked(*id, &mark)) {
            return Ok(Pid::from_raw(id));
        }
        if Instant::now() > until {
            return Err("no victim".into());
        }
        thread::yield_now();
    }
}

fn is_marked(id: i32, mark: &str) -> bool {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.next() == Some(b"--as") && words.next() == Some(mark.as_bytes())
}

fn environment(process: Pid) -> Result<(), String> {
    io_step("read environ", fs::read(format!("/proc/{process}/environ"))).map(drop)
}

fn root(process: Pid) -> Result<(), String> {
    io_step("list root", fs::read_dir(format!("/proc/{process}/root/"))).map(drop)
}

fn descriptors(process: Pid) -> Result<(), String> {
    io_step("list fd", fs::read_dir(format!("/proc/{process}/fd"))).map(drop)
}

fn memory(process: Pid) -> Result<(), String> {
    let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{process}/mem"));
    io_step("open mem", memory).map(drop)
}

fn signal(process: Pid) -> Result<(), String> {
    step("kill", kill(process, None))
}

/// Traces without stopping it. The trace ends with this process.
fn trace(process: Pid) -> Result<(), String> {
    step("ptrace", ptrace::seize(process, ptrace::Options::empty()))
}

fn take_descriptor(process: Pid) -> Result<(), String> {
    let process = rustix::process::Pid::from_raw(process.as_raw()).ok_or("no process")?;
    let process = io_step("pidfd_open", pidfd_open(process, PidfdFlags::empty()).map_err(Into::into))?;
    let taken = pidfd_getfd(process, 0, PidfdGetfdFlags::empty());
    io_step("pidfd_getfd", taken.map_err(Into::into)).map(drop)
}

/// Enters its mount namespace.
fn join(process: Pid) -> Result<(), String> {
    let namespace = io_step("open ns/mnt", File::open(format!("/proc/{process}/ns/mnt")))?;
    step("setns", setns(namespace, CloneFlags::CLONE_NEWNS))
}

/// Opens for writing what the host's root executes at the pod's next start.
fn init(process: Pid) -> Result<(), String> {
    let program = OpenOptions::new().write(true).open(format!("/proc/{process}/root/init"));
    io_step("open init", program).map(drop)
}
