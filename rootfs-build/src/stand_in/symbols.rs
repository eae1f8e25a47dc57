// SPDX-License-Identifier: Apache-2.0
//! Reads which symbols an ELF file takes from others, and which it has itself, with their versions.
//!
//! Formats: ELF gABI, "Symbol Table"; versions as in the LSB Core Specification, "Symbol Versioning".

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use goblin::elf::Elf;
use goblin::elf::reloc::{R_AARCH64_COPY, R_X86_64_COPY};
use goblin::elf::sym::{STT_FUNC, STT_GNU_IFUNC};

/// Version 1 means: of no version (`VER_NDX_GLOBAL`).
const UNVERSIONED: u16 = 1;

/// Relocations that copy data. Their numbers mean nothing else on the other machine.
const COPIES: [u32; 2] = [R_X86_64_COPY, R_AARCH64_COPY];

/// The symbols that a file takes from others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Imports {
    /// The needed libraries, in their order.
    pub(super) needed: Vec<String>,
    /// Each symbol, and the library and version by which it is asked for.
    pub(super) symbols: BTreeSet<(String, Option<(String, String)>)>,
    /// Every version that a library must have, also those that no symbol has.
    pub(super) versions: BTreeSet<(String, String)>,
}

/// The type of a library's symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    /// Tells whether the symbol is called, as opposed to read and written.
    pub(super) fn is_code(self) -> bool {
        [STT_FUNC, STT_GNU_IFUNC].contains(&self.0)
    }
}

/// The symbols that a library has, without their versions.
pub(super) type Exports = BTreeMap<String, Kind>;

/// Reads what the file `bytes` takes from others.
pub(super) fn imports(bytes: &[u8]) -> Result<Imports> {
    let elf = Elf::parse(bytes)?;
    let mut imports = Imports {
        needed: elf.libraries.iter().map(|name| (*name).to_owned()).collect(),
        ..Imports::default()
    };
    let mut by_index = HashMap::new();
    for file in elf.verneed.iter().flatten() {
        let library = text(&elf, file.vn_file)?;
        for version in &file {
            let of = (library.clone(), text(&elf, version.vna_name)?);
            by_index.insert(version.vna_other, of.clone());
            imports.versions.insert(of);
        }
    }
    // A program has a place of its own for a library's data that it uses by address, and ld.so copies the data there.
    let copied: BTreeSet<usize> =
        elf.dynrelas.iter().filter(|one| COPIES.contains(&one.r_type)).map(|one| one.r_sym).collect();
    for (index, symbol) in elf.dynsyms.iter().enumerate() {
        let name = text(&elf, symbol.st_name)?;
        if (symbol.st_shndx != 0 && !copied.contains(&index)) || name.is_empty() {
            continue;
        }
        let version = elf.versym.as_ref().and_then(|table| table.get_at(index));
        let version = version.map_or(UNVERSIONED, |version| version.version());
        imports.symbols.insert((name, by_index.get(&version).cloned()));
    }
    Ok(imports)
}

/// Reads which symbols the library `bytes` has.
pub(super) fn exports(bytes: &[u8]) -> Result<Exports> {
    let elf = Elf::parse(bytes)?;
    let mut exports = Exports::new();
    for symbol in elf.dynsyms.iter().filter(|symbol| symbol.st_shndx != 0) {
        exports.insert(text(&elf, symbol.st_name)?, Kind(symbol.st_type()));
    }
    Ok(exports)
}

fn text(elf: &Elf<'_>, at: usize) -> Result<String> {
    elf.dynstrtab.get_at(at).map(str::to_owned).with_context(|| format!("bad name at {at}"))
}
