// SPDX-License-Identifier: Apache-2.0
//! Programs that make one system call, for x86-64. They are assembled byte by byte, since no safe function makes such
//! calls.

use crate::rootfs::Node;

/// The way a call enters the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `syscall`, with x86-64's numbers.
    Syscall,
    /// `int 0x80`, with i386's numbers, as 32-bit programs do.
    Int80,
}

/// A call's first argument.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// A number.
    Number(u32),
    /// The address of `struct clone_args` (clone3(2)) with these flags; its size is the second argument.
    CloneArgs(u64),
}

/// The address at which the whole file is mapped.
pub(crate) const ADDRESS: u32 = 0x40_0000;
/// The size of the ELF header and one program header.
pub(crate) const HEADERS: u32 = 64 + 56;
/// The size of the first version of `struct clone_args`.
const CLONE_ARGS: u32 = 64;

/// Returns a program that exits with the call's error number, or 0. If the call makes a process, that process also
/// exits with 0.
pub fn program(entry: Entry, number: u32, argument: Argument) -> Node {
    let data = match argument {
        Argument::Number(_) => 0,
        Argument::CloneArgs(flags) => flags,
    };
    let (first, second) = match argument {
        Argument::Number(number) => (number, 0),
        Argument::CloneArgs(_) => (ADDRESS + HEADERS, CLONE_ARGS),
    };
    let mut structure = [0; CLONE_ARGS as usize];
    structure[..8].copy_from_slice(&data.to_le_bytes());
    let mut file = headers(entry_point(), false);
    file.extend(structure);
    file.extend(code(entry, number, first, second));
    Node::File(0o755, file)
}

fn entry_point() -> u32 {
    ADDRESS + HEADERS + CLONE_ARGS
}

fn code(entry: Entry, number: u32, first: u32, second: u32) -> Vec<u8> {
    let load = |opcode: u8, value: u32| [&[opcode][..], &value.to_le_bytes()].concat();
    // The registers of the call: its number and arguments (syscall(2)).
    let (registers, call) = match entry {
        Entry::Syscall => ([0xb8, 0xbf, 0xbe], [0x0f, 0x05]),
        Entry::Int80 => ([0xb8, 0xbb, 0xb9], [0xcd, 0x80]),
    };
    let mut code: Vec<u8> = registers
        .iter()
        .zip([number, first, second])
        .flat_map(|(opcode, value)| load(*opcode, value))
        .collect();
    code.extend(call);
    // mov edi, eax; neg edi; jns over: xor edi, edi; over: mov eax, SYS_exit_group; syscall
    code.extend([0x89, 0xc7, 0xf7, 0xdf, 0x79, 0x02, 0x31, 0xff]);
    code.extend(load(0xb8, 231));
    code.extend([0x0f, 0x05]);
    code
}

/// Returns the headers of an ELF file with one segment, the whole file (elf(5)). The kernel starts a program with its
/// other registers zero.
pub(crate) fn headers(entry_point: u32, is_writable: bool) -> Vec<u8> {
    let mut file = Node::program_file();
    let mut set = |at: usize, value: u32| file[at..at + 4].copy_from_slice(&value.to_le_bytes());
    // The program's entry point; the segment's flags (read and execute, write), address, sizes and alignment.
    set(24, entry_point);
    set(68, if is_writable { 7 } else { 5 });
    set(80, ADDRESS);
    set(96, 4096);
    set(104, 4096);
    set(112, 4096);
    file
}
