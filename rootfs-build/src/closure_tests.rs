// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::index::tests::{Given, index};

/// Makes a minimal 64-bit little-endian ELF file with a dynamic section.
fn elf(interpreter: Option<&str>, tags: &[(u64, &str)]) -> Vec<u8> {
    const HEADERS: usize = 64 + 3 * 56;
    let mut strings = vec![0];
    let mut place = |text: &str| {
        let at = strings.len();
        strings.extend(text.bytes().chain([0]));
        at
    };
    let interpreter = interpreter.map(|path| (place(path), path.len() + 1));
    let mut dynamic: Vec<(u64, u64)> = tags.iter().map(|(tag, text)| (*tag, place(text) as u64)).collect();
    let size = strings.len();
    // DT_STRTAB, DT_STRSZ, DT_NULL
    dynamic.extend([(5, HEADERS as u64), (10, size as u64), (0, 0)]);
    let dynamic_at = HEADERS + size;
    let end = dynamic_at + dynamic.len() * 16;
    let mut bytes = Vec::new();
    bytes.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    bytes.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    for value in [0_u64, 64, 0] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0, 0, 0, 0]);
    for value in [64_u16, 56, 3, 64, 0, 0] {
        bytes.extend(value.to_le_bytes());
    }
    // A PT_LOAD of everything, PT_DYNAMIC, and PT_INTERP or PT_NULL
    let (at, length) = interpreter.map_or((0, 0), |(at, length)| (HEADERS + at, length));
    let kind = if interpreter.is_some() { 3 } else { 0 };
    for (kind, at, length) in [(1, 0, end), (2, dynamic_at, end - dynamic_at), (kind, at, length)] {
        bytes.extend([kind, 0, 0, 0, 4, 0, 0, 0]);
        for value in [at, at, at, length, length, 8] {
            bytes.extend((value as u64).to_le_bytes());
        }
    }
    bytes.extend(strings);
    for (tag, value) in dynamic {
        bytes.extend(tag.to_le_bytes().into_iter().chain(value.to_le_bytes()));
    }
    bytes
}

const NEEDED: u64 = 1;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

/// Paths, and whether each is executable.
type Shown = Vec<(String, bool)>;

fn closed(entries: &[Given<'_>]) -> Result<Shown> {
    let (taken, replaced) = closed_without(&[], entries)?;
    assert_eq!(replaced, [""; 0]);
    Ok(taken)
}

/// Returns what is taken, and what is replaced.
fn closed_without(names: &[&str], entries: &[Given<'_>]) -> Result<(Shown, Vec<String>)> {
    let (index, target) = (index(entries), Target::host().unwrap());
    let program = PathBuf::from("usr/bin/program");
    let file = index.file(&program).unwrap().unwrap();
    let Closure { taken, replaced } = close(&index, &target, &[(program, file)], names)?;
    let shown = |path: &Path| path.display().to_string();
    let taken = taken.iter().map(|(path, taken)| (shown(path), taken.executable)).collect();
    Ok((taken, replaced.keys().map(|path| shown(path)).collect()))
}

#[test]
fn libraries_keep_their_directories_and_become_files() {
    let arch = Target::host().unwrap().arch;
    let (loader, libraries) = (arch.loader, arch.libraries);
    let loader_name = Path::new(loader).file_name().unwrap().to_str().unwrap();
    let interpreter = format!("/{}", loader.strip_prefix("usr/").unwrap());
    let program = elf(
        Some(&interpreter),
        &[
            (NEEDED, "libc.so.6"),
            (NEEDED, "libcore.so"),
            (NEEDED, "libown.so.1"),
            (RUNPATH, "/usr/lib/p:$ORIGIN/../own"),
        ],
    );
    let libc = elf(None, &[(NEEDED, loader_name)]);
    let core = elf(None, &[(NEEDED, "libshared.so"), (NEEDED, "libc.so.6")]);
    let (empty, rpath) = (elf(None, &[]), elf(None, &[(RPATH, "/nowhere:$ORIGIN"), (NEEDED, "libc.so.6")]));
    let found = closed(&[
        ("a", "usr/bin/program", Ok(&program)),
        ("a", "usr/lib/p/libcore.so", Ok(&core)),
        ("a", "usr/lib/p/libshared.so", Ok(&empty)),
        ("a", "usr/own/libown.so.1", Ok(&rpath)),
        ("libc", &format!("{libraries}/libc.so.6"), Err("libc-2.so")),
        ("libc", &format!("{}/libc-2.so", libraries.strip_prefix("usr/").unwrap()), Ok(&libc)),
        ("libc", loader, Err("/lib/ld.so")),
        ("libc", "lib/ld.so", Ok(&empty)),
    ])
    .unwrap();
    let mut expected = vec![
        ("usr/bin/program".to_owned(), true),
        ("usr/lib/p/libcore.so".to_owned(), false),
        ("usr/lib/p/libshared.so".to_owned(), false),
        (format!("{libraries}/libc.so.6"), false),
        (loader.to_owned(), true),
        ("usr/own/libown.so.1".to_owned(), false),
    ];
    expected.sort_by(|a, b| Path::new(&a.0).cmp(Path::new(&b.0)));
    assert_eq!(found, expected);
}

#[test]
fn what_is_missing_is_named_with_who_needs_it() {
    let needs = elf(None, &[(NEEDED, "libx.so.1")]);
    let foreign = elf(Some("/lib/ld-other.so.1"), &[]);
    let cases: [(&[u8], &str); 3] = [
        (&needs, "usr/bin/program of package a: needs libx.so.1: it is in none of the packages"),
        (&foreign, "usr/bin/program of package a: needs the dynamic linker /lib/ld-other.so.1: expected /"),
        (b"#!/bin/sh", "usr/bin/program of package a: "),
    ];
    for (bytes, expected) in cases {
        let error = format!("{:#}", closed(&[("a", "usr/bin/program", Ok(bytes))]).unwrap_err());
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn of_what_is_opened_at_run_time_pods_get_what_they_need() {
    let empty = elf(None, &[]);
    let index = index(&[("a", "usr/lib/libmount.so.1", Ok(&empty)), ("a", "usr/lib/libqr.so.3", Ok(&empty))]);
    let (target, facts) = (Target::host().unwrap(), Facts::default());
    let loads = Loads { index: &index, target: &target, path: Path::new("usr/bin/x"), facts: &facts };
    let taken = |names: &[&str], priority| {
        let soname = names.iter().map(|name| (*name).to_owned()).collect();
        let found = loads.optional(&Dlopen { soname, priority });
        found
            .map(|found| found.map(|(path, _)| path.display().to_string()))
            .map_err(|error| error.to_string())
    };
    let mount = Some("usr/lib/libmount.so.1".to_owned());
    assert_eq!(taken(&["libmount.so.1"], Priority::Recommended), Ok(mount.clone()));
    assert_eq!(taken(&["libmount.so.2", "libmount.so.1"], Priority::Required), Ok(mount));
    assert_eq!(taken(&["libqr.so.3"], Priority::Recommended), Ok(None));
    assert_eq!(taken(&["libtss2.so.0"], Priority::Suggested), Ok(None));
    let missing = "loads libz.so.1 at run time: it is in none of the packages";
    assert_eq!(taken(&["libz.so.1"], Priority::Required), Err(missing.to_owned()));
    assert!(taken(&["libseccomp.so.2"], Priority::Recommended).is_err());
}

#[test]
fn what_only_a_replaced_library_needs_is_left_out() {
    let program = elf(None, &[(NEEDED, "liba.so.1"), (NEEDED, "libb.so.1")]);
    let (a, b) = (elf(None, &[(NEEDED, "libc.so.1")]), elf(None, &[(NEEDED, "libd.so.1")]));
    let empty = elf(None, &[]);
    let entries = [
        ("a", "usr/bin/program", Ok(&program[..])),
        ("a", "usr/lib/liba.so.1", Ok(&a[..])),
        ("a", "usr/lib/libb.so.1", Ok(&b[..])),
        ("a", "usr/lib/libc.so.1", Ok(&empty[..])),
        ("a", "usr/lib/libd.so.1", Ok(&empty[..])),
    ];
    let (taken, replaced) = closed_without(&["liba.so.1"], &entries).unwrap();
    let taken: Vec<_> = taken.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(taken, ["usr/bin/program", "usr/lib/libb.so.1", "usr/lib/libd.so.1"]);
    assert_eq!(replaced, ["usr/lib/liba.so.1"]);
}
