// SPDX-License-Identifier: Apache-2.0
//! Turns a list of system calls into a classic BPF program that the kernel runs on each call (seccomp(2)).
//!
//! ```text
//! arch is not this machine's → deny     (another machine's numbers mean other calls)
//! number is of the x32 ABI → deny       (likewise; x86-64 only)
//! number is one of the calls → deny or allow
//! any other → allow or deny
//! ```
//!
//! Before it, each app has another program (`crates/filter`): the default filter if it has no list of its own, else the
//! floor below one.
//!
//! If two filters both return an error, the kernel takes the newer one's. It allows a call that both allow.

use nix::libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_DATA,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, sock_filter,
};

use pod::isolators::CapabilitySet;

use crate::exchange::launch_file::Filter;

/// The offset of the call's number in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// The offset of the machine (linux/audit.h, AUDIT_ARCH_*).
const ARCH: u32 = 4;
#[cfg(target_arch = "x86_64")]
const OWN_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN_ARCH: u32 = 0xc000_00b7;
/// Numbers from here on are x32's (asm/unistd.h, __X32_SYSCALL_BIT); other machines have none so high.
const X32: u32 = 0x4000_0000;

/// Returns the filter of an app with these capabilities that has no list of its own.
pub(crate) fn default(capabilities: CapabilitySet) -> Vec<sock_filter> {
    kernels(filter::default(bits(capabilities)))
}

/// Returns the floor below an app's own filter.
pub(crate) fn floor(capabilities: CapabilitySet) -> Vec<sock_filter> {
    kernels(filter::floor(bits(capabilities)))
}

fn bits(capabilities: CapabilitySet) -> u64 {
    capabilities.iter().fold(0, |bits, one| bits | 1 << one.number())
}

fn kernels(program: Vec<filter::Instruction>) -> Vec<sock_filter> {
    let kernels = |one: filter::Instruction| sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
    program.into_iter().map(kernels).collect()
}

/// Returns the program for a filter.
pub(crate) fn program(filter: &Filter) -> Vec<sock_filter> {
    let denied = match filter.errno {
        Some(errno) => SECCOMP_RET_ERRNO | u32::from(errno) & SECCOMP_RET_DATA,
        None => SECCOMP_RET_KILL_PROCESS,
    };
    let (listed, other) = match filter.retain {
        true => (SECCOMP_RET_ALLOW, denied),
        false => (denied, SECCOMP_RET_ALLOW),
    };
    let mut program = vec![
        load(ARCH),
        jump(BPF_JEQ, OWN_ARCH, 1, 0),
        end(denied),
        load(NUMBER),
        jump(BPF_JGE, X32, 0, 1),
        end(denied),
    ];
    program.extend(filter.calls.iter().flat_map(|call| [jump(BPF_JEQ, *call, 0, 1), end(listed)]));
    program.push(end(other));
    program
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// Skips `holds` instructions if the comparison holds, else `else_` instructions.
fn jump(comparison: u32, with: u32, holds: u8, else_: u8) -> sock_filter {
    instruction(BPF_JMP | comparison | BPF_K, with, holds, else_)
}

fn end(verdict: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, verdict, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    let code = u16::try_from(code).expect("instruction codes have 16 bits");
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the kernel's verdict on a call. The instructions used here are run as the kernel runs them.
    fn verdict(program: &[sock_filter], arch: u32, number: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let holds = match (code & 0x07, code & 0xf0) {
                (BPF_LD, _) => {
                    loaded = match k {
                        NUMBER => number,
                        ARCH => arch,
                        other => panic!("nothing is at {other}"),
                    };
                    continue;
                }
                (BPF_RET, _) => return k,
                (BPF_JMP, BPF_JEQ) => loaded == k,
                (BPF_JMP, BPF_JGE) => loaded >= k,
                _ => panic!("an instruction that is not known here: {code:#x}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    #[test]
    fn calls_are_retained_or_removed() {
        let calls = vec![0, 1, 59, 400];
        let retain = program(&Filter { retain: true, calls: calls.clone(), errno: Some(1) });
        let remove = program(&Filter { retain: false, calls, errno: None });
        for (number, retained, removed) in [
            (0, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS),
            (400, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS),
            (2, SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ALLOW),
            (401, SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ALLOW),
        ] {
            assert_eq!(verdict(&retain, OWN_ARCH, number), retained, "{number}");
            assert_eq!(verdict(&remove, OWN_ARCH, number), removed, "{number}");
        }
    }

    #[test]
    fn other_machines_numbers_are_denied() {
        let remove = program(&Filter { retain: false, calls: vec![], errno: None });
        assert_eq!(verdict(&remove, OWN_ARCH, 7), SECCOMP_RET_ALLOW);
        assert_eq!(verdict(&remove, OWN_ARCH, X32 | 7), SECCOMP_RET_KILL_PROCESS);
        assert_eq!(verdict(&remove, 0x4000_0003, 7), SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn the_longest_filter_is_short_enough_for_the_kernel() {
        let calls = (0..512).collect();
        assert!(program(&Filter { retain: true, calls, errno: None }).len() < 4096);
    }
}
