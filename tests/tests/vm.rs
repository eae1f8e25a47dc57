// SPDX-License-Identifier: Apache-2.0
//! A pod on a host with nothing but a kernel, whose root is its initial ramfs and whose cgroups are v2 alone.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use tests::host::can_boot;
use tests::image::script;
use tests::rootfs::Rootfs;
use tests::vm::{Step, Vm};

/// One machine for all tests: booting takes longer than what they do.
static STEPS: LazyLock<BTreeMap<String, Step>> = LazyLock::new(|| boot().unwrap());

const RUN: &str = "installer --dir /var/gantry run --stage1 /stage1.tar.xz --stage1-sha256";

fn boot() -> anyhow::Result<BTreeMap<String, Step>> {
    let run = format!("{RUN} {}", tests::stage1_sha256());
    let hello = script("hello", "echo hello from a pod; exit 7");
    let waits = script("waits", "trap 'exit 0' TERM; sleep 1000 & echo up; wait");
    Vm::new()?
        .image("hello", &Rootfs::busybox()?, &hello)?
        .image("waits", &Rootfs::busybox()?, &waits)?
        .step("before", LEFT)
        .step("run", &format!("{run} --image /hello.aci"))
        .step("status", &format!("{WAIT}; cat /var/gantry/containers/*/stage1/rkt/status/hello"))
        .step("after", LEFT)
        .step("unmount", &format!("set -- {run}\n{UNMOUNT}"))
        .step("controllers", "cat /sys/fs/cgroup/cgroup.controllers")
        .boot()
}

/// Waits until the reaper has removed the pod's cgroup, or the machine's time is over.
const WAIT: &str = "while ls -d /sys/fs/cgroup/gantry-*; do usleep 10000; done >/dev/null 2>&1";

/// What a pod could leave: mounts, and cgroups.
const LEFT: &str = "cat /proc/self/mountinfo && find /sys/fs/cgroup -type d";

/// Unmounts a tmpfs of 64 MB while a pod runs that was started with it there, and says whether the memory is free then.
const UNMOUNT: &str = r#"
memory() {
    awk '$1 == "Shmem:" { print $2 }' /proc/meminfo
}
mkdir -p "/mnt/a disk" && mount -t tmpfs tmpfs "/mnt/a disk"
dd if=/dev/zero of="/mnt/a disk/file" bs=1M count=64 2>/dev/null
mkfifo /tmp/said
"$@" --image /waits.aci >/tmp/said &
read said </tmp/said
before=$(memory)
umount "/mnt/a disk"
[ $((before - $(memory))) -gt 60000 ] && echo free || echo pinned
kill -TERM $!
wait $!
"#;

#[test]
fn a_host_with_nothing_runs_a_pod() {
    if !can_boot("a_host_with_nothing_runs_a_pod") {
        return;
    }
    assert_eq!(STEPS["run"], Step { code: 7, output: "hello from a pod\n".into() });
    assert_eq!(STEPS["status"], Step { code: 0, output: "7\n".into() });
    assert!(
        STEPS["before"].output.contains(" / / rw - rootfs "),
        "not an initial ramfs: {:?}",
        STEPS["before"]
    );
    assert_eq!(STEPS["after"], STEPS["before"]);
}

#[test]
fn a_pod_pins_none_of_the_hosts_mounts() {
    if !can_boot("a_pod_pins_none_of_the_hosts_mounts") {
        return;
    }
    assert_eq!(STEPS["unmount"], Step { code: 0, output: "free\n".into() });
}

#[test]
fn the_kernels_controllers_are_there() {
    if !can_boot("the_kernels_controllers_are_there") {
        return;
    }
    let controllers = &STEPS["controllers"].output;
    for controller in ["cpu", "memory"] {
        assert!(controllers.split_whitespace().any(|name| name == controller), "{controllers}");
    }
}
