// SPDX-License-Identifier: Apache-2.0
//! Random isolators, up to the largest permitted values, and what they mean.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Value, json};

use super::App;

const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const OTHERS: [&str; 10] = [
    "BPF",
    "CHECKPOINT_RESTORE",
    "IPC_LOCK",
    "NET_ADMIN",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_PTRACE",
    "SYS_TIME",
    "WAKE_ALARM",
];
/// Calls with their numbers on x86-64 and aarch64.
const CALLS: [(&str, u32, u32); 6] = [
    ("read", 0, 63),
    ("write", 1, 64),
    ("mount", 165, 40),
    ("reboot", 169, 142),
    ("openat2", 437, 437),
    ("unshare", 272, 97),
];
/// `execve`, `exit`, `exit_group`, `rt_sigreturn`.
const LIFE_CYCLE: [(u32, u32); 4] = [(59, 221), (60, 93), (231, 94), (15, 139)];
pub(super) fn random(rng: &mut Rng, app: &mut App) -> Value {
    let mut all = vec![capabilities(rng, app)];
    all.extend(rng.bool().then(|| json!({"name": "os/linux/no-new-privileges", "value": rng.bool()})));
    if rng.bool() {
        all.push(seccomp(rng, app));
    }
    if rng.bool() {
        let score = rng.i16(-1000..=1000);
        app.oom_score_adjust = Some(score);
        all.push(json!({"name": "os/linux/oom-score-adj", "value": score}));
    }
    if rng.bool() {
        let (limit, request) = (thousandths(rng), rng.bool().then(|| thousandths(rng)));
        let request = request.map(|request| request.min(limit));
        // A hundredth of a core is the kernel's smallest limit.
        app.quota = Some((limit * 1000).max(10_000));
        app.weight = Some((request.unwrap_or(limit) / 10).clamp(1, 10_000));
        let limit =
            if rng.bool() { format!("{limit}m") } else { format!("{}.{:03}", limit / 1000, limit % 1000) };
        let request = request.map(|request| format!("{request}m"));
        all.push(json!({"name": "resource/cpu", "value": {"limit": limit, "request": request}}));
    }
    if rng.bool() {
        let shares = rng.u64(2..=262_144);
        app.weight = Some((shares * 100 / 1024).clamp(1, 10_000));
        all.push(match rng.bool() {
            true => json!({"name": "os/linux/cpu-shares", "value": shares}),
            false => json!({"name": "cpu/shares", "val": shares.to_string()}),
        });
    }
    if rng.bool() {
        let (amount, suffix, factor) = bytes(rng);
        let limit = format!("{amount}{suffix}");
        app.memory_limit = Some(amount * factor);
        app.memory_request = [Some(1), app.memory_limit, None][rng.usize(..3)];
        all.push(match app.memory_request {
            Some(1) => json!({"name": "resource/memory", "value": {"limit": limit, "request": "1"}}),
            Some(_) => json!({"name": "resource/memory", "value": {"limit": limit}}),
            None => json!({"name": "memory/limit", "val": limit}),
        });
    }
    json!(all)
}

/// Generates thousandths of a core: any amount, the least and the most.
fn thousandths(rng: &mut Rng) -> u64 {
    match rng.u32(..8) {
        0 => 1,
        1 => 214_748_000,
        2 => rng.u64(1..=214_748_000),
        _ => rng.u64(1..100_000),
    }
}

/// Generates an amount, its suffix and the suffix's factor: any amount, and the most.
fn bytes(rng: &mut Rng) -> (u64, &'static str, u64) {
    let factors = [
        ("", 1),
        ("K", 1000),
        ("Ki", 1024),
        ("M", 1_000_000),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
    ];
    match rng.u32(..8) {
        0 => (u64::MAX >> 1, "", 1),
        1 => (7, "Ei", 1 << 60),
        _ => {
            let (suffix, factor) = factors[rng.usize(..factors.len())];
            (rng.u64(1..1000), suffix, factor)
        }
    }
}

fn capabilities(rng: &mut Rng, app: &mut App) -> Value {
    let every: Vec<&'static str> = DEFAULT.into_iter().chain(OTHERS).collect();
    let chosen: BTreeSet<&'static str> = every.into_iter().filter(|_| rng.bool()).collect();
    let names: Vec<String> = chosen.iter().map(|name| format!("CAP_{name}")).collect();
    if rng.bool() {
        app.capabilities = chosen;
        json!({"name": "os/linux/capabilities-retain-set", "value": {"set": names}})
    } else {
        app.capabilities = DEFAULT.into_iter().filter(|name| !chosen.contains(name)).collect();
        json!({"name": "os/linux/capabilities-remove-set", "value": {"set": names}})
    }
}

fn seccomp(rng: &mut Rng, app: &mut App) -> Value {
    let own = |x86_64: u32, aarch64: u32| if cfg!(target_arch = "x86_64") { x86_64 } else { aarch64 };
    let first = rng.usize(..CALLS.len());
    let chosen: Vec<_> =
        CALLS.iter().enumerate().filter(|(n, _)| *n == first || rng.bool()).map(|(_, call)| call).collect();
    let retain = rng.bool();
    let errno = [("", None), ("EPERM", Some(1)), ("ENOTSUP", Some(95)), ("ENOSYS", Some(38))][rng.usize(..4)];
    let mut numbers: BTreeSet<u32> = chosen.iter().map(|(_, x, a)| own(*x, *a)).collect();
    if retain {
        numbers.extend(LIFE_CYCLE.map(|(x, a)| own(x, a)));
    }
    app.seccomp = Some((retain, numbers, errno.1));
    let name = if retain { "os/linux/seccomp-retain-set" } else { "os/linux/seccomp-remove-set" };
    let set: Vec<_> = chosen.iter().map(|(name, ..)| *name).collect();
    json!({"name": name, "value": {"set": set, "errno": errno.0}})
}
