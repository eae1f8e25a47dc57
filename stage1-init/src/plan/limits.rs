// SPDX-License-Identifier: Apache-2.0
//! Limits of apps and of the pod, as far as the host can enforce them; a warning names each of the others.
//!
//! See systemd.resource-control(5) for apps, and the kernel's admin-guide/cgroup-v2 for the pod.

use pod::isolators::{CapabilitySet, Quantity, Rates, Resource};
use pod::{App, Pod};

use crate::load::host::{Controllers, Host};

/// The period of CPU limits, in microseconds; also the kernel's default.
const PERIOD: u64 = 100_000;
/// The smallest quota in a period that the kernel accepts: a hundredth of a core.
const QUOTA_MIN: u64 = 1000;
/// The largest CPU weight; the smallest is 1, and the default is 100, which corresponds to 1024 shares.
const WEIGHT_MAX: u64 = 10_000;
/// How many processes and threads an app may have, unless its isolators say otherwise.
const TASKS: u32 = 4096;
/// `CAP_SYS_RESOURCE` (linux/capability.h).
const SYS_RESOURCE: u64 = 1 << 24;

/// The limits of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) capabilities: CapabilitySet,
    /// Directives of the app's services.
    pub(super) directives: Vec<(&'static str, String)>,
    /// Directives of the slice that the services are in. The services don't have them: a program can get at the cgroup
    /// of its own service.
    pub(super) resources: Vec<(&'static str, String)>,
}

/// Returns an app's limits. One with users of its own has its number of tasks limited by their namespace.
pub(super) fn of_app(app: &App, host: &Host, has_own_users: bool, warnings: &mut Vec<String>) -> Limits {
    let isolators = &app.isolators;
    let whose = format!("of app {}", app.name);
    // Otherwise systemd's own default counts.
    let mut directives =
        vec![("TasksMax", if has_own_users { "infinity".into() } else { tasks(app).to_string() })];
    if isolators.tasks.is_some() && !has_own_users && !host.controllers.pids {
        warnings.push(format!(
            "isolator resource/tasks {whose} is not enforced: the pod's cgroup has no pids controller, and the app has \
             no users of its own"
        ));
    }
    let wanted = app.capabilities();
    let missing = wanted.without(host.capabilities);
    if !missing.is_empty() {
        warnings.push(format!("{missing} {whose}: this process has no such capability to pass on"));
    }
    if let Some(score) = isolators.oom_score_adjust {
        match may_lower(host) || score >= host.oom_score_adjust {
            true => directives.push(("OOMScoreAdjust", score.to_string())),
            false => warnings.push(format!(
                "isolator os/linux/oom-score-adj {whose} is not enforced: less than {} takes CAP_SYS_RESOURCE",
                host.oom_score_adjust
            )),
        }
    }
    let resources = Resources { cpu: isolators.cpu, shares: isolators.cpu_shares, memory: isolators.memory };
    let resources = resources.enforced(host.controllers, &whose, warnings);
    let quota = resources.quota().map(|quota| ("CPUQuota", percent(quota)));
    let weight = resources.weight().map(|weight| ("CPUWeight", weight.to_string()));
    let limit = resources.memory.limit.map(|limit| ("MemoryMax", bytes(limit)));
    let request = resources.memory.request.map(|request| ("MemoryLow", bytes(request)));
    let resources = [quota, weight, limit, request].into_iter().flatten().collect();
    Limits { capabilities: wanted.without(missing), directives, resources }
}

/// Returns how many processes and threads an app may have at a time.
pub(super) fn tasks(app: &App) -> u32 {
    app.isolators.tasks.unwrap_or(TASKS)
}

/// Returns how many processes and threads all apps may have together, if something can enforce that.
///
/// It isn't a limit of the pod's cgroup: where apps use that up, systemd could start nothing that ends the pod.
pub(super) fn tasks_of_pod(
    pod: &Pod,
    own_users: &[Option<u32>],
    controllers: Controllers,
    warnings: &mut Vec<String>,
) -> Option<u32> {
    let unlimited =
        pod.apps.iter().zip(own_users).filter(|(app, own)| own.is_none() && app.isolators.tasks.is_none());
    let unlimited: Vec<_> = unlimited.map(|(app, _)| app.name.to_string()).collect();
    if !unlimited.is_empty() && !controllers.pids {
        warnings.push(format!(
            "the limit of {TASKS} processes is not enforced for {}: the pod's cgroup has no pids controller, and an app \
             without users of its own takes one",
            unlimited.join(", ")
        ));
    }
    if pod.tasks.is_some() && !controllers.pids {
        let sum: u64 = pod.apps.iter().map(|app| u64::from(tasks(app))).sum();
        let each_is_limited = own_users.iter().all(Option::is_some);
        let rest =
            if each_is_limited { format!("; its apps may have {sum} together") } else { String::new() };
        warnings.push(format!(
            "isolator resource/tasks of the pod is not enforced: the pod's cgroup has no pids controller{rest}"
        ));
    }
    pod.tasks.filter(|_| controllers.pids)
}

fn may_lower(host: &Host) -> bool {
    CapabilitySet::from_bits(SYS_RESOURCE).without(host.capabilities).is_empty()
}

/// Returns the least score that an app has, if it is less than this process has.
pub(super) fn least_oom_score(pod: &Pod, host: &Host) -> Option<i16> {
    let least = pod.apps.iter().filter_map(|app| app.isolators.oom_score_adjust).min();
    least.filter(|least| may_lower(host) && *least < host.oom_score_adjust)
}

/// Returns files of the pod's cgroup, and what to write to them.
pub(super) fn of_pod(pod: &Pod, host: &Host, warnings: &mut Vec<String>) -> Vec<(&'static str, String)> {
    let controllers = host.controllers;
    let resources = Resources { cpu: pod.cpu, shares: None, memory: pod.memory };
    let resources = resources.enforced(controllers, "of the pod", warnings);
    let quota = resources.quota().map(|quota| ("cpu.max", format!("{quota} {PERIOD}")));
    let weight = resources.weight().map(|weight| ("cpu.weight", weight.to_string()));
    let limit = resources.memory.limit.map(|limit| ("memory.max", bytes(limit)));
    let request = resources.memory.request.map(|request| ("memory.low", bytes(request)));
    let block = block(pod.block, host, warnings);
    [quota, weight, limit, request].into_iter().flatten().chain(block).collect()
}

/// Returns what limits each block device, a line each.
fn block(rates: Rates, host: &Host, warnings: &mut Vec<String>) -> Vec<(&'static str, String)> {
    let Rates { bandwidth, operations } = rates;
    if !host.controllers.io {
        for (name, wanted) in [("block-bandwidth", bandwidth), ("block-iops", operations)] {
            warnings.extend(wanted.map(|_| {
                format!("isolator resource/{name} of the pod is not enforced: the pod's cgroup has no io controller")
            }));
        }
        return Vec::new();
    }
    let each = |of: &str, rate: Option<Quantity>| {
        rate.map_or(String::new(), |rate| format!(" r{of}={0} w{of}={0}", rate.units()))
    };
    let limits = each("bps", bandwidth) + &each("iops", operations);
    let devices = host.block_devices.iter().filter(|_| !limits.is_empty());
    devices.map(|device| ("io.max", format!("{device}{limits}"))).collect()
}

#[derive(Clone, Copy, Default)]
struct Resources {
    cpu: Resource,
    shares: Option<u32>,
    memory: Resource,
}

impl Resources {
    /// Keeps what the controllers enforce, and adds warnings about the rest.
    fn enforced(mut self, controllers: Controllers, whose: &str, warnings: &mut Vec<String>) -> Self {
        let wanted = [
            (controllers.cpu, !self.cpu.is_none(), "resource/cpu", "cpu"),
            (controllers.cpu, self.shares.is_some(), "os/linux/cpu-shares", "cpu"),
            (controllers.memory, !self.memory.is_none(), "resource/memory", "memory"),
        ];
        for (_, _, name, controller) in wanted.into_iter().filter(|(there, wanted, ..)| *wanted && !there) {
            warnings.push(format!(
                "isolator {name} {whose} is not enforced: the pod's cgroup has no {controller} controller"
            ));
        }
        if controllers.cpu
            && self.cpu.limit.is_some_and(|limit| limit.thousandths() * PERIOD / 1000 < QUOTA_MIN)
        {
            warnings.push(format!(
                "isolator resource/cpu {whose}: its limit is raised to 10m, the least that the kernel enforces"
            ));
        }
        if !controllers.cpu {
            (self.cpu, self.shares) = (Resource::default(), None);
        }
        if !controllers.memory {
            self.memory = Resource::default();
        }
        self
    }

    /// Returns the microseconds of CPU time in every [`PERIOD`].
    fn quota(self) -> Option<u64> {
        let per_core = PERIOD / 1000;
        self.cpu.limit.map(|limit| limit.thousandths().saturating_mul(per_core).max(QUOTA_MIN))
    }

    /// Returns the CPU weight. Shares are converted as systemd does it; a requested core is worth 1024 shares.
    fn weight(self) -> Option<u64> {
        let of_shares = self.shares.map(|shares| u64::from(shares) * 100 / 1024);
        let of_request = self.cpu.request.map(|request| request.thousandths() / 10);
        of_shares.or(of_request).map(|weight| weight.clamp(1, WEIGHT_MAX))
    }
}

fn percent(quota: u64) -> String {
    let per_mille = quota / (PERIOD / 1000);
    format!("{}.{}%", per_mille / 10, per_mille % 10)
}

fn bytes(quantity: Quantity) -> String {
    quantity.units().to_string()
}

#[cfg(test)]
mod tests {
    use pod::isolators::Unit;

    use super::*;

    #[test]
    fn cores_become_quota_and_weight() {
        for (limit, quota, shown) in [
            ("500m", 50_000, "50.0%"),
            ("1", 100_000, "100.0%"),
            ("1m", 1000, "1.0%"),
            ("2.5", 250_000, "250.0%"),
            ("15m", 1500, "1.5%"),
            ("214748", 21_474_800_000, "21474800.0%"),
        ] {
            let limit = Some(Quantity::parse(limit, Unit::Core).unwrap());
            let resources = Resources { cpu: Resource { limit, request: limit }, ..Resources::default() };
            assert_eq!(resources.quota(), Some(quota));
            assert_eq!(percent(quota), shown);
        }
        for (shares, weight) in [(2, 1), (1024, 100), (512, 50), (262_144, 10_000)] {
            let resources = Resources { shares: Some(shares), ..Resources::default() };
            assert_eq!(resources.weight(), Some(weight), "{shares}");
        }
    }

    #[test]
    fn limits_that_the_kernel_does_not_take_are_raised_and_named() {
        let raised = |limit: &str, cpu: bool| {
            let limit = Some(Quantity::parse(limit, Unit::Core).unwrap());
            let resources = Resources { cpu: Resource { limit, request: None }, ..Resources::default() };
            let mut warnings = Vec::new();
            resources.enforced(
                Controllers { cpu, memory: true, pids: true, io: true },
                "of app a",
                &mut warnings,
            );
            warnings.iter().any(|warning| warning.contains("of app a: its limit is raised to 10m"))
        };
        assert!(raised("1m", true) && raised("9m", true));
        assert!(!raised("10m", true) && !raised("1m", false));
    }

    #[test]
    fn every_block_device_is_limited() {
        let rate = |text: &str| Some(Quantity::parse(text, Unit::Byte).unwrap());
        let rates = Rates { bandwidth: rate("2M"), operations: rate("100") };
        let mut host = Host { block_devices: vec!["8:0".into(), "254:0".into()], ..Host::default() };
        let mut warnings = Vec::new();
        assert_eq!(block(rates, &host, &mut warnings), []);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[1].contains("resource/block-iops of the pod is not enforced"), "{warnings:?}");
        host.controllers.io = true;
        let line =
            |device: &str| ("io.max", format!("{device} rbps=2000000 wbps=2000000 riops=100 wiops=100"));
        assert_eq!(block(rates, &host, &mut Vec::new()), [line("8:0"), line("254:0")]);
        let one = Rates { operations: rate("5"), bandwidth: None };
        assert_eq!(block(one, &host, &mut Vec::new())[0].1, "8:0 riops=5 wiops=5");
        assert_eq!(block(Rates::default(), &host, &mut Vec::new()), []);
    }

    #[test]
    fn what_has_no_controller_is_named_and_dropped() {
        let limit = Some(Quantity::parse("1G", Unit::Byte).unwrap());
        let resources =
            Resources { shares: Some(2), memory: Resource { limit, request: None }, ..Resources::default() };
        let mut warnings = Vec::new();
        let left = resources.enforced(
            Controllers { cpu: true, ..Controllers::default() },
            "of the pod",
            &mut warnings,
        );
        assert!(left.shares.is_some() && left.memory.is_none());
        assert_eq!(
            warnings,
            [
                "isolator resource/memory of the pod is not enforced: the pod's cgroup has no memory controller"
            ]
        );
    }
}
