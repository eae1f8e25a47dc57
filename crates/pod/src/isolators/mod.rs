// SPDX-License-Identifier: Apache-2.0
//! Isolators: what an app or a pod may do and use (appc spec, "Isolators"; of 0.1's, those that still have a meaning).
//!
//! Isolators that Gantry knows are parsed into values that can be enforced as they are. The names of the others are
//! kept, to be reported.

mod capability;
mod capacity;
mod quantity;
mod seccomp;
mod sysctl;
mod value;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

pub use capability::{Capability, CapabilitySet};
pub use capacity::Capacity;
pub use quantity::{Quantity, Unit};
pub use seccomp::{Call, ErrorNumber, Rule, Seccomp};
pub use sysctl::Sysctl;

use crate::error::{Error, Result};
use crate::name::Identifier;
use value::{number, quantity, set, text};

/// Groups of isolators of which only one can be given: each says the same thing in another way.
const ALTERNATIVES: [&[&str]; 4] = [
    &["os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set", "capabilities/bounding-set"],
    &["os/linux/seccomp-retain-set", "os/linux/seccomp-remove-set"],
    &["os/linux/cpu-shares", "cpu/shares"],
    &["resource/memory", "memory/limit"],
];

/// The most that the kernel has of processes and threads (proc_sys_kernel(5), `threads-max`, `pid_max`).
pub const TASKS_MAX: u32 = 4_194_304;

/// The isolators of an app, an image or a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Raw>")]
pub struct Isolators {
    /// The capabilities that the app keeps: its bounding set.
    pub capabilities: Option<CapabilitySet>,
    /// Whether programs that it runs are kept from gaining privileges.
    pub no_new_privileges: Option<bool>,
    /// The filter of its system calls. In a [`crate::Pod`], every filter that is present filters something.
    pub seccomp: Option<Seccomp>,
    /// How readily the kernel ends it when memory runs out, −1000 to 1000.
    pub oom_score_adjust: Option<i16>,
    /// Its share of the CPU relative to others, as cgroup v1 counts it: 2 to 262144, 1024 by default.
    pub cpu_shares: Option<u32>,
    /// CPU time, in cores.
    pub cpu: Resource,
    /// Memory, in bytes.
    pub memory: Resource,
    /// How many processes and threads it may have at a time; `None` means the default.
    pub tasks: Option<u32>,
    /// How much an app's /tmp holds, which is in memory then; `None` means that only a read-only root has one in memory.
    pub tmp: Option<Capacity>,
    /// How much a pod's /dev/shm holds; `None` means the default.
    pub shm: Option<Capacity>,
    /// Bytes a second, and operations a second, that may be read from and written to each block device.
    pub block: Rates,
    /// Bytes a second that may be sent, and as many that may be received.
    pub network_bandwidth: Option<Quantity>,
    /// Sysctls of a pod's own.
    pub sysctls: Vec<Sysctl>,
    /// The name of the isolator that asks for a profile or a label of a security module of the host's.
    pub label: Option<Identifier>,
    /// The names of unknown isolators.
    pub unknown: Vec<Identifier>,
}

/// Limits of block devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Bytes a second, in each direction.
    pub bandwidth: Option<Quantity>,
    /// Operations a second, in each direction.
    pub operations: Option<Quantity>,
}

/// The amounts of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// The amount that it should have; the limit if only that is given (appc spec, "Resource Isolators").
    pub request: Option<Quantity>,
    /// The amount that it can't exceed.
    pub limit: Option<Quantity>,
}

/// An isolator: `{name, value}` in 0.8, `{name, val}` in 0.1.
#[derive(Deserialize)]
struct Raw {
    name: Identifier,
    #[serde(alias = "val", default)]
    value: Value,
}

impl TryFrom<Vec<Raw>> for Isolators {
    type Error = Error;

    fn try_from(raw: Vec<Raw>) -> Result<Self> {
        let mut all = Self::default();
        let mut seen = BTreeSet::new();
        for Raw { name, value } in raw {
            if !seen.insert(name.clone()) {
                return Err(Error::new(format!("two isolators {name}: expected at most one")));
            }
            all.add(&name, &value).map_err(|error| error.within(format_args!("isolator {name}")))?;
        }
        for names in ALTERNATIVES {
            let mut given = names.iter().filter(|name| seen.iter().any(|seen| seen.as_str() == **name));
            if let (Some(one), Some(other)) = (given.next(), given.next()) {
                return Err(Error::new(format!("isolators {one} and {other}: expected one of them")));
            }
        }
        Ok(all)
    }
}

impl Isolators {
    /// Returns these isolators, completed by those of `other`.
    ///
    /// Request and limit of a resource are taken from the same one of the two, so that no request of the one ends up
    /// above a limit of the other.
    #[must_use]
    pub fn over(self, other: &Self) -> Self {
        let unknown = other.unknown.iter().filter(|name| !self.unknown.contains(name)).cloned();
        Self {
            capabilities: self.capabilities.or(other.capabilities),
            no_new_privileges: self.no_new_privileges.or(other.no_new_privileges),
            seccomp: self.seccomp.clone().or_else(|| other.seccomp.clone()),
            oom_score_adjust: self.oom_score_adjust.or(other.oom_score_adjust),
            cpu_shares: self.cpu_shares.or(other.cpu_shares),
            cpu: self.cpu.over(other.cpu),
            memory: self.memory.over(other.memory),
            tasks: self.tasks.or(other.tasks),
            tmp: self.tmp.or(other.tmp),
            shm: self.shm.or(other.shm),
            block: Rates {
                bandwidth: self.block.bandwidth.or(other.block.bandwidth),
                operations: self.block.operations.or(other.block.operations),
            },
            network_bandwidth: self.network_bandwidth.or(other.network_bandwidth),
            sysctls: if self.sysctls.is_empty() { other.sysctls.clone() } else { self.sysctls.clone() },
            label: self.label.clone().or_else(|| other.label.clone()),
            unknown: self.unknown.iter().cloned().chain(unknown).collect(),
        }
    }

    fn add(&mut self, name: &Identifier, value: &Value) -> Result<()> {
        match name.as_str() {
            "os/linux/capabilities-retain-set" => self.capabilities = Some(capabilities(value)?),
            "os/linux/capabilities-remove-set" => {
                self.capabilities = Some(CapabilitySet::DEFAULT.without(capabilities(value)?));
            }
            // From 0.1: names separated by blanks.
            "capabilities/bounding-set" => {
                self.capabilities = Some(
                    text(value)?.split_whitespace().map(str::parse::<Capability>).collect::<Result<_>>()?,
                );
            }
            "os/linux/no-new-privileges" => {
                self.no_new_privileges =
                    Some(value.as_bool().ok_or_else(|| Error::new("invalid value: expected true or false"))?)
            }
            "os/linux/seccomp-retain-set" => self.seccomp = Some(Seccomp::parse(Rule::Retain, value)?),
            "os/linux/seccomp-remove-set" => self.seccomp = Some(Seccomp::parse(Rule::Remove, value)?),
            "os/linux/oom-score-adj" => self.oom_score_adjust = Some(number(value, -1000, 1000)?),
            "os/linux/cpu-shares" | "cpu/shares" => self.cpu_shares = Some(number(value, 2, 262_144)?),
            "resource/cpu" => self.cpu = Resource::parse(value, Unit::Core)?,
            "resource/memory" => self.memory = Resource::parse(value, Unit::Byte)?,
            // Gantry's own, in the form of the specification's resources.
            "resource/tasks" => self.tasks = Some(number(limit(value)?, 1, TASKS_MAX.into())?),
            "resource/tmp" => self.tmp = Some(Capacity::parse(limit(value)?, value.get("inodes"))?),
            "resource/shm" => self.shm = Some(Capacity::parse(limit(value)?, value.get("inodes"))?),
            "resource/block-bandwidth" => self.block.bandwidth = Some(rate(value)?),
            "resource/block-iops" => self.block.operations = Some(rate(value)?),
            "resource/network-bandwidth" => self.network_bandwidth = Some(rate(value)?),
            "os/unix/sysctl" => self.sysctls = Sysctl::parse_all(value)?,
            "os/linux/apparmor-profile" | "os/linux/selinux-context" => self.label = Some(name.clone()),
            // From 0.1, which has no request.
            "memory/limit" => self.memory.limit = Some(quantity(value, Unit::Byte)?),
            _ => self.unknown.push(name.clone()),
        }
        Ok(())
    }
}

impl Resource {
    fn over(self, other: Self) -> Self {
        if self.is_none() { other } else { self }
    }

    /// Tells whether nothing is asked for.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    fn parse(value: &Value, unit: Unit) -> Result<Self> {
        let given = |name| value.get(name).filter(|value| !value.is_null());
        let quantity = |name| given(name).map(|value| quantity(value, unit)).transpose();
        let (request, limit) = (quantity("request")?, quantity("limit")?);
        match (Self { request: request.or(limit), limit }) {
            Self { request: Some(request), limit: Some(limit) } if request > limit => {
                Err(Error::new("the request is above the limit: expected at most the limit"))
            }
            Self { request: None, limit: None } => Err(Error::new("expected a limit, a request or both")),
            resource => Ok(resource),
        }
    }
}

/// Reads a limit of all devices; no device can have another one.
fn rate(value: &Value) -> Result<Quantity> {
    match value.get("default") {
        Some(Value::Bool(true)) => quantity(limit(value)?, Unit::Byte),
        _ => Err(Error::new("expected \"default\" to be true")),
    }
}

fn limit(value: &Value) -> Result<&Value> {
    value.get("limit").ok_or_else(|| Error::new("expected a limit"))
}

fn capabilities(value: &Value) -> Result<CapabilitySet> {
    set(value)?.into_iter().map(str::parse::<Capability>).collect()
}

#[cfg(test)]
mod tests;
