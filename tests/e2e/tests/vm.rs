// SPDX-License-Identifier: Apache-2.0
//! A pod on a host with nothing but a kernel: its root is the initial ramfs, and it has only cgroup v2. Once with the kernel
//! and the systemd of the host's distribution, and once with those of a newer one.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::thread;

use gate::vm_test;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testing::image::script;
use testing::rootfs::Rootfs;
use testing::vm::{Step, System, Vm};

type Steps = BTreeMap<String, Step>;

/// One machine of each kind for all tests, since booting takes longer than what they do.
static MACHINES: LazyLock<[Steps; 2]> = LazyLock::new(|| {
    thread::scope(|scope| {
        [System::Hosts, System::Newer]
            .map(|system| scope.spawn(move || boot(system).unwrap()))
            .map(|machine| machine.join().unwrap())
    })
});

const RUN: &str = "installer --dir /var/gantry run --stage1 /stage1.tar.xz \
                   --stage1-sha256 $(cut -d' ' -f1 /stage1.tar.xz.sha256)";

fn boot(system: System) -> anyhow::Result<Steps> {
    let run = RUN;
    let run_in = |dir: &str| run.replace("/var/gantry", dir);
    let other = run_in("/var/other");
    let hello = script("hello", "echo hello from a pod; exit 7");
    let users = testing::image::manifest(
        "users",
        &["/bin/sh", "-c", "cat /proc/self/uid_map; touch /made && stat -c %u /made /proc/1"],
    );
    let waits = script("waits", "trap 'exit 0' TERM; sleep 1000 & echo up; wait");
    let (limited, pod) = limited()?;
    // More than the app's memory, so that it ends there and not at the bound of /dev/shm.
    let greedy = "dd if=/dev/zero of=/dev/shm/file bs=1M count=100 2>/dev/null; exit $?";
    let mut greedy = script("greedy", greedy);
    greedy["app"]["isolators"] = json!([{"name": "resource/memory", "value": {"limit": "64Mi"}}]);
    let mut hoarder = script("hoarder", "a=memory; while :; do a=$a$a; done");
    hoarder["app"]["isolators"] = greedy["app"]["isolators"].clone();
    let mut rates = script("rates", &format!("trap 'exit 0' TERM; {WRITES}; sleep 1000 & wait"));
    rates["app"]["isolators"] = json!([
        {"name": "resource/block-bandwidth", "value": {"default": true, "limit": "1Mi"}},
        {"name": "resource/block-iops", "value": {"default": true, "limit": "5000"}},
    ]);
    rates["app"]["user"] = json!("0");
    Vm::new(system)?
        .image("rates", &Rootfs::busybox()?, &rates)?
        .image("hoarder", &Rootfs::busybox()?, &hoarder)?
        .image("limited", &Rootfs::busybox()?, &limited)?
        .image("greedy", &Rootfs::busybox()?, &greedy)?
        .file("pod.json", 0o644, pod.to_string())
        .image("users", &Rootfs::busybox()?, &users)?
        .image("hello", &Rootfs::busybox()?, &hello)?
        .image("waits", &Rootfs::busybox()?, &waits)?
        .file("alone/gantry", 0o755, std::fs::read(testing::repository().join("dist/gantry"))?)
        .step("before", LEFT)
        .step("run", &format!("{run} --image /hello.aci 2>/tmp/hello; code=$?; cat /tmp/hello; exit $code"))
        .step("status", &format!("{WAIT}; cat /var/gantry/containers/*/stage1/rkt/status/hello"))
        .step("after", LEFT)
        .step("alone", "/alone/gantry --dir /var/alone run --net none /hello.aci 2>/tmp/alone; code=$?; cat /tmp/alone; exit $code")
        .step("options", OPTIONS)
        .step("unmount", &format!("set -- {run}\n{UNMOUNT}"))
        .step("few-mounts", &format!("set -- {run}\n{FEW_MOUNTS}"))
        .step("few-threads", &format!("set -- {run}\n{FEW_THREADS}"))
        .step("controllers", "cat /sys/fs/cgroup/cgroup.controllers")
        .step("limits", &format!("set -- {RUN}\n{LIMITS}"))
        .step("top", &format!("set -- {RUN}\n{TOP}"))
        .step("rates", &format!("set -- {RUN}\n{RATES}"))
        .step("greedy", &format!("{run} --shm-size 200m --image /greedy.aci"))
        .step("hoarder", &format!("{run} --image /hoarder.aci"))
        .step("executor", "ls /var/gantry/store/tree-v1/*/tree/usr/lib/systemd/systemd-executor")
        .step("users", &format!("{other} --image /users.aci 2>/dev/null"))
        .step(
            "layout",
            &format!("{} --image /hello.aci 2>&1 >/dev/null", other.replace(" run ", " prepare ")),
        )
        .step("kernel", "uname -r")
        .step("tmpfs", &format!("{} --image /users.aci", run_in("/tmp/gantry")))
        .step(
            "tmpfs-host",
            &format!("{} --userns host --image /users.aci 2>/dev/null", run_in("/tmp/gantry")),
        )
        .step("no-veth", &format!("rmmod veth; {run} --image /hello.aci"))
        .step("no-nf_tables", &format!("rmmod {NF_TABLES}; {run} --image /hello.aci"))
        .step("without", &format!("{run} --net none --image /hello.aci"))
        .step("copies", &format!("{UNLOAD}; {} --net none --image /users.aci", run_in("/var/copies")))
        .boot()
}

/// Returns an app that shows its own limits, as its cgroup has them, and a pod manifest with limits for the pod.
fn limited() -> anyhow::Result<(Value, Value)> {
    // The app's own cgroup is under its control; the limits are on the one above.
    let show = "own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); d=${own%/*}; \
                echo $(cat $own/memory.max $d/memory.max $d/memory.low $d/cpu.max $d/cpu.weight ${d%/*}/pids.max); \
                sleep 1000 & wait";
    let mut image = script("limited", &format!("trap 'exit 0' TERM; {show}"));
    image["app"]["isolators"] = json!([
        {"name": "resource/memory", "value": {"limit": "64Mi", "request": "16Mi"}},
        {"name": "resource/cpu", "value": {"limit": "500m"}},
        {"name": "os/linux/cpu-shares", "value": 512},
    ]);
    let mut bytes = Vec::new();
    Rootfs::busybox()?.write_image(image.to_string().as_bytes(), &mut bytes)?;
    let id = pod::digest::Digest::Sha256(Sha256::digest(bytes).into());
    let pod = json!({
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "limited", "image": {"id": id}}],
        "isolators": [
            {"name": "resource/memory", "value": {"limit": "256Mi"}},
            {"name": "resource/cpu", "value": {"limit": "1", "request": "250m"}},
            {"name": "resource/tasks", "value": {"limit": 123}},
        ],
    });
    Ok((image, pod))
}

/// Prints the limits of a running pod and its app.
const LIMITS: &str = r#"
mkfifo /tmp/limits
"$@" --image /limited.aci --pod-manifest /pod.json >/tmp/limits &
read limits </tmp/limits
echo $limits
cd /sys/fs/cgroup/gantry-*
echo $(cat memory.max cpu.max cpu.weight)
kill -TERM $!
wait $!
"#;

/// Prints what `top` says of an idle pod in the background, between what the kernel says of its app's memory before and after.
const TOP: &str = r#"
pod=$("$@" --net none -d /waits.aci 2>/dev/null)
until installer --dir /var/gantry logs $pod | grep -q up; do usleep 10000; done
app=$(find /sys/fs/cgroup/gantry-* -type d -name app-waits.service | head -n 1)
cat $app/memory.current
installer --dir /var/gantry top --format json $pod
cat $app/memory.current
installer --dir /var/gantry stop $pod
"#;

/// Writes 3 MiB to the machine's disk, past the kernel's cache, and prints the times before and after, in seconds.
const WRITES: &str = "read before rest </proc/uptime; dd if=/dev/zero of=/file bs=65536 count=48 oflag=direct 2>/dev/null; \
                      read after rest </proc/uptime; echo $before $after";

/// Prints what a pod has to say of its writing, and the rates of its cgroup as the kernel has them.
const RATES: &str = r#"
mkfifo /tmp/rates
"$@" --image /rates.aci >/tmp/rates &
read times </tmp/rates
echo $times
cat /sys/fs/cgroup/gantry-*/io.max
kill -TERM $!
wait $!
"#;

/// Starts a pod where a mount namespace may have 100 mounts.
const FEW_MOUNTS: &str = r#"
before=$(cat /proc/sys/fs/mount-max)
echo 100 >/proc/sys/fs/mount-max
"$@" --image /hello.aci 2>&1
code=$?
echo $before >/proc/sys/fs/mount-max
exit $code
"#;

/// Starts a pod where there may be nine more threads than there are.
const FEW_THREADS: &str = r#"
before=$(cat /proc/sys/kernel/threads-max)
threads=$(cut -d' ' -f4 /proc/loadavg)
echo $((${threads#*/} + 9)) >/proc/sys/kernel/threads-max
"$@" --image /hello.aci 2>&1
code=$?
echo $before >/proc/sys/kernel/threads-max
exit $code
"#;

/// Waits until the reaper has removed the pod's cgroup, or the machine's time is over.
const WAIT: &str = "while ls -d /sys/fs/cgroup/gantry-*; do usleep 10000; done >/dev/null 2>&1";

/// Takes overlayfs out of the kernel, which has it as a module, once no pod is left that uses it.
const UNLOAD: &str = "until rmmod overlay; do usleep 10000; done 2>/dev/null";

/// The modules of nf_tables, in the order in which they can be taken out.
const NF_TABLES: &str = "nft_masq nft_nat nft_chain_nat nft_ct nft_fib_ipv6 nft_fib_ipv4 nft_fib nf_tables";

/// Prints what a pod could leave behind: mounts and cgroups.
const LEFT: &str = "cat /proc/self/mountinfo && find /sys/fs/cgroup -type d";

/// Prints the options of cgroup v2, which all its mounts share, before a dry run and a run, in between, and after both.
const OPTIONS: &str = r#"
mount -o remount,nsdelegate,memory_recursiveprot /sys/fs/cgroup
grep cgroup2 /proc/mounts
cd /var/gantry/containers/* && ./stage1/init --dry-run >/dev/null
grep cgroup2 /proc/mounts
./stage1/init
grep cgroup2 /proc/mounts
"#;

/// Unmounts a tmpfs of 64 MB that was mounted before a pod started that still runs, and says whether its memory is free
/// then.
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

#[vm_test]
fn a_host_with_nothing_runs_a_pod() {
    for steps in &*MACHINES {
        assert_eq!(steps["run"], Step { code: 7, output: "hello from a pod\n".into() });
        assert_eq!(steps["status"], Step { code: 0, output: "7\n".into() });
        let before = &steps["before"];
        assert!(before.output.contains(" / / rw - rootfs "), "not an initial ramfs: {before:?}");
        assert_eq!(steps["after"], *before);
    }
}

#[vm_test]
fn a_limit_of_the_host_that_leaves_no_room_is_named_before_the_start() {
    for steps in &*MACHINES {
        for (step, sysctl) in [("few-mounts", "fs.mount-max"), ("few-threads", "kernel.threads-max")] {
            let Step { code, output } = &steps[step];
            let way_out = format!(", so raise it, as with sysctl -w {sysctl}=");
            let is_named = output.starts_with("error: the host has ") && output.contains(&way_out);
            assert!(*code == 254 && is_named && output.lines().count() == 1, "{step}: {code}: {output}");
        }
    }
}

/// Stage1 is built into the program, and nothing is beside it.
#[vm_test]
fn one_file_alone_runs_a_pod() {
    for steps in &*MACHINES {
        assert_eq!(steps["alone"], Step { code: 7, output: "hello from a pod\n".into() });
    }
}

/// Checks what an app has written about itself: it has users of its own, and owns what it makes.
fn has_own_users(step: &Step) {
    let words: Vec<_> = step.output.split_whitespace().collect();
    assert!(step.code == 0 && words.ends_with(&["0", "65536", "65536", "0", "65534"]), "{step:?}");
}

/// Kernels before 6.5 make overlays of mapped layers only if these are mounted.
#[vm_test]
fn users_of_a_pod_are_nobody_on_any_kernel() {
    for steps in &*MACHINES {
        assert_eq!(steps["layout"], Step { code: 0, output: "layout: overlays\n".into() });
        has_own_users(&steps["users"]);
        assert_eq!(steps["users"].output.split_whitespace().count(), 5, "{:?}", steps["users"]);
    }
}

/// A tmpfs can't map ids before Linux 6.3.
#[vm_test]
fn where_ids_can_not_be_mapped_the_way_out_is_told_and_works() {
    for steps in &*MACHINES {
        let mut numbers = steps["kernel"].output.split('.').map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
        let step = &steps["tmpfs"];
        if version >= (6, 3) {
            has_own_users(step);
        } else {
            let said = ["can't map ids", "--userns=host"].iter().all(|part| step.output.contains(part));
            assert!(step.code == 254 && said, "{step:?}");
        }
        // Root is the host's, and owns the pod's first process.
        let words: Vec<_> = steps["tmpfs-host"].output.split_whitespace().collect();
        assert_eq!(words, ["0", "0", "4294967295", "0", "0"], "{:?}", steps["tmpfs-host"]);
    }
    let kernel = |steps: &Steps| steps["kernel"].output.clone();
    assert_ne!(kernel(&MACHINES[0]), kernel(&MACHINES[1]));
}

#[vm_test]
fn where_overlays_can_not_be_made_copies_have_the_pods_users() {
    for steps in &*MACHINES {
        let step = &steps["copies"];
        assert!(step.output.contains("no overlays here"), "{step:?}");
        has_own_users(step);
    }
}

#[vm_test]
fn a_kernel_that_can_give_pods_no_network_is_told_of_with_the_ways_out() {
    for steps in &*MACHINES {
        for (step, what) in [("no-veth", "no veth"), ("no-nf_tables", "no nf_tables")] {
            let step = &steps[step];
            let said = [what, "--net=host", "--net=none"].iter().all(|part| step.output.contains(part));
            assert!(step.code == 254 && said && step.output.lines().count() == 1, "{what}: {step:?}");
        }
        assert_eq!(steps["without"].code, 7, "{:?}", steps["without"]);
    }
}

#[vm_test]
fn a_pod_pins_none_of_the_hosts_mounts() {
    for steps in &*MACHINES {
        assert_eq!(steps["unmount"], Step { code: 0, output: "free\n".into() });
    }
}

#[vm_test]
fn the_hosts_cgroups_keep_their_options() {
    let options = "cgroup2 /sys/fs/cgroup cgroup2 rw,relatime,nsdelegate,memory_recursiveprot 0 0";
    let expected = format!("{options}\n{options}\nhello from a pod\n{options}\n");
    for steps in &*MACHINES {
        assert_eq!(steps["options"], Step { code: 0, output: expected.clone() });
    }
}

#[vm_test]
fn the_kernels_controllers_are_there() {
    for steps in &*MACHINES {
        let controllers = &steps["controllers"].output;
        for controller in ["cpu", "memory", "pids", "io"] {
            assert!(controllers.split_whitespace().any(|name| name == controller), "{controllers}");
        }
    }
}

/// Where the kernel counts it, an app's memory is its cgroup's, with what it has in files that are only in memory, for example.
#[vm_test]
fn what_an_app_uses_is_what_the_kernel_has_counted() {
    for steps in &*MACHINES {
        let step = &steps["top"];
        let (before, rest) = step.output.split_once('\n').unwrap();
        let (object, after) = rest.trim_end().rsplit_once('\n').unwrap();
        let [before, after] =
            [before, after].map(|number| number.parse::<u64>().unwrap_or_else(|_| panic!("{step:?}")));
        let apps: Value = serde_json::from_str(object).unwrap();
        let app = &apps[0];
        assert_eq!((step.code, &app["app"]), (0, &json!("waits")), "{step:?}");
        let memory = app["memory"].as_u64().unwrap();
        assert!((before.min(after)..=before.max(after)).contains(&memory), "{step:?}");
        assert_eq!(app["processes"].as_array().unwrap().len(), 2, "{step:?}");
        assert!(app["cpu"].as_f64().unwrap() > 0.0, "{step:?}");
    }
}

#[vm_test]
fn apps_and_pods_are_limited() {
    let app = format!("max {} {} 50000 100000 50 123", 64 << 20, 16 << 20);
    let pod = format!("{} 100000 100000 25", 256 << 20);
    for steps in &*MACHINES {
        assert_eq!(steps["limits"], Step { code: 0, output: format!("{app}\n{pod}\n") });
        assert_eq!(steps["hoarder"].code, 137, "{:?}", steps["hoarder"]);
        // systemd's executor may find no room beside what an app has left in /dev/shm: docs/limits.md.
        let codes: &[i32] = if steps["executor"].code == 0 { &[137, 254] } else { &[137] };
        assert!(codes.contains(&steps["greedy"].code), "{:?}", steps["greedy"]);
    }
}

/// The machine's only disk is its first of virtio's, 254:0.
#[vm_test]
fn what_a_pod_writes_to_a_disk_is_no_faster_than_its_rate() {
    for steps in &*MACHINES {
        let step = &steps["rates"];
        let (times, rates) = step.output.split_once('\n').unwrap();
        assert!(
            step.code == 0 && rates.contains(" rbps=1048576 wbps=1048576 riops=5000 wiops=5000\n"),
            "{step:?}"
        );
        let times: Vec<f64> = times.split_whitespace().map(|time| time.parse().unwrap()).collect();
        // The kernel lets the first part through at once.
        assert!(times[1] - times[0] > 2.0, "{step:?}");
    }
}
