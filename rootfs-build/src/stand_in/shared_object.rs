// SPDX-License-Identifier: Apache-2.0
//! Writes a shared object of functions that end the process.
//!
//! It is one segment, which is read and executed, and has no relocation, no constructor and nothing to write to. So it costs
//! one mapping and no memory of a process's own: since glibc 2.35, a dynamic section can be read-only.
//!
//! Formats: ELF gABI; versions as in the LSB Core Specification, "Symbol Versioning"; `.gnu.hash` as glibc reads it
//! (elf/dl-lookup.c). Addresses are offsets in the file.

use std::collections::{BTreeMap, BTreeSet};

use super::code::{self, Function};
use crate::target::Machine;

/// The name that the object gives itself.
pub(super) const NAME: &str = "stand-in.so";

const HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;
const PROGRAM_HEADERS: u16 = 3;
const SECTION_HEADER: u16 = 64;
/// A symbol's size in `.dynsym`.
const SYMBOL: u16 = 24;
/// The largest page of the machines.
const PAGE: u64 = 0x10000;

/// Writes the shared object of `functions`. It has all of `versions`, also those of no function.
pub(super) fn write(machine: Machine, functions: &[Function], versions: &BTreeSet<String>) -> Vec<u8> {
    let hash = HashTable::new(functions);
    let functions: Vec<_> = hash.order.iter().map(|at| &functions[*at]).collect();
    let versions: BTreeMap<&str, u16> = versions.iter().map(String::as_str).zip(2..).collect();
    let mut strings = Strings::default();
    let soname = strings.add(NAME);
    let names: Vec<u32> = functions.iter().map(|function| strings.add(&function.name)).collect();
    let definitions = definitions(soname, &versions, &mut strings);
    let (code, entries) = code::write(machine, &functions);

    let mut file = File::new();
    let dynstr =
        file.add(Section { name: ".dynstr", kind: 3, flags: 2, ..Section::default() }, &strings.bytes);
    let text = file.add(Section { name: ".text", kind: 1, flags: 6, ..Section::default() }, &code);
    let of_text = u16::try_from(file.sections.len() - 1).unwrap_or(u16::MAX);
    let mut symbols = vec![0; SYMBOL.into()];
    for (name, entry) in names.iter().zip(entries) {
        symbols.extend(name.to_le_bytes());
        // STB_GLOBAL and STT_FUNC, STV_DEFAULT
        symbols.extend([0x12, 0]);
        symbols.extend(of_text.to_le_bytes());
        symbols.extend((text + u64::from(entry)).to_le_bytes());
        symbols.extend(0_u64.to_le_bytes());
    }
    let section = |name, kind, of| Section { name, kind, flags: 2, link: of, ..Section::default() };
    // The first section is `.dynstr`.
    let dynsym = file.add(Section { info: 1, entry: SYMBOL.into(), ..section(".dynsym", 11, 1) }, &symbols);
    let of_symbols = u32::try_from(file.sections.len() - 1).unwrap_or(u32::MAX);
    let hashed = file.add(section(".gnu.hash", 0x6fff_fff6, of_symbols), &hash.bytes);
    let indices: Vec<u8> = [0_u16]
        .into_iter()
        .chain(functions.iter().map(|function| {
            let version = function.version.as_deref().and_then(|version| versions.get(version));
            // 1: of no version.
            version.copied().unwrap_or(1)
        }))
        .flat_map(u16::to_le_bytes)
        .collect();
    let versym = file.add(Section { entry: 2, ..section(".gnu.version", 0x6fff_ffff, of_symbols) }, &indices);
    let count = versions.len() as u64 + 1;
    let info = u32::try_from(count).unwrap_or(u32::MAX);
    let verdef = file.add(Section { info, ..section(".gnu.version_d", 0x6fff_fffd, 1) }, &definitions);
    let tags: [(u64, u64); 10] = [
        (14, soname.into()),
        (0x6fff_fef5, hashed),
        (5, dynstr),
        (6, dynsym),
        (10, strings.bytes.len() as u64),
        (11, SYMBOL.into()),
        (0x6fff_fff0, versym),
        (0x6fff_fffc, verdef),
        (0x6fff_fffd, count),
        (0, 0),
    ];
    let tags: Vec<u8> =
        tags.into_iter().flat_map(|(tag, value)| [tag, value]).flat_map(u64::to_le_bytes).collect();
    let dynamic = file.add(Section { entry: 16, ..section(".dynamic", 6, 1) }, &tags);
    file.finish(machine, (dynamic, tags.len() as u64))
}

/// Returns `.gnu.version_d`. The first entry is the object itself.
fn definitions(soname: u32, versions: &BTreeMap<&str, u16>, strings: &mut Strings) -> Vec<u8> {
    let itself = [(NAME, 1_u16, 1_u16, soname)];
    let others: Vec<_> = versions.iter().map(|(name, index)| (*name, 0, *index, strings.add(name))).collect();
    let mut bytes = Vec::new();
    for (at, (name, flags, index, string)) in itself.iter().chain(&others).enumerate() {
        // vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next; vda_name, vda_next
        [1, *flags, *index, 1].into_iter().for_each(|value: u16| bytes.extend(value.to_le_bytes()));
        let next = if at == others.len() { 0 } else { 28 };
        for value in [elf_hash(name), 20, next, *string, 0] {
            bytes.extend(value.to_le_bytes());
        }
    }
    bytes
}

/// `.dynstr`: texts that end with NUL, the first one empty.
struct Strings {
    bytes: Vec<u8>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { bytes: vec![0] }
    }
}

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend(text.bytes().chain([0]));
        at
    }
}

/// `.gnu.hash`, and the order of symbols that it takes: those of a bucket lie together.
struct HashTable {
    order: Vec<usize>,
    bytes: Vec<u8>,
}

impl HashTable {
    fn new(functions: &[Function]) -> Self {
        /// By how much the hash is shifted for the second bit of the bloom filter.
        const SHIFT: u32 = 6;
        let count = functions.len();
        let buckets = u32::try_from(count / 2 + 1).unwrap_or(u32::MAX);
        let words = (count / 8 + 1).next_power_of_two();
        let hashes: Vec<u32> = functions.iter().map(|function| gnu_hash(&function.name)).collect();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|at| (hashes[*at] % buckets, *at));

        let (mut bloom, mut first) = (vec![0_u64; words], vec![0_u32; buckets as usize]);
        let mut chain = Vec::with_capacity(count);
        for (place, at) in order.iter().enumerate() {
            let hash = hashes[*at];
            bloom[(hash / 64) as usize % words] |= 1 << (hash % 64) | 1 << ((hash >> SHIFT) % 64);
            let bucket = hash % buckets;
            // Symbol 0 is of no function.
            let symbol = u32::try_from(place + 1).unwrap_or(u32::MAX);
            let start = &mut first[bucket as usize];
            *start = if *start == 0 { symbol } else { *start };
            let last = order.get(place + 1).is_none_or(|next| hashes[*next] % buckets != bucket);
            chain.push(hash & !1 | u32::from(last));
        }
        let head = [buckets, 1, u32::try_from(words).unwrap_or(u32::MAX), SHIFT];
        let mut bytes: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(bloom.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(first.into_iter().chain(chain).flat_map(u32::to_le_bytes));
        Self { order, bytes }
    }
}

fn gnu_hash(name: &str) -> u32 {
    name.bytes().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
}

fn elf_hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

/// A section header. It counts for tools that look at the file; ld.so reads the dynamic section.
#[derive(Clone, Copy, Default)]
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    entry: u64,
    at: u64,
    size: u64,
}

/// The file as far as it is written.
struct File {
    bytes: Vec<u8>,
    sections: Vec<Section>,
}

impl File {
    fn new() -> Self {
        Self {
            bytes: vec![0; (HEADER + PROGRAM_HEADERS * PROGRAM_HEADER).into()],
            sections: vec![Section::default()],
        }
    }

    /// Appends a section and returns its address.
    fn add(&mut self, section: Section, bytes: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend(bytes);
        self.sections.push(Section { at, size: bytes.len() as u64, ..section });
        at
    }

    /// Adds the headers.
    fn finish(mut self, machine: Machine, dynamic: (u64, u64)) -> Vec<u8> {
        let loaded = self.bytes.len() as u64;
        let mut names = Strings::default();
        let mut at: Vec<u32> = self.sections.iter().map(|section| names.add(section.name)).collect();
        at.push(names.add(".shstrtab"));
        self.add(Section { name: ".shstrtab", kind: 3, ..Section::default() }, &names.bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let sections_at = self.bytes.len() as u64;
        for (index, (section, name)) in self.sections.iter().zip(at).enumerate() {
            let address = if section.flags == 0 { 0 } else { section.at };
            let Section { kind, flags, link, info, entry, .. } = *section;
            let align = u64::from(index != 0) * 8;
            self.bytes.extend([name, kind].into_iter().flat_map(u32::to_le_bytes));
            let place = [flags, address, section.at, section.size];
            self.bytes.extend(place.into_iter().flat_map(u64::to_le_bytes));
            self.bytes.extend([link, info].into_iter().flat_map(u32::to_le_bytes));
            self.bytes.extend([align, entry].into_iter().flat_map(u64::to_le_bytes));
        }
        let count = u16::try_from(self.sections.len()).unwrap_or(u16::MAX);
        let headers = headers(machine, loaded, dynamic, sections_at, count);
        self.bytes[..headers.len()].copy_from_slice(&headers);
        self.bytes
    }
}

/// Returns the ELF header and the program headers.
fn headers(machine: Machine, loaded: u64, dynamic: (u64, u64), sections_at: u64, sections: u16) -> Vec<u8> {
    // 64 bits, little-endian, version 1, System V
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_DYN, the machine, version 1
    bytes.extend([3, machine.number()].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0, HEADER.into(), sections_at].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(0_u32.to_le_bytes());
    // The sizes and numbers of headers; the last section has the sections' names.
    let sizes = [HEADER, PROGRAM_HEADER, PROGRAM_HEADERS, SECTION_HEADER, sections, sections - 1];
    bytes.extend(sizes.into_iter().flat_map(u16::to_le_bytes));
    // PT_LOAD to read and to execute, PT_DYNAMIC to read, PT_GNU_STACK: not executable
    let segments = [(1, 5, (0, loaded), PAGE), (2, 4, dynamic, 8), (0x6474_e551_u32, 6_u32, (0, 0), 16)];
    for (kind, flags, (at, size), align) in segments {
        bytes.extend([kind, flags].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend([at, at, at, size, size, align].into_iter().flat_map(u64::to_le_bytes));
    }
    bytes
}
