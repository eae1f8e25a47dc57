// SPDX-License-Identifier: Apache-2.0
//! Writes the machine code of functions that name themselves on stderr and end the process.

use crate::target::Machine;

/// A function, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// The library that it is of, for the message.
    pub(super) library: String,
}

impl Machine {
    /// Returns its number in an ELF header (`e_machine`).
    pub(super) fn number(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }

    /// Returns what every function ends with: write(2, message, length), and an instruction that doesn't exist, where the
    /// kernel sends SIGILL. Message and length are where the system call takes them.
    fn end(self) -> Vec<u8> {
        match self {
            // mov $2,%edi; mov $1,%eax; syscall; ud2
            Self::X86_64 => vec![0xbf, 2, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b],
            // mov x0,#2; mov x8,#64; svc #0; udf #0
            Self::Aarch64 => [0xd280_0040_u32, 0xd280_0808, 0xd400_0001, 0]
                .into_iter()
                .flat_map(u32::to_le_bytes)
                .collect(),
        }
    }

    /// Returns the size of [`Machine::entry`].
    fn entry_size(self) -> u32 {
        match self {
            Self::X86_64 => 17,
            Self::Aarch64 => 12,
        }
    }

    /// Returns the entry of a function at `at`: it puts the address and the length of its message into registers and jumps to
    /// the end, which is at 0.
    fn entry(self, at: u32, message: u32, length: u16) -> Vec<u8> {
        // Distances are what to add, modulo 2^32. They are less than what the smallest field holds, 1 MB: a few hundred
        // functions and their messages.
        match self {
            // mov $length,%edx; lea message(%rip),%rsi; jmp end
            Self::X86_64 => {
                let mut code = vec![0xba];
                code.extend(u32::from(length).to_le_bytes());
                code.extend([0x48, 0x8d, 0x35]);
                code.extend(message.wrapping_sub(at + 12).to_le_bytes());
                code.push(0xe9);
                code.extend(0_u32.wrapping_sub(at + 17).to_le_bytes());
                code
            }
            // adr x1,message; mov x2,#length; b end
            Self::Aarch64 => {
                let to = message.wrapping_sub(at);
                let adr = 0x1000_0001 | (to & 3) << 29 | (to >> 2 & 0x7_ffff) << 5;
                let mov = 0xd280_0002 | u32::from(length) << 5;
                let b = 0x1400_0000 | (0_u32.wrapping_sub(at + 8) >> 2 & 0x3ff_ffff);
                [adr, mov, b].into_iter().flat_map(u32::to_le_bytes).collect()
            }
        }
    }
}

/// Returns the code and where in it each function begins.
pub(super) fn write(machine: Machine, functions: &[&Function]) -> (Vec<u8>, Vec<u32>) {
    let mut code = machine.end();
    let mut messages = Vec::new();
    let entries: Vec<u32> =
        (0..).zip(functions).map(|(at, _)| size(&code) + at * machine.entry_size()).collect();
    let messages_at = entries.last().map_or(0, |last| last + machine.entry_size());
    for (function, at) in functions.iter().zip(&entries) {
        let message = message(function);
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        code.extend(machine.entry(*at, messages_at + size(&messages), length));
        messages.extend(message.into_bytes());
    }
    code.extend(messages);
    (code, entries)
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Returns what a function says when it is called.
fn message(function: &Function) -> String {
    format!("stage1 has no {}, but {} was called\n", function.library, function.name)
}
