// SPDX-License-Identifier: Apache-2.0
//! The stage1 tarballs as built, of the host's packages and of Debian 13's, and the programs: what is in them, and that two
//! builds are equal.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use archive::GENEROUS_MEMORY;
use archive::decode::decode;
use goblin::elf::Elf;
use nix::sys::stat::{Mode, umask};
use rootfs_build::stage1::{Budget, Libraries};
use sha2::{Digest, Sha256};
use testing::{init, newer, program, repository, stage1, stage1_debs};

/// The entries of a tarball: mode, owner and content, or a link's target.
type Entries = BTreeMap<PathBuf, (u32, u64, Vec<u8>, Option<PathBuf>)>;

/// Returns the tarballs.
fn tarballs() -> [PathBuf; 2] {
    [stage1(), newer::stage1().unwrap()]
}

fn entries(tarball: &Path) -> Entries {
    let (_, tar) = decode(File::open(tarball).unwrap(), GENEROUS_MEMORY).unwrap();
    let mut all = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        let path = entry.path().unwrap().components().collect();
        let link = entry.link_name().unwrap().map(|target| target.into_owned());
        let header = entry.header();
        all.insert(
            path,
            (header.mode().unwrap(), header.uid().unwrap() + header.gid().unwrap(), content, link),
        );
    }
    all
}

fn sha256(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn init_and_installer_need_no_interpreter_and_no_library() {
    for path in [init(), program("installer")] {
        let bytes = fs::read(&path).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!((elf.interpreter, elf.libraries.as_slice()), (None, &[][..]), "{}", path.display());
    }
}

/// Returns the packages of a tarball, as it lists them.
fn packages(entries: &Entries) -> Vec<serde_json::Value> {
    let (_, _, list, _) = &entries[Path::new("usr/share/gantry/packages.json")];
    serde_json::from_slice(list).unwrap()
}

#[test]
fn they_hold_what_a_pod_needs_and_are_small() {
    tarballs().iter().for_each(|tarball| holds_what_a_pod_needs_and_is_small(tarball));
}

fn holds_what_a_pod_needs_and_is_small(tarball: &Path) {
    let entries = entries(tarball);
    let arch = pod::arch::Arch::current();
    for path in [
        "init",
        "usr/bin/systemd-nspawn",
        "usr/lib/systemd/systemd",
        "usr/lib/systemd/systemd-shutdown",
        arch.loader,
    ] {
        let (mode, ..) = entries.get(Path::new(path)).unwrap_or_else(|| panic!("{path} is missing"));
        assert_eq!(mode & 0o111, 0o111, "{path} can be executed");
    }
    for path in
        ["usr/lib/os-release", "usr/lib/systemd/system/default.target", "usr/share/gantry/packages.json"]
    {
        assert!(entries.contains_key(Path::new(path)), "{path} is missing");
    }
    for path in ["etc/machine-id", "bin/sh", "usr/bin/sh", "usr/bin/bash", "usr/lib/systemd/systemd-journald"]
    {
        assert!(!entries.contains_key(Path::new(path)), "{path} has no place here");
    }
    assert_eq!(entries.values().map(|(_, owners, ..)| owners).sum::<u64>(), 0, "all is root's");
    let systemd = packages(&entries).into_iter().find(|package| package["name"] == "systemd").unwrap();
    let version = systemd["version"].as_str().unwrap();
    // systemd starts services through this program since 254.
    let has_executor = entries.contains_key(Path::new("usr/lib/systemd/systemd-executor"));
    assert_eq!(has_executor, !version.starts_with("252."), "{version}");
    let number = version.split('.').next().unwrap().parse().unwrap();
    let budget = Budget::of(number, Libraries::Called);
    let unpacked: usize = entries.values().map(|(_, _, content, _)| content.len()).sum();
    let compressed = fs::metadata(tarball).unwrap().len();
    assert!(unpacked as u64 <= budget.unpacked, "{unpacked} bytes unpacked, with systemd {version}");
    assert!(compressed <= budget.compressed, "{compressed} bytes compressed, with systemd {version}");
}

/// Every library, symbol and version that a file in stage1 takes from another is in stage1, also where a stand-in has it.
#[test]
fn their_programs_find_their_libraries_and_every_symbol() {
    tarballs().iter().for_each(|tarball| programs_find_their_libraries_and_symbols(tarball));
}

fn programs_find_their_libraries_and_symbols(tarball: &Path) {
    let entries = entries(tarball);
    let mut libraries = BTreeMap::new();
    for (path, (_, _, content, link)) in &entries {
        // Links to a file beside, or further up.
        let target = link.as_ref().map(|target| clean(&path.parent().unwrap().join(target)));
        let bytes =
            target.as_ref().and_then(|target| entries.get(target)).map_or(content, |(_, _, bytes, _)| bytes);
        if bytes.starts_with(b"\x7fELF") {
            libraries.insert(path.file_name().unwrap().to_str().unwrap(), Symbols::of(bytes));
        }
    }
    let (mut of_stand_in, mut seen) = (0, 0);
    for (name, file) in &libraries {
        for library in &file.needed {
            assert!(libraries.contains_key(library.as_str()), "{name} needs {library}");
        }
        for (symbol, from) in &file.takes {
            let has = |library: &str| libraries[library].has.contains(&(symbol.clone(), version_of(from)));
            let found = match from {
                Some((library, _)) => has(library),
                None => file
                    .needed
                    .iter()
                    .any(|library| libraries[library.as_str()].has.iter().any(|(name, _)| name == symbol)),
            };
            assert!(found, "{name} takes {symbol} {from:?}");
            seen += 1;
            of_stand_in += usize::from(
                from.as_ref().is_some_and(|(library, _)| libraries[library.as_str()].is_stand_in),
            );
        }
    }
    assert!(seen > 2000 && of_stand_in > 100, "{seen} symbols, {of_stand_in} of the stand-in");
}

fn version_of(from: &Option<(String, String)>) -> Option<String> {
    from.as_ref().map(|(_, version)| version.clone())
}

/// Returns a path without `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        if component == std::path::Component::ParentDir {
            assert!(clean.pop())
        } else {
            clean.push(component)
        }
    }
    clean
}

/// What an ELF file takes from others, but for what may be missing, and what it has.
struct Symbols {
    needed: Vec<String>,
    /// Symbols, and the library and version that each must come from.
    takes: BTreeSet<(String, Option<(String, String)>)>,
    has: BTreeSet<(String, Option<String>)>,
    is_stand_in: bool,
}

impl Symbols {
    fn of(bytes: &[u8]) -> Self {
        let elf = Elf::parse(bytes).unwrap();
        let text = |at| elf.dynstrtab.get_at(at).unwrap().to_owned();
        let (mut needs, mut defines) = (BTreeMap::new(), BTreeMap::new());
        for file in elf.verneed.iter().flatten() {
            needs.extend(file.iter().map(|one| (one.vna_other, (text(file.vn_file), text(one.vna_name)))));
        }
        for one in elf.verdef.iter().flatten() {
            defines.insert(one.vd_ndx, text(one.iter().next().unwrap().vda_name));
        }
        // The object itself is no version.
        defines.remove(&1);
        let (mut takes, mut has) = (BTreeSet::new(), BTreeSet::new());
        // ld.so copies data of a library to where the program has a place for it, and a symbol of the same name.
        let copies =
            |index| elf.dynrelas.iter().any(|one| one.r_sym == index && [5, 1024].contains(&one.r_type));
        for (index, symbol) in elf.dynsyms.iter().enumerate() {
            let version = elf.versym.as_ref().map_or(1, |table| table.get_at(index).unwrap().version());
            let name = text(symbol.st_name);
            if symbol.st_shndx != 0 && needs.contains_key(&version) && copies(index) {
                takes.insert((name, needs.get(&version).cloned()));
            } else if symbol.st_shndx != 0 {
                has.insert((name, defines.get(&version).cloned()));
            } else if !name.is_empty() && symbol.st_bind() != goblin::elf::sym::STB_WEAK {
                takes.insert((name, needs.get(&version).cloned()));
            }
        }
        let needed = elf.libraries.iter().map(|name| (*name).to_owned()).collect();
        Self { needed, takes, has, is_stand_in: elf.soname == Some("stand-in.so") }
    }
}

#[test]
fn they_say_where_their_files_come_from() {
    tarballs().iter().for_each(|tarball| says_where_its_files_come_from(tarball));
}

fn says_where_its_files_come_from(tarball: &Path) {
    let entries = entries(tarball);
    let packages = packages(&entries);
    let names: Vec<_> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert!(["libc6", "systemd", "systemd-container"].iter().all(|name| names.contains(name)), "{names:?}");
    for package in &packages {
        for field in ["version", "source", "sha256"] {
            assert!(package[field].is_string(), "{field} of {package}");
        }
        let copyright = format!("usr/share/doc/{}/copyright", package["name"].as_str().unwrap());
        assert!(entries.contains_key(Path::new(&copyright)), "{copyright} is missing");
    }
}

#[test]
fn their_digest_files_are_right() {
    for tarball in tarballs() {
        let line = fs::read_to_string(format!("{}.sha256", tarball.display())).unwrap();
        let name = tarball.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(line, format!("{}  {name}\n", sha256(&tarball)));
    }
}

#[test]
fn two_builds_are_the_same() {
    newer::stage1().unwrap();
    let build = |mask: u32, zone: &str, locale: &str| {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("stage1.tar.xz");
        let mut command = Command::new(program("rootfs-build"));
        command.arg("stage1").arg("--init").arg(init());
        command.arg("--units").arg(repository().join("stage1-init/units"));
        command.arg("--debs").arg(stage1_debs()).arg("--output").arg(&output);
        command.current_dir(&directory).env("TZ", zone).env("LC_ALL", locale).env_remove("SOURCE_DATE_EPOCH");
        // The mask is meant for the child. The other tests of this program make no other files.
        let before = umask(Mode::from_bits_truncate(mask));
        let built = command.output().unwrap();
        umask(before);
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        sha256(&output)
    };
    assert_eq!(build(0o077, "Asia/Tokyo", "de_DE.UTF-8"), sha256(&stage1()));
    assert_eq!(build(0o000, "America/Lima", "C"), sha256(&stage1()));
}
