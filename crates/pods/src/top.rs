// SPDX-License-Identifier: Apache-2.0
//! What the apps of a running pod use: processor time and memory, of each process and together.
//!
//! Which processes are an app's, its cgroup says. What they use together is the cgroup's number where the kernel counts it
//! there, and else the sum of the processes'.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pod::name::AppName;
use rustix::process::Pid;

use crate::app::units;
use crate::cgroup::Cgroup;
use crate::directory::Pod;
use crate::state::look;
use crate::stop::not_running;

/// How many ticks of /proc a second has: `USER_HZ`, which is the same on all machines (the kernel's asm-generic/param.h).
const TICKS: u64 = 100;

/// The resources that an app uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppUse {
    /// The app.
    pub app: AppName,
    /// The processor time of its processes, also of those that have ended, since the app was last started.
    pub cpu: Duration,
    /// Memory in bytes.
    pub memory: u64,
    /// Its processes, in the order of their ids.
    pub processes: Vec<ProcessUse>,
}

/// The resources that a process uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessUse {
    /// Its id on the host.
    pub id: i32,
    /// Its processor time.
    pub cpu: Duration,
    /// The memory that it has in RAM, in bytes: what it shares with others counts for each.
    pub memory: u64,
    /// Its command line, as it says it; any character may be in it.
    pub command: String,
}

/// Returns what the apps of a running pod use, in the manifest's order.
///
/// # Errors
/// If the pod doesn't run, or its cgroup can't be read.
pub fn top(pod: &Pod) -> Result<Vec<AppUse>> {
    let apps = pod.contents().with_context(|| format!("pod {}", pod.id()))?.apps;
    let seen = look(pod)?;
    let process = seen.process.ok_or_else(|| not_running(pod, seen.state))?;
    let cgroup = Cgroup::of(pod.id(), &process)?.ok_or_else(|| not_running(pod, seen.state))?;
    apps.into_iter().map(|app| of_app(&cgroup, app.name)).collect()
}

fn of_app(cgroup: &Cgroup, app: AppName) -> Result<AppUse> {
    let mut found = AppUse { app, cpu: Duration::ZERO, memory: 0, processes: Vec::new() };
    for unit in units(&found.app) {
        let Some(own) = cgroup.find(&unit)? else { continue };
        // One that ends meanwhile is left out.
        let mut processes: Vec<_> =
            own.processes().unwrap_or_default().into_iter().filter_map(of_process).collect();
        let read = |file: &str| own.read(file).unwrap_or_default();
        let cpu: Duration = processes.iter().map(|process| process.cpu).sum();
        let memory: u64 = processes.iter().map(|process| process.memory).sum();
        found.cpu += used(&read("cpu.stat")).unwrap_or(cpu);
        found.memory += read("memory.current").trim().parse().unwrap_or(memory);
        found.processes.append(&mut processes);
    }
    found.processes.sort_by_key(|process| process.id);
    Ok(found)
}

/// Reads the processor time of a cgroup (admin-guide/cgroup-v2, cpu.stat).
fn used(text: &str) -> Option<Duration> {
    let time = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(Duration::from_micros(time.trim().parse().ok()?))
}

fn of_process(pid: Pid) -> Option<ProcessUse> {
    let id = pid.as_raw_nonzero().get();
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (cpu, memory) = cpu_and_memory(&stat)?;
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let command = words.join(" ").trim_end().to_owned();
    // A process that has ended, and that its parent has not waited for, has none.
    let name = || Some(format!("[{}]", stat.split_once('(')?.1.rsplit_once(')')?.0));
    let command = if command.is_empty() { name()? } else { command };
    Some(ProcessUse { id, cpu, memory, command })
}

/// Reads the fourteenth, fifteenth and twenty-fourth field of proc_pid_stat(5). The second one, a name, may have any
/// character.
fn cpu_and_memory(stat: &str) -> Option<(Duration, u64)> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    let pages = number(24)?;
    Some((Duration::from_millis(ticks * 1000 / TICKS), pages * rustix::param::page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_uses_is_read_as_the_kernel_writes_it() {
        let stat =
            "15931 (a) S 1 (b) R 15887 15931 15931 0 -1 4194560 1 0 0 0 7 23 0 0 20 0 1 0 189567 8192 5 3";
        let page = rustix::param::page_size() as u64;
        assert_eq!(cpu_and_memory(stat), Some((Duration::from_millis(300), 5 * page)));
        assert_eq!(cpu_and_memory("1 (a) S 2"), None);
        assert_eq!(used("usage_usec 1500\nuser_usec 1\n"), Some(Duration::from_micros(1500)));
        let own = of_process(rustix::process::getpid()).unwrap();
        assert!(own.memory > 0 && !own.command.is_empty(), "{own:?}");
    }
}
