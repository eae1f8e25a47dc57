// SPDX-License-Identifier: Apache-2.0
//! Programs that make a few system calls one after the other, for x86-64. They are assembled byte by byte, as those of
//! [`crate::one_call`]: no safe function makes such calls.

use std::iter;

use crate::one_call::{ADDRESS, HEADERS, headers};

/// A call's number (asm/unistd_64.h) and its arguments. The others are zero.
pub type Call<'c> = (u32, &'c [Argument]);

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// A number.
    Number(u64),
    /// The address of a piece of the program's data, which the kernel may write to.
    Data(usize),
    /// The result of the call before.
    Last,
}

/// The registers of arguments (syscall(2)): how each gets a constant, and the last result from r12.
const REGISTERS: [([u8; 2], [u8; 3]); 6] = [
    ([0x48, 0xbf], [0x4c, 0x89, 0xe7]),
    ([0x48, 0xbe], [0x4c, 0x89, 0xe6]),
    ([0x48, 0xba], [0x4c, 0x89, 0xe2]),
    ([0x49, 0xba], [0x4d, 0x89, 0xe2]),
    ([0x49, 0xb8], [0x4d, 0x89, 0xe0]),
    ([0x49, 0xb9], [0x4d, 0x89, 0xe1]),
];

/// Returns a program that makes these calls, up to the first one that fails, and exits with its error number, or 0.
///
/// # Panics
/// Panics if the data is too long.
pub fn program(data: &[&[u8]], calls: &[Call<'_>]) -> Vec<u8> {
    let mut places = Vec::new();
    let mut bytes = Vec::new();
    for piece in data {
        places.push(u64::from(ADDRESS + HEADERS) + bytes.len() as u64);
        bytes.extend_from_slice(piece);
        // Structures begin where words do.
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let entry_point = ADDRESS + HEADERS + u32::try_from(bytes.len()).expect("data is short");
    let mut file = headers(entry_point, true);
    file.extend(bytes);
    for (number, arguments) in calls {
        file.extend(call(*number, arguments, &places));
    }
    // xor edi, edi; mov eax, SYS_exit_group; syscall
    file.extend([0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    file
}

fn call(number: u32, arguments: &[Argument], places: &[u64]) -> Vec<u8> {
    let mut code = Vec::new();
    // What a call before has left in a register is no argument of this one.
    let all = arguments.iter().chain(iter::repeat(&Argument::Number(0)));
    for (argument, (constant, last)) in all.zip(REGISTERS) {
        let value = match argument {
            Argument::Number(number) => *number,
            Argument::Data(piece) => places[*piece],
            Argument::Last => {
                code.extend(last);
                continue;
            }
        };
        code.extend(constant);
        code.extend(value.to_le_bytes());
    }
    // mov eax, NUMBER; syscall; mov r12, rax
    code.push(0xb8);
    code.extend(number.to_le_bytes());
    code.extend([0x0f, 0x05, 0x49, 0x89, 0xc4]);
    // test rax, rax; jns over; neg eax; mov edi, eax; mov eax, SYS_exit_group; syscall; over:
    code.extend([0x48, 0x85, 0xc0, 0x79, 11, 0xf7, 0xd8, 0x89, 0xc7, 0xb8, 231, 0, 0, 0, 0x0f, 0x05]);
    code
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_makes_its_calls_up_to_one_that_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        let code = |calls: &[Call<'_>]| {
            fs::write(&path, program(&[b"/dev/null\0", b"x"], calls)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            Command::new(&path).status().unwrap().code()
        };
        let open: Call<'_> = (2, &[Argument::Data(0), Argument::Number(1)]);
        let write = |count| [Argument::Last, Argument::Data(1), Argument::Number(count)];
        assert_eq!(code(&[]), Some(0));
        assert_eq!(code(&[open, (1, &write(1))]), Some(0));
        // The program's own number of arguments is no descriptor.
        assert_eq!(code(&[(3, &[Argument::Number(99)]), open]), Some(9));
        assert_eq!(code(&[open, (1, &[Argument::Last, Argument::Number(1), Argument::Number(1)])]), Some(0));
        assert_eq!(code(&[open, (0, &write(1))]), Some(9), "what was opened for writing can't be read");
    }
}
