// SPDX-License-Identifier: Apache-2.0
//! The host's properties that a plan depends on: what can be enforced, and what apps are told about the host.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, Result, ensure};
use pod::Pod;
use pod::isolators::CapabilitySet;

use crate::exchange::launch_file::launchers_capabilities;
use crate::load::ids::Ids;
use crate::load::zone::Zone;

/// How much of a resolv.conf is read at most.
const RESOLV_CONF_MAX: u64 = 64 << 10;

/// The host's properties that pods depend on.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The resources that can be limited.
    pub controllers: Controllers,
    /// The capabilities that this process could pass on: its bounding set.
    pub capabilities: CapabilitySet,
    /// How readily the kernel ends this process when memory runs out. Lowering it needs `CAP_SYS_RESOURCE`.
    pub oom_score_adjust: i16,
    /// The ids of the pod's users on the host; `None` means the host's own users.
    pub ids: Option<Ids>,
    /// The host's /etc/resolv.conf.
    pub resolv_conf: Option<String>,
    /// The host's time zone; `None` means UTC.
    pub zone: Option<Zone>,
}

/// The available cgroup v2 controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// `cpu`.
    pub cpu: bool,
    /// `memory`.
    pub memory: bool,
}

impl Controllers {
    /// Returns the controllers that the limits on this pod need.
    pub(crate) fn wanted_by(pod: &Pod) -> Self {
        let isolators = || pod.apps.iter().map(|app| &app.isolators);
        Self {
            cpu: !pod.cpu.is_none() || isolators().any(|i| !i.cpu.is_none() || i.cpu_shares.is_some()),
            memory: !pod.memory.is_none() || isolators().any(|i| !i.memory.is_none()),
        }
    }
}

/// Inspects the host, whose controllers and time zone are known already, and which has given the pod these ids.
pub(crate) fn look(controllers: Controllers, zone: Option<Zone>, ids: Option<Ids>) -> Result<Host> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let score = std::fs::read_to_string("/proc/self/oom_score_adj").context("cannot read oom_score_adj")?;
    let capabilities = bounding_set(&status).context("no CapBnd in /proc/self/status")?;
    let missing = launchers_capabilities().without(capabilities);
    ensure!(missing.is_empty(), "this process has no {missing} to pass on: expected it, to start apps");
    Ok(Host {
        controllers,
        capabilities,
        oom_score_adjust: score.trim().parse().context("oom_score_adj is not a number")?,
        ids,
        resolv_conf: resolv_conf().context("cannot read the host's /etc/resolv.conf")?,
        zone,
    })
}

/// Reads the bounding set from the line `CapBnd:`, which has 16 hex digits (proc_pid_status(5)).
fn bounding_set(status: &str) -> Option<CapabilitySet> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(hex.trim(), 16).ok().map(CapabilitySet::from_bits)
}

fn resolv_conf() -> io::Result<Option<String>> {
    let file = match File::open("/etc/resolv.conf") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut content = Vec::new();
    file.take(RESOLV_CONF_MAX).read_to_end(&mut content)?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_is_read() {
        let set = bounding_set("CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n").unwrap();
        assert_eq!(set, CapabilitySet::DEFAULT);
        assert_eq!(bounding_set("CapEff: 0\n"), None);
    }
}
