// SPDX-License-Identifier: Apache-2.0
//! The formats of executable files, as the kernel's binfmt_script, binfmt_elf and binfmt_misc recognise them.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt as _;

use goblin::container::Ctx;
use goblin::elf::Elf;
use goblin::elf::header::{ET_DYN, ET_EXEC, Header, machine_to_str};
use goblin::elf::program_header::{PT_INTERP, ProgramHeader};
use pod::arch::Arch;

/// The length of the part of a file that decides on its format (linux/binfmts.h, `BINPRM_BUF_SIZE`).
pub(super) const HEAD: usize = 256;
/// The maximum size of an ELF program's program headers (fs/binfmt_elf.c).
const SEGMENTS_MAX: usize = 1 << 16;
/// The permitted lengths of the path of an ELF program's interpreter, including its NUL (fs/binfmt_elf.c).
const INTERPRETER: RangeInclusive<usize> = 2..=4096;
/// The text that ends the messages about files that can't be executed.
const EXPECTED: &str = "expected an ELF program, or a script that starts with #! and its interpreter";

/// The format of an executable file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A script: this interpreter is started, with the script as an argument.
    Script(Vec<u8>),
    /// A program for this machine, and its ELF interpreter, if it names one.
    Elf(Option<Vec<u8>>),
}

/// Reads a file's format.
///
/// # Errors
/// A message, if the file has no format that can be executed, or can't be read.
pub(super) fn read(file: &File) -> Result<Format, String> {
    let head = head(file).map_err(|error| format!("can't be read: {error}"))?;
    match head.as_slice() {
        [] => Err(format!("is empty: {EXPECTED}")),
        [b'#', b'!', line @ ..] => {
            let whole = head.len() < HEAD;
            script(line, whole)
                .map(Format::Script)
                .ok_or_else(|| format!("names no interpreter after #! in its first {HEAD} bytes: {EXPECTED}"))
        }
        [0x7f, b'E', b'L', b'F', ..] => elf(file, &head).map(Format::Elf),
        _ => Err(format!("is neither a script nor a program: {EXPECTED}")),
    }
}

/// Reads the first [`HEAD`] bytes, or the whole file if it is shorter.
pub(super) fn head(file: &File) -> io::Result<Vec<u8>> {
    let (mut head, mut length) = (vec![0; HEAD], 0);
    loop {
        match file.read_at(&mut head[length..], length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    head.truncate(length);
    Ok(head)
}

/// Returns the interpreter in the line that follows `#!` (fs/binfmt_script.c). The bytes after the end of a short file
/// count as NUL, which ends a name as a blank does. If the line is longer than the part that is read, the name has to
/// end within that part.
fn script(line: &[u8], whole: bool) -> Option<Vec<u8>> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = line.iter().position(|byte| *byte == b'\n');
    let line = &line[..end.unwrap_or(line.len())];
    let line = &line[line.iter().position(|byte| !is_blank(byte))?..];
    let end_of_name = line.iter().position(|byte| is_blank(byte) || *byte == 0);
    let is_cut = end.is_none() && !whole && end_of_name.is_none();
    let name = &line[..end_of_name.unwrap_or(line.len())];
    (!is_cut && !name.is_empty()).then(|| name.to_vec())
}

/// Returns the interpreter of an ELF program, after checking that this machine can execute the program.
fn elf(file: &File, head: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let damaged = || format!("is a damaged ELF file: {EXPECTED}");
    let header = Elf::parse_header(head).map_err(|_| damaged())?;
    let context = context(&header).ok_or_else(damaged)?;
    let bits = if context.container.is_big() { 64 } else { 32 };
    if !Arch::current().machines.contains(&(bits, header.e_machine)) {
        let (found, own) = (machine_to_str(header.e_machine), Arch::current().name);
        return Err(format!("is a program for {found} with {bits} bits: expected one for {own}"));
    }
    if !matches!(header.e_type, ET_EXEC | ET_DYN) {
        return Err(format!("is an ELF file that is no program: {EXPECTED}"));
    }
    let segments = segments(file, &header, context).ok_or_else(damaged)?;
    let Some(segment) = segments.iter().find(|segment| segment.p_type == PT_INTERP) else { return Ok(None) };
    let path = interpreter(file, segment).ok_or_else(damaged)?;
    Ok(Some(path))
}

fn segments(file: &File, header: &Header, context: Ctx) -> Option<Vec<ProgramHeader>> {
    let (size, count) = (ProgramHeader::size(context), usize::from(header.e_phnum));
    let is_usual = usize::from(header.e_phentsize) == size && (1..=SEGMENTS_MAX / size).contains(&count);
    let bytes = is_usual.then(|| read_at(file, header.e_phoff, count * size)).flatten()?;
    ProgramHeader::parse(&bytes, 0, count, context).ok()
}

/// Reads the interpreter's path, which has to end with a NUL.
fn interpreter(file: &File, segment: &ProgramHeader) -> Option<Vec<u8>> {
    let length = usize::try_from(segment.p_filesz).ok().filter(|length| INTERPRETER.contains(length))?;
    let path = read_at(file, segment.p_offset, length)?;
    path.ends_with(&[0]).then(|| path.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)).flatten()
}

fn context(header: &Header) -> Option<Ctx> {
    Some(Ctx::new(header.container().ok()?, header.endianness().ok()?))
}

fn read_at(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_scripts() {
        let long = [b'/'; HEAD - 2];
        for (line, whole, interpreter) in [
            (&b"/bin/sh\necho"[..], true, Some("/bin/sh")),
            (b" \t/bin/sh -e \n", true, Some("/bin/sh")),
            (b"/bin/sh", true, Some("/bin/sh")),
            (b"/bin/sh\r\n", true, Some("/bin/sh\r")),
            (b"sh\0\n", true, Some("sh")),
            (b"", true, None),
            (b"  \n/bin/sh\n", true, None),
            (&long, false, None),
            (b"/bin/sh -c and more", false, Some("/bin/sh")),
        ] {
            let found = script(line, whole).map(|name| String::from_utf8(name).unwrap());
            assert_eq!(found.as_deref(), interpreter, "{line:?}");
        }
    }
}
