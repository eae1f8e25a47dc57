// SPDX-License-Identifier: Apache-2.0
//! The filters that the kernel has for a pod's processes, dumped and compared with what crates/filter makes for their
//! capabilities, and with what its table says of each call.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use filter::table::{GROUPS, Rule};
use filter::{Instruction, List, default, floor, of_list, of_pod};
use gate::root_test;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use pod::isolators::CapabilitySet;
use serde_json::{Value, json};
use testing::broadcast::{cgroup, processes};
use testing::image::script;
use testing::pods::{Gantry, Running, image_id};
use testing::rootfs::Rootfs;

use crate::probes::CAPABILITIES;

/// What a program says to a call (linux/seccomp.h): it is made, or it returns an error.
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
/// x86-64 and its 32-bit programs (linux/audit.h, AUDIT_ARCH_*).
const MACHINE: u32 = 0xc000_003e;

/// An app that waits.
struct Waiting {
    name: String,
    isolators: Vec<Value>,
    /// The capabilities that it has, a bit each.
    capabilities: u64,
}

impl Waiting {
    fn with(name: &str, capabilities: &[&str]) -> Self {
        let isolators =
            vec![json!({"name": "os/linux/capabilities-retain-set", "value": {"set": capabilities}})];
        let bit = |name: &&str| {
            // In the order of their numbers.
            let number = CAPABILITIES.iter().position(|(known, _)| known == name).unwrap();
            1 << number
        };
        Self { name: name.into(), isolators, capabilities: capabilities.iter().map(bit).sum() }
    }

    fn default() -> Self {
        Self { name: "default".into(), isolators: vec![], capabilities: CapabilitySet::DEFAULT.bits() }
    }

    fn with_calls(self, name: &str, kind: &str, calls: &[&str]) -> Self {
        let set = json!({"name": format!("os/linux/seccomp-{kind}-set"), "value": {"set": calls, "errno": "EPERM"}});
        let isolators = self.isolators.into_iter().chain([set]).collect();
        Self { name: name.into(), isolators, ..self }
    }
}

/// A running pod of such apps.
struct Pods {
    _gantry: Gantry,
    running: Running,
    cgroup: std::path::PathBuf,
}

impl Pods {
    fn start(apps: &[Waiting], annotations: &Value) -> Self {
        let gantry = Gantry::new();
        let image = script("waits", "echo up; while :; do sleep 60; done");
        let image = gantry.image("waits", &Rootfs::busybox().unwrap(), &image);
        let id = image_id(&image);
        let exec = ["/bin/sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 60 & wait; done"];
        let app = |Waiting { name, isolators, .. }: &Waiting| {
            json!({
                "name": name, "image": {"id": id},
                "app": {"exec": exec, "user": "0", "group": "0", "isolators": isolators},
            })
        };
        let list: Vec<_> = apps.iter().map(app).collect();
        let manifest =
            json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": list, "annotations": annotations});
        let file = gantry.beside("pod.json");
        fs::write(&file, manifest.to_string()).unwrap();
        let pod = gantry.prepare(&[&image], &["--pod-manifest", file.to_str().unwrap()]);
        let mut running = gantry.start(&pod);
        apps.iter().for_each(|_| running.wait_for("up"));
        let cgroup = cgroup(running.id(), &running.pod_id());
        Self { _gantry: gantry, running, cgroup }
    }

    /// Returns a process of an app's.
    fn app(&self, name: &str) -> i32 {
        let unit = format!("/app-{name}.service");
        let is = |process: &i32| {
            let cgroup = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("cgroup"));
            cgroup.unwrap().trim_end().lines().any(|line| line.ends_with(&unit))
        };
        processes(&self.cgroup).into_iter().find(is).unwrap_or_else(|| panic!("{name} has a process"))
    }

    fn end(self) {
        self.running.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(self.running.wait().0, 0);
    }
}

/// An instruction as numbers, which can be compared.
type Numbers = (u16, u8, u8, u32);

fn numbers(program: &[Instruction]) -> Vec<Numbers> {
    program.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect()
}

/// Returns the filters of a process, in the order in which they were set.
fn dump(process: i32) -> Vec<Vec<Instruction>> {
    let traced = Pid::from_raw(process);
    ptrace::seize(traced, Options::empty()).unwrap();
    ptrace::interrupt(traced).unwrap();
    waitpid(traced, Some(WaitPidFlag::__WALL)).unwrap();
    let filters = sys::filters::of(rustix::process::Pid::from_raw(process).unwrap());
    ptrace::detach(traced, None).unwrap();
    filters.unwrap()
}

#[track_caller]
fn assert_has(process: i32, expected: &[Vec<Instruction>], about: &str) -> Vec<Vec<Instruction>> {
    let found = dump(process);
    let numbers = |all: &[Vec<Instruction>]| all.iter().map(|one| numbers(one)).collect::<Vec<_>>();
    // Not shown: they have thousands of lines.
    assert!(
        numbers(&found) == numbers(expected),
        "{about}: {} programs, {} expected",
        found.len(),
        expected.len()
    );
    found
}

/// Runs a program as the kernel does, for a call without arguments. What isn't of a filter's few instructions is refused.
fn verdict(program: &[Instruction], number: u32) -> u32 {
    let (mut at, mut loaded) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            // BPF_LD | BPF_W | BPF_ABS: the number, the machine, or an argument.
            0x20 => {
                loaded = match k {
                    0 => number,
                    4 => MACHINE,
                    _ => 0,
                };
                continue;
            }
            // BPF_JMP | BPF_JA.
            0x05 => {
                at += usize::try_from(k).unwrap();
                continue;
            }
            // BPF_RET | BPF_K.
            0x06 => return k,
            // BPF_JMP | BPF_JEQ, BPF_JGE, BPF_JSET, each with BPF_K.
            0x15 => loaded == k,
            0x35 => loaded >= k,
            0x45 => loaded & k != 0,
            other => panic!("{other:#x} is no instruction of a filter"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}

/// Checks that a program says of each call what the table says.
fn assert_is_table(program: &[Instruction], capabilities: u64, about: &str) {
    let rules: BTreeMap<_, _> = GROUPS
        .iter()
        .flat_map(|group| group.calls.split_whitespace().map(|name| (name, group.rule)))
        .collect();
    let mut seen = 0;
    for call in syscalls::Sysno::iter() {
        let has = |capability| capabilities & 1 << (capability as u32) != 0;
        let expected = match rules[call.name()] {
            // Arguments of zero are harmless to each check.
            Rule::Allow | Rule::Check(_) => ALLOW,
            Rule::Needs(capability) | Rule::AbsentWithout(capability) if has(capability) => ALLOW,
            Rule::Deny | Rule::Needs(_) => EPERM,
            Rule::Absent | Rule::AbsentWithout(_) => ENOSYS,
        };
        let number = u32::try_from(call.id()).unwrap();
        assert_eq!(verdict(program, number), expected, "{about}: {}", call.name());
        seen += 1;
    }
    assert!(seen > 300, "{seen} calls");
}

#[root_test]
fn the_kernel_has_the_tables_filter_for_each_capability_and_the_pods_for_its_first_process() {
    let each = CAPABILITIES.iter().map(|(name, _)| {
        let app = name.to_lowercase().replace('_', "-");
        Waiting::with(&app, &[name])
    });
    let several = Waiting::with("several", &["CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_KILL"]);
    let apps: Vec<_> = each.chain([Waiting::default(), several]).collect();
    let pod = Pods::start(&apps, &json!([]));
    let systemd = i32::try_from(pod.running.systemd()).unwrap();
    assert_has(systemd, &[of_pod()], "the pod's systemd");
    for Waiting { name, capabilities, .. } in &apps {
        let found = assert_has(pod.app(name), &[of_pod(), default(*capabilities)], name);
        assert_is_table(&found[1], *capabilities, name);
    }
    pod.end();
}

#[root_test]
fn an_apps_own_list_is_the_kernels_after_the_pods_and_with_the_hosts_users_above_the_floor() {
    let number = |name: &str| {
        let call = syscalls::Sysno::iter().find(|call| call.name() == name);
        u32::try_from(call.unwrap().id()).unwrap()
    };
    let calls = ["personality", "vmsplice"];
    let own = of_list(&List { retain: false, calls: &calls.map(number), errno: Some(1) });
    let apps = [
        Waiting::default(),
        Waiting::default().with_calls("removes", "remove", &calls),
        Waiting::default().with_calls("all", "retain", &["@appc.io/all"]),
    ];
    let of_default = default(CapabilitySet::DEFAULT.bits());
    let pod = Pods::start(&apps, &json!([]));
    assert_has(pod.app("default"), &[of_pod(), of_default.clone()], "default");
    assert_has(pod.app("removes"), &[of_pod(), own.clone()], "removes");
    assert_has(pod.app("all"), &[of_pod()], "all");
    pod.end();

    let floor = floor(CapabilitySet::DEFAULT.bits());
    let pod = Pods::start(&apps, &json!([{"name": "gantry/users", "value": "host"}]));
    assert_has(pod.app("default"), &[of_pod(), of_default], "default, with the host's users");
    assert_has(pod.app("removes"), &[of_pod(), floor.clone(), own], "removes, with the host's users");
    assert_has(pod.app("all"), &[of_pod(), floor], "all, with the host's users");
    pod.end();
}
