// SPDX-License-Identifier: Apache-2.0
//! The filter of every app that doesn't ask for another, and the floor below an app's own.
//!
//! ```text
//! machine → its runs of numbers → binary search → the run's verdict, or a look at the arguments
//! any other machine → ENOSYS
//! ```
//!
//! The kernel keeps a map of the numbers for which a program always says yes, so those cost nothing.

use crate::bpf::{
    ALLOW, EAFNOSUPPORT, ENOSYS, EPERM, IF_ANY_OF, IF_AT_LEAST, IF_EQUAL, Instruction, MACHINE, NUMBER,
    argument, end, error, load, skip, when,
};
use crate::machine::{OTHER, OWN, X32};
use crate::table::{Capability, Check, Rule};

/// Numbers from one on that have the same rule.
struct Run {
    from: u32,
    rule: Rule,
}

mod runs {
    use crate::default::Run;
    use crate::table::{Capability::*, Check::*, Rule::*};
    include!(concat!(env!("OUT_DIR"), "/runs.rs"));
}

/// The runs of each machine.
const MACHINES: [(u32, &[Run]); 2] = [(OWN, runs::OWN), (OTHER, runs::OTHER)];

/// `CLONE_NEW*` (linux/sched.h): mounts, cgroups, host name, IPC, users, processes, network.
const NAMESPACES: u32 = 0x7e02_0000;
/// `CLONE_NEWTIME`, for unshare alone.
const TIME_NAMESPACE: u32 = 0x80;
/// The arguments of personality(2) that are allowed (linux/personality.h): Linux and its 32-bit variant, each also with
/// the older form of uname, and the question for the current value.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x0002_0000, 0x0002_0008, u32::MAX];
const AF_NETLINK: u32 = 16;
/// The kernel's audit log (linux/netlink.h).
const NETLINK_AUDIT: u32 = 9;
const AF_PACKET: u32 = 17;
const AF_ALG: u32 = 38;
const AF_VSOCK: u32 = 40;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// Returns the program for an app with these capabilities, a bit each.
pub fn default(capabilities: u64) -> Vec<Instruction> {
    program(capabilities, |rule| rule)
}

/// Returns the program for an app with these capabilities that has a filter of its own, or asks for none.
///
/// It refuses what reaches beyond the pod: calls that need a capability the app doesn't have, and arguments of sockets,
/// namespaces and terminals. What the default filter refuses for other reasons is left to the app.
pub fn floor(capabilities: u64) -> Vec<Instruction> {
    program(capabilities, |rule| match rule {
        Rule::Absent | Rule::Deny | Rule::Check(Check::Personality) => Rule::Allow,
        other => other,
    })
}

/// Returns the program for all processes of a pod. It refuses kinds of sockets that reach the host from any namespace,
/// whatever capabilities a process has.
pub fn of_pod() -> Vec<Instruction> {
    program(u64::MAX, |rule| match rule {
        Rule::Check(Check::Socket) => rule,
        _ => Rule::Allow,
    })
}

fn program(capabilities: u64, rule: impl Fn(Rule) -> Rule) -> Vec<Instruction> {
    let mut program = vec![load(MACHINE)];
    for (machine, runs) in MACHINES {
        // x32 has x86-64's calls under other numbers, and no programs use it.
        let mut of_machine = vec![load(NUMBER), when(IF_AT_LEAST, X32, 0, 1), end(error(ENOSYS))];
        of_machine.extend(search(&merged(runs, capabilities, &rule), capabilities));
        program.push(when(IF_EQUAL, machine, 1, 0));
        program.push(skip(length(&of_machine)));
        program.extend(of_machine);
    }
    program.push(end(error(ENOSYS)));
    program
}

/// The result of a run of the filter, for the app at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ruling {
    Is(u32),
    Depends(Check),
}

fn merged(runs: &[Run], capabilities: u64, rule: impl Fn(Rule) -> Rule) -> Vec<(u32, Ruling)> {
    let mut merged: Vec<_> =
        runs.iter().map(|run| (run.from, ruling(rule(run.rule), capabilities))).collect();
    merged.dedup_by_key(|(_, ruling)| *ruling);
    merged
}

fn ruling(rule: Rule, capabilities: u64) -> Ruling {
    Ruling::Is(match rule {
        Rule::Check(Check::Clone | Check::Unshare) if has(capabilities, Capability::SysAdmin) => ALLOW,
        Rule::Check(check) => return Ruling::Depends(check),
        Rule::Needs(capability) | Rule::AbsentWithout(capability) if has(capabilities, capability) => ALLOW,
        Rule::Allow => ALLOW,
        Rule::Deny | Rule::Needs(_) => error(EPERM),
        Rule::Absent | Rule::AbsentWithout(_) => error(ENOSYS),
    })
}

fn has(capabilities: u64, capability: Capability) -> bool {
    capabilities & 1 << capability as u32 != 0
}

/// Returns the instructions that find the run of the number that is loaded.
fn search(runs: &[(u32, Ruling)], capabilities: u64) -> Vec<Instruction> {
    let (lower, upper) = runs.split_at(runs.len() / 2);
    let [(from, ruling), ..] = upper else { return Vec::new() };
    if lower.is_empty() {
        return match ruling {
            Ruling::Is(verdict) => vec![end(*verdict)],
            Ruling::Depends(check) => look(*check, capabilities),
        };
    }
    let (lower, upper) = (search(lower, capabilities), search(upper, capabilities));
    let from = *from;
    let mut program = match u8::try_from(lower.len()) {
        Ok(past) => vec![when(IF_AT_LEAST, from, past, 0)],
        Err(_) => vec![when(IF_AT_LEAST, from, 0, 1), skip(length(&lower))],
    };
    program.extend(lower);
    program.extend(upper);
    program
}

/// Returns the instructions that decide by a call's arguments.
fn look(check: Check, capabilities: u64) -> Vec<Instruction> {
    match check {
        Check::Clone => without_flags(NAMESPACES),
        Check::Unshare => without_flags(NAMESPACES | TIME_NAMESPACE),
        Check::Personality => {
            let mut program = vec![load(argument(0))];
            program.extend(PERSONALITIES.map(|known| [when(IF_EQUAL, known, 0, 1), end(ALLOW)]).concat());
            program.push(end(error(EPERM)));
            program
        }
        Check::Socket => {
            let packet = if has(capabilities, Capability::NetRaw) { ALLOW } else { error(EPERM) };
            let families =
                [(AF_ALG, error(EAFNOSUPPORT)), (AF_VSOCK, error(EAFNOSUPPORT)), (AF_PACKET, packet)];
            let mut program = vec![load(argument(0))];
            program.extend(families.map(|(family, is)| [when(IF_EQUAL, family, 0, 1), end(is)]).concat());
            program.extend([
                when(IF_EQUAL, AF_NETLINK, 0, 2),
                load(argument(2)),
                when(IF_EQUAL, NETLINK_AUDIT, 1, 0),
                end(ALLOW),
                end(error(EAFNOSUPPORT)),
            ]);
            program
        }
        Check::Ioctl => vec![
            load(argument(1)),
            when(IF_EQUAL, TIOCSTI, 1, 0),
            when(IF_EQUAL, TIOCLINUX, 0, 1),
            end(error(EPERM)),
            end(ALLOW),
        ],
    }
}

fn without_flags(flags: u32) -> Vec<Instruction> {
    vec![load(argument(0)), when(IF_ANY_OF, flags, 0, 1), end(error(EPERM)), end(ALLOW)]
}

fn length(program: &[Instruction]) -> u32 {
    u32::try_from(program.len()).expect("a program has a few hundred instructions")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bpf::tests::{Call, run};
    use crate::table::GROUPS;

    fn verdict(capabilities: u64, machine: u32, number: u32, arguments: &[u64]) -> u32 {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        run(&default(capabilities), Call { machine, number, arguments: all })
    }

    fn own(name: &str) -> u32 {
        let call = syscalls::Sysno::iter().find(|call| call.name() == name);
        u32::try_from(call.unwrap_or_else(|| panic!("{name} is a call of this machine")).id()).unwrap()
    }

    fn bit(capability: Capability) -> u64 {
        1 << capability as u32
    }

    fn said(capabilities: u64, name: &str, arguments: &[u64]) -> u32 {
        verdict(capabilities, OWN, own(name), arguments)
    }

    #[test]
    fn each_call_has_what_its_group_says() {
        let rules: BTreeMap<_, _> = GROUPS
            .iter()
            .flat_map(|group| group.calls.split_whitespace().map(|name| (name, group.rule)))
            .collect();
        let (none, all) = (default(0), default(u64::MAX));
        let mut seen = 0;
        for call in syscalls::Sysno::iter() {
            let number = u32::try_from(call.id()).unwrap();
            let of = |program| run(program, Call { machine: OWN, number, arguments: [0; 6] });
            // Arguments of zero are harmless to each check.
            let (without, with) = match rules[call.name()] {
                Rule::Allow | Rule::Check(_) => (ALLOW, ALLOW),
                Rule::Deny => (error(EPERM), error(EPERM)),
                Rule::Absent => (error(ENOSYS), error(ENOSYS)),
                Rule::Needs(_) => (error(EPERM), ALLOW),
                Rule::AbsentWithout(_) => (error(ENOSYS), ALLOW),
            };
            assert_eq!((of(&none), of(&all)), (without, with), "{}", call.name());
            seen += 1;
        }
        assert!(seen > 300, "{seen} calls");
    }

    #[test]
    fn a_capability_opens_what_needs_it_and_nothing_else() {
        use Capability::*;
        let calls = [
            (SysAdmin, "mount"),
            (SysChroot, "chroot"),
            (SysModule, "init_module"),
            (SysTime, "clock_settime"),
            (SysPtrace, "userfaultfd"),
            (Syslog, "syslog"),
            (DacReadSearch, "open_by_handle_at"),
            (SysPacct, "acct"),
            (SysBoot, "reboot"),
            (SysTtyConfig, "vhangup"),
            (SysNice, "move_pages"),
        ];
        for (capability, _) in calls {
            for (needs, call) in calls {
                let expected = if needs == capability { ALLOW } else { error(EPERM) };
                assert_eq!(said(bit(capability), call, &[]), expected, "{call} with {capability:?}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_absent() {
        for number in [own("read") | X32, 5000, 0xffff, 0x1_0000, u32::MAX - 1] {
            assert_eq!(verdict(u64::MAX, OWN, number, &[]), error(ENOSYS), "{number:#x}");
        }
        assert_eq!(verdict(u64::MAX, 0x1234, own("read"), &[]), error(ENOSYS));
    }

    #[test]
    fn namespaces_take_a_capability() {
        // A bit above those that the kernel looks at changes nothing.
        for flag in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000_u64]
        {
            for call in ["clone", "unshare"] {
                assert_eq!(said(0, call, &[flag | 0x11 | 1 << 40]), error(EPERM), "{call} {flag:#x}");
                assert_eq!(said(bit(Capability::SysAdmin), call, &[flag]), ALLOW, "{call} {flag:#x}");
            }
        }
        // A thread, and a new time namespace; the same bit is part of clone's signal.
        for (call, flags, expected) in [
            ("clone", 0x3d_0f00, ALLOW),
            ("clone", 0x80, ALLOW),
            ("unshare", 0x80, error(EPERM)),
            ("unshare", 0x600, ALLOW),
        ] {
            assert_eq!(said(0, call, &[flags]), expected, "{call} {flags:#x}");
        }
        assert_eq!(said(0, "clone3", &[]), error(ENOSYS));
        assert_eq!(said(bit(Capability::SysAdmin), "clone3", &[]), ALLOW);
    }

    #[test]
    fn arguments_decide() {
        let (raw, no_family) = (bit(Capability::NetRaw), error(EAFNOSUPPORT));
        for (capabilities, call, arguments, expected) in [
            (0, "socket", &[1_u64][..], ALLOW),
            (0, "socket", &[2], ALLOW),
            (0, "socket", &[16, 3, 0], ALLOW),
            (0, "socket", &[2, 3, 9], ALLOW),
            (u64::MAX, "socket", &[16, 3, 9], no_family),
            (0, "socket", &[38], no_family),
            (0, "socket", &[1 << 32 | 40], no_family),
            (0, "socket", &[17, 3], error(EPERM)),
            (raw, "socket", &[17, 3], ALLOW),
            (raw, "socketpair", &[38], no_family),
            (0, "personality", &[0], ALLOW),
            (0, "personality", &[0xffff_ffff], ALLOW),
            (0, "personality", &[0x40000], error(EPERM)),
            (0, "ioctl", &[0, 0x5401], ALLOW),
            (0, "ioctl", &[0, 0x5412], error(EPERM)),
            (0, "ioctl", &[0, 1 << 32 | 0x5412], error(EPERM)),
            (0, "ioctl", &[0, 0x541c], error(EPERM)),
        ] {
            assert_eq!(said(capabilities, call, arguments), expected, "{call} {arguments:x?}");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn programs_of_32_bits_have_their_own_numbers() {
        let said = |number, arguments: &[u64]| verdict(0, OTHER, number, arguments);
        for (number, name) in [(3, "read"), (11, "execve"), (45, "brk"), (403, "clock_gettime64")] {
            assert_eq!(said(number, &[]), ALLOW, "{name}");
        }
        assert_eq!(said(21, &[]), error(EPERM), "mount");
        assert_eq!(said(310, &[0x1000_0000]), error(EPERM), "unshare");
        assert_eq!(said(102, &[]), ALLOW, "socketcall");
    }

    #[test]
    fn the_floor_refuses_what_reaches_beyond_the_pod_alone() {
        let said = |number, arguments: [u64; 6]| run(&floor(0), Call { machine: OWN, number, arguments });
        let first = |argument| [argument, 0, 0, 0, 0, 0];
        for (call, arguments, expected) in [
            ("io_uring_setup", first(0), ALLOW),
            ("vmsplice", first(0), ALLOW),
            ("personality", first(0x4_0000), ALLOW),
            ("read", first(0), ALLOW),
            ("keyctl", first(1), error(EPERM)),
            ("open_by_handle_at", first(0), error(EPERM)),
            ("unshare", first(0x1000_0000), error(EPERM)),
            ("clone3", first(0), error(ENOSYS)),
            ("socket", first(40), error(EAFNOSUPPORT)),
            ("socket", [16, 3, 9, 0, 0, 0], error(EAFNOSUPPORT)),
        ] {
            assert_eq!(said(own(call), arguments), expected, "{call}");
        }
        // A call of tomorrow is the app's matter; x32's numbers for the others are not.
        assert_eq!(said(5000, first(0)), ALLOW);
        assert_eq!(said(X32 | own("unshare"), first(0x1000_0000)), error(ENOSYS));
    }

    #[test]
    fn nothing_in_a_pod_writes_the_hosts_audit_log() {
        let said = |number, arguments: [u64; 6]| run(&of_pod(), Call { machine: OWN, number, arguments });
        assert_eq!(said(own("socket"), [16, 3, 9, 0, 0, 0]), error(EAFNOSUPPORT));
        for (call, arguments) in
            [("socket", [16, 3, 0, 0, 0, 0]), ("socket", [17, 3, 9, 0, 0, 0]), ("mount", [0; 6])]
        {
            assert_eq!(said(own(call), arguments), ALLOW, "{call}");
        }
    }

    #[test]
    fn it_is_short() {
        for capabilities in [0, u64::MAX, 0xa804_25fb] {
            let length = default(capabilities).len();
            assert!((100..1000).contains(&length), "{length} instructions for {capabilities:#x}");
        }
    }
}
