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
//! A second program refuses user namespaces to apps that have such a list or ask for no filter. All others have the
//! default filter ([`filter::default`]), which refuses them too. In its own user namespace, a program has every
//! capability, and the kernel lets it do much with them. The program checks the call numbers of every machine whose
//! programs this kernel runs, since apps may be 32-bit programs as well.
//!
//! ```text
//! unshare or clone with CLONE_NEWUSER → EPERM
//! clone3, whose flags are in memory → ENOSYS, by which C libraries and others take clone
//! ```
//!
//! If two filters both return an error, the kernel takes the newer one's. It allows a call that both allow.

use nix::libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    CLONE_NEWUSER, ENOSYS, EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS, sock_filter,
};

use pod::isolators::CapabilitySet;

use crate::exchange::launch_file::Filter;

/// The offset of the call's number in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// The offset of the machine (linux/audit.h, AUDIT_ARCH_*).
const ARCH: u32 = 4;
/// The offset of the low half of the first argument: every machine here stores that half first.
const ARGUMENT: u32 = 16;
#[cfg(target_arch = "x86_64")]
const OWN_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN_ARCH: u32 = 0xc000_00b7;
/// Numbers from here on are x32's (asm/unistd.h, __X32_SYSCALL_BIT); other machines have none so high.
const X32: u32 = 0x4000_0000;

/// The numbers of the calls that make user namespaces, on one machine.
struct Machine {
    arch: u32,
    clone: u32,
    unshare: u32,
}

/// The 64-bit and the 32-bit machine: x86-64, whose numbers x32 has too with an additional bit, and i386.
#[cfg(target_arch = "x86_64")]
const MACHINES: [Machine; 2] = [
    Machine { arch: OWN_ARCH, clone: 56, unshare: 272 },
    Machine { arch: 0x4000_0003, clone: 120, unshare: 310 },
];
/// The 64-bit and the 32-bit machine: aarch64 and arm.
#[cfg(target_arch = "aarch64")]
const MACHINES: [Machine; 2] = [
    Machine { arch: OWN_ARCH, clone: 220, unshare: 97 },
    Machine { arch: 0x4000_0028, clone: 120, unshare: 337 },
];
/// The number of clone3, the same on all machines.
const CLONE3: u32 = 435;

/// Returns the filter of an app with these capabilities that doesn't ask for another.
pub(crate) fn default(capabilities: CapabilitySet) -> Vec<sock_filter> {
    let bits = capabilities.iter().map(|one| 1 << one.number()).fold(0, |bits: u64, bit: u64| bits | bit);
    let kernels = |one: filter::Instruction| sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
    filter::default(bits).into_iter().map(kernels).collect()
}

/// Returns the program that refuses user namespaces and allows everything else.
pub(crate) fn no_user_namespaces() -> Vec<sock_filter> {
    let mut program = vec![load(ARCH)];
    for Machine { arch, clone, unshare } in MACHINES {
        let calls = [
            load(NUMBER),
            instruction(BPF_ALU | BPF_AND | BPF_K, !X32, 0, 0),
            jump(BPF_JEQ, CLONE3, 6, 0),
            jump(BPF_JEQ, clone, 1, 0),
            jump(BPF_JEQ, unshare, 0, 2),
            load(ARGUMENT),
            jump(BPF_JSET, CLONE_NEWUSER.cast_unsigned(), 1, 0),
            end(SECCOMP_RET_ALLOW),
            end(error(EPERM)),
            end(error(ENOSYS)),
        ];
        let length = u8::try_from(calls.len()).expect("it has ten instructions");
        program.push(jump(BPF_JEQ, arch, 0, length));
        program.extend(calls);
    }
    // The kernel runs programs of no other machine.
    program.push(end(error(ENOSYS)));
    program
}

fn error(number: i32) -> u32 {
    SECCOMP_RET_ERRNO | number.cast_unsigned() & SECCOMP_RET_DATA
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

    /// A call, as the kernel shows it to a program.
    #[derive(Clone, Copy)]
    struct Data {
        arch: u32,
        number: u32,
        argument: u64,
    }

    /// Returns the kernel's verdict on a call. The instructions used here are run as the kernel runs them.
    fn run(program: &[sock_filter], data: Data) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let holds = match (code & 0x07, code & 0xf0) {
                (BPF_LD, _) => {
                    loaded = match k {
                        NUMBER => data.number,
                        ARCH => data.arch,
                        ARGUMENT => u32::try_from(data.argument & u64::from(u32::MAX)).unwrap(),
                        other => panic!("nothing is at {other}"),
                    };
                    continue;
                }
                (BPF_ALU, BPF_AND) => {
                    loaded &= k;
                    continue;
                }
                (BPF_RET, _) => return k,
                (BPF_JMP, BPF_JEQ) => loaded == k,
                (BPF_JMP, BPF_JGE) => loaded >= k,
                (BPF_JMP, BPF_JSET) => loaded & k != 0,
                _ => panic!("an instruction that is not known here: {code:#x}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    fn verdict(program: &[sock_filter], arch: u32, number: u32) -> u32 {
        run(program, Data { arch, number, argument: 0 })
    }

    #[test]
    fn user_namespaces_are_refused_by_the_numbers_of_every_machine() {
        let program = no_user_namespaces();
        let flag = u64::from(CLONE_NEWUSER.cast_unsigned());
        for Machine { arch, clone, unshare } in MACHINES {
            let said = |number, argument| run(&program, Data { arch, number, argument });
            for number in [clone, unshare, X32 | clone, X32 | unshare] {
                assert_eq!(said(number, flag), error(EPERM), "{arch:#x} {number}");
                // With other flags, and with bits above those that the kernel looks at.
                assert_eq!(said(number, flag | 0x0c02_0011 | 1 << 40), error(EPERM), "{arch:#x} {number}");
                for others in [0, 17, flag >> 1, flag << 1, flag << 32] {
                    assert_eq!(said(number, others), SECCOMP_RET_ALLOW, "{arch:#x} {number} {others:#x}");
                }
            }
            for number in [CLONE3, X32 | CLONE3] {
                assert_eq!(said(number, 0), error(ENOSYS), "{arch:#x}");
            }
            for number in [0, clone - 1, clone + 1, unshare - 1, unshare + 1, CLONE3 - 1, CLONE3 + 1, X32 | 1]
            {
                assert_eq!(said(number, flag), SECCOMP_RET_ALLOW, "{arch:#x} {number}");
            }
        }
        assert_eq!(verdict(&program, 0, 1), error(ENOSYS));
    }

    /// Compares the numbers with the tables of another crate.
    #[test]
    fn numbers_are_those_of_the_calls() {
        let number = |name: &str| name.parse::<pod::isolators::Call>().unwrap().number();
        let [own, _] = MACHINES;
        assert_eq!((number("clone"), number("unshare")), (Some(own.clone), Some(own.unshare)));
        assert_eq!(number("clone3"), Some(CLONE3));
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
