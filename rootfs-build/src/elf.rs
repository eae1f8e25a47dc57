// SPDX-License-Identifier: Apache-2.0
//! Reads what an ELF file loads: its interpreter, its libraries, and those it names for dlopen.
//!
//! Formats: ELF gABI, "Dynamic Linking"; `.note.dlopen` as in the UAPI group's "ELF dlopen metadata".

use anyhow::{Context as _, Result};
use goblin::elf::Elf;
use serde::Deserialize;

/// The type and owner of the note.
const DLOPEN_NOTE: u32 = 0x407c_0c0a;
const DLOPEN_OWNER: &str = "FDO";

/// The parts of an ELF file that say what it loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The dynamic linker (`PT_INTERP`).
    pub(crate) interpreter: Option<String>,
    /// The needed libraries (`DT_NEEDED`).
    pub(crate) needed: Vec<String>,
    /// The directories of `DT_RUNPATH`, or of `DT_RPATH` if there is none, unexpanded.
    pub(crate) search: Vec<String>,
    /// The libraries that it may load while it runs.
    pub(crate) dlopen: Vec<Dlopen>,
}

/// An entry of `.note.dlopen`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Dlopen {
    /// Alternatives, the best first.
    pub(crate) soname: Vec<String>,
    #[serde(default)]
    pub(crate) priority: Priority,
}

/// The importance of an entry of `.note.dlopen`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    Required,
    #[default]
    Recommended,
    #[serde(other)]
    Suggested,
}

/// Reads an ELF file from `bytes`.
///
/// # Errors
/// Fails if they are no ELF file, or a damaged one.
pub(crate) fn read(bytes: &[u8]) -> Result<Facts> {
    let elf = Elf::parse(bytes)?;
    let paths = if elf.runpaths.is_empty() { &elf.rpaths } else { &elf.runpaths };
    let search = paths.iter().flat_map(|path| path.split(':')).filter(|path| !path.is_empty());
    Ok(Facts {
        interpreter: elf.interpreter.map(str::to_owned),
        needed: elf.libraries.iter().map(|name| (*name).to_owned()).collect(),
        search: search.map(str::to_owned).collect(),
        dlopen: dlopen(&elf, bytes)?,
    })
}

fn dlopen(elf: &Elf<'_>, bytes: &[u8]) -> Result<Vec<Dlopen>> {
    let mut entries = Vec::new();
    for note in elf.iter_note_sections(bytes, Some(".note.dlopen")).into_iter().flatten() {
        let note = note.context("read .note.dlopen")?;
        if note.n_type == DLOPEN_NOTE && note.name.trim_end_matches('\0') == DLOPEN_OWNER {
            entries.extend(parse_note(note.desc)?);
        }
    }
    Ok(entries)
}

/// Parses the note's text, which is padded with NUL.
fn parse_note(text: &[u8]) -> Result<Vec<Dlopen>> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    serde_json::from_slice(&text[..end]).context("read .note.dlopen")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_dynamic_program() {
        // This crate runs apt-get, so it is installed wherever the crate works.
        let bytes = std::fs::read("/usr/bin/apt-get").unwrap();
        let facts = read(&bytes).unwrap();
        assert!(facts.needed.iter().any(|name| name == "libc.so.6"), "{facts:?}");
        let loader = facts.interpreter.unwrap();
        assert_eq!(Path::new(&loader).file_name(), Path::new(pod::arch::Arch::current().loader).file_name());
    }

    #[test]
    fn dlopen_notes() {
        let text =
            br#"[{"feature":"x","description":"y","priority":"required","soname":["liba.so.2","liba.so.1"]},
            {"soname":["libb.so.1"]},{"soname":["libc.so.1"],"priority":"suggested"}]"#;
        let found: Vec<_> =
            parse_note(text).unwrap().into_iter().map(|entry| (entry.soname.len(), entry.priority)).collect();
        assert_eq!(found, [(2, Priority::Required), (1, Priority::Recommended), (1, Priority::Suggested)]);
        assert_eq!(parse_note(b"[]\0\0").unwrap(), []);
        assert!(parse_note(b"{").is_err());
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [0, 3, 16, 63, 64, 100, 1000] {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
    }
}
