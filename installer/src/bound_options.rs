// SPDX-License-Identifier: Apache-2.0
//! Options about what all apps of a pod use up together. Comments on them are the help that a person reads.

use clap::Args;
use pod::isolators::Capacity;
use prepare::apps::tasks;
use prepare::size;

/// The heading of options about the pod as a whole.
pub(crate) const POD: &str = "Options of the pod";

/// The options that bound what a pod's apps use.
#[derive(Debug, Args)]
pub(crate) struct BoundOptions {
    /// The most bytes in /dev/shm, which the apps share [default: 64m]
    #[arg(
        long,
        value_name = "BYTES[,inodes=N]",
        value_parser = size,
        conflicts_with = "pod_manifest",
        help_heading = POD
    )]
    pub(crate) shm_size: Option<Capacity>,
    /// The most processes and threads that all apps have at a time [default: the sum of the apps' --pids-limit]
    #[arg(long, value_name = "N", value_parser = tasks, conflicts_with = "pod_manifest", help_heading = POD)]
    pub(crate) pod_pids_limit: Option<u32>,
}

impl BoundOptions {
    /// Tells whether something is said.
    pub(crate) fn is_given(&self) -> bool {
        self.shm_size.is_some() || self.pod_pids_limit.is_some()
    }
}
