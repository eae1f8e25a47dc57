// SPDX-License-Identifier: Apache-2.0
//! The host's properties that a plan depends on: what can be enforced, and what apps are told about the host.

use std::{fs, io};

use anyhow::{Context, Result, ensure};
use pod::Pod;
use pod::isolators::{CapabilitySet, Rates};
use pod::manifest::Users;

use crate::exchange::launch_file::launchers_capabilities;
use crate::load::ids::Ids;
use crate::load::metadata::Access;
use crate::load::network::Network;
use crate::load::zone::Zone;

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
    /// The pod's network, and what names in it depend on.
    pub network: Network,
    /// The pod's metadata service as apps find it; `None` if there is none.
    pub metadata: Option<Access>,
    /// The host's time zone; `None` means UTC.
    pub zone: Option<Zone>,
    /// The block devices, `MAJOR:MINOR`, that limits count for.
    pub block_devices: Vec<String>,
}

/// The available cgroup v2 controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// `cpu`.
    pub cpu: bool,
    /// `memory`.
    pub memory: bool,
    /// `pids`.
    pub pids: bool,
    /// `io`.
    pub io: bool,
}

impl Controllers {
    /// Returns the controllers that the limits on this pod need.
    pub(crate) fn wanted_by(pod: &Pod) -> Self {
        let isolators = || pod.apps.iter().map(|app| &app.isolators);
        Self {
            cpu: !pod.cpu.is_none() || isolators().any(|i| !i.cpu.is_none() || i.cpu_shares.is_some()),
            memory: !pod.memory.is_none() || isolators().any(|i| !i.memory.is_none()),
            // Nothing else limits the processes of apps without users of their own.
            pids: pod.tasks.is_some()
                || isolators().any(|i| i.tasks.is_some())
                || pod.apps.iter().any(|app| app.users != Users::Own || !app.needs_pods_users().is_empty()),
            io: pod.block != Rates::default(),
        }
    }
}

/// Inspects the host, whose controllers and time zone are known already, and which has given the pod these
/// ids, this network and this place for its metadata service.
pub(crate) fn look(
    controllers: Controllers,
    zone: Option<Zone>,
    ids: Option<Ids>,
    network: Network,
    metadata: Option<Access>,
) -> Result<Host> {
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
        network,
        metadata,
        zone,
        block_devices: if controllers.io {
            block_devices().context("cannot list block devices")?
        } else {
            Vec::new()
        },
    })
}

/// Lists the block devices that have space, as whole devices: the kernel limits no parts of them.
fn block_devices() -> io::Result<Vec<String>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let path = entry?.path();
        let read = |name| fs::read_to_string(path.join(name));
        // A device may have gone meanwhile.
        if let (Ok(size), Ok(numbers)) = (read("size"), read("dev"))
            && size.trim() != "0"
        {
            devices.push(numbers.trim().to_owned());
        }
    }
    devices.sort_unstable();
    Ok(devices)
}

/// Reads the bounding set from the line `CapBnd:`, which has 16 hex digits (proc_pid_status(5)).
fn bounding_set(status: &str) -> Option<CapabilitySet> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(hex.trim(), 16).ok().map(CapabilitySet::from_bits)
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
