// SPDX-License-Identifier: Apache-2.0
//! Formats that the host has registered with its kernel (the kernel's admin-guide/binfmt-misc). A file in such a format
//! can be executed by an interpreter that only the host knows.

use std::fs;
use std::path::Path;

/// The directory where the kernel lists them, if that is mounted and readable.
const DIRECTORY: &str = "/proc/sys/fs/binfmt_misc";

/// Tells whether a file of this name, with these first bytes, has such a format.
pub(super) fn knows(name: &[u8], head: &[u8]) -> bool {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let directory = Path::new(DIRECTORY);
    // The directory also has `status`, which begins as an entry does, and `register`, which can't be read. Neither of
    // them matches anything.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    read(&directory.join("status")).starts_with("enabled")
        && entries.map(|entry| read(&entry.path())).any(|entry| matches(&entry, name, head))
}

/// Tells whether a file matches an entry. An entry has lines of a key and a value: `extension .EXT`, or `offset N`,
/// `magic HEX` and maybe `mask HEX`.
fn matches(entry: &str, name: &[u8], head: &[u8]) -> bool {
    let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    if !entry.starts_with("enabled\n") {
        return false;
    }
    if let Some(extension) = value("extension") {
        return name.ends_with(extension.as_bytes());
    }
    let (Some(magic), Some(offset)) = (value("magic").and_then(bytes), value("offset")) else { return false };
    let mask = value("mask").and_then(bytes).unwrap_or_else(|| vec![0xff; magic.len()]);
    let part = offset.parse().ok().and_then(|offset: usize| head.get(offset..)?.get(..magic.len()));
    part.is_some_and(|part| {
        part.iter().zip(&magic).zip(&mask).all(|((found, magic), mask)| (found ^ magic) & mask == 0)
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair.get(1)?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let of_magic = "enabled\ninterpreter /usr/bin/x\nflags: OCF\noffset 1\nmagic 454c46\nmask ffffdf\n";
        let of_extension = "enabled\ninterpreter /usr/bin/x\nflags: \nextension .exe\n";
        for (entry, name, head, expected) in [
            (of_magic, "a", &b"\x7fELF"[..], true),
            (of_magic, "a", b"\x7fELf", true),
            (of_magic, "a", b"\x7fELG", false),
            (of_magic, "a", b"\x7fEL", false),
            (of_extension, "a.exe", b"", true),
            (of_extension, "a.ex", b"", false),
            (&of_magic.replace("enabled", "disabled"), "a", b"\x7fELF", false),
            ("enabled\n", "a", b"\x7fELF", false),
        ] {
            assert_eq!(matches(entry, name.as_bytes(), head), expected, "{entry} {name} {head:?}");
        }
    }
}
