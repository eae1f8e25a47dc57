// SPDX-License-Identifier: Apache-2.0
//! Instructions of the kernel's classic BPF (Documentation/networking/filter.rst), as far as filters of system calls
//! need them.

/// One instruction, as the kernel takes it.
pub use libc::sock_filter as Instruction;

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
pub(crate) const IF_EQUAL: u16 = 0x15;
pub(crate) const IF_AT_LEAST: u16 = 0x35;
pub(crate) const IF_ANY_OF: u16 = 0x45;
const RETURN: u16 = 0x06;

/// The offset of the call's number in `struct seccomp_data`.
pub(crate) const NUMBER: u32 = 0;
/// The offset of the machine (linux/audit.h, AUDIT_ARCH_*).
pub(crate) const MACHINE: u32 = 4;

/// The call is made.
pub(crate) const ALLOW: u32 = 0x7fff_0000;
/// The call isn't made, and SIGSYS ends the process.
pub(crate) const KILL_PROCESS: u32 = 0x8000_0000;
/// The call isn't made and returns an error.
const ERROR: u32 = 0x0005_0000;

pub(crate) const EPERM: u16 = 1;
pub(crate) const ENOSYS: u16 = 38;
pub(crate) const EAFNOSUPPORT: u16 = 97;

/// The offset of the low half of an argument: the machines here store that half first.
pub(crate) const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

pub(crate) const fn error(number: u16) -> u32 {
    ERROR | number as u32
}

pub(crate) const fn load(offset: u32) -> Instruction {
    Instruction { code: LOAD, jt: 0, jf: 0, k: offset }
}

/// Skips instructions.
pub(crate) const fn skip(count: u32) -> Instruction {
    Instruction { code: JUMP, jt: 0, jf: 0, k: count }
}

/// Compares what is loaded with a value. Skips `holds` instructions if the comparison holds, else `fails`.
pub(crate) const fn when(comparison: u16, with: u32, holds: u8, fails: u8) -> Instruction {
    Instruction { code: comparison, jt: holds, jf: fails, k: with }
}

pub(crate) const fn end(verdict: u32) -> Instruction {
    Instruction { code: RETURN, jt: 0, jf: 0, k: verdict }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A call, as the kernel shows it to a program.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Call {
        pub(crate) machine: u32,
        pub(crate) number: u32,
        pub(crate) arguments: [u64; 6],
    }

    /// Runs a program as the kernel does, and returns its verdict.
    pub(crate) fn run(program: &[Instruction], call: Call) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let holds = match code {
                LOAD => {
                    loaded = field(call, k);
                    continue;
                }
                JUMP => {
                    at += usize::try_from(k).unwrap();
                    continue;
                }
                RETURN => return k,
                IF_EQUAL => loaded == k,
                IF_AT_LEAST => loaded >= k,
                IF_ANY_OF => loaded & k != 0,
                other => panic!("an instruction that is not known here: {other:#x}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    fn field(call: Call, offset: u32) -> u32 {
        match offset {
            NUMBER => call.number,
            MACHINE => call.machine,
            _ => {
                let index = usize::try_from((offset - 16) / 8).unwrap();
                assert_eq!(offset, argument(u32::try_from(index).unwrap()), "the low half of an argument");
                u32::try_from(call.arguments[index] & u64::from(u32::MAX)).unwrap()
            }
        }
    }
}
