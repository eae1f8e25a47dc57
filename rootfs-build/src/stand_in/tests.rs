// SPDX-License-Identifier: Apache-2.0

use super::*;
use goblin::elf::Elf;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

/// A program of the host's that is linked dynamically, and a function that it calls first of all.
const PROGRAM: &str = "/usr/bin/env";
const CALLED: &str = "setlocale";

fn file(bytes: Vec<u8>) -> FileEntry {
    crate::index::tests::file(bytes)
}

fn host() -> Machine {
    crate::target::Target::host().unwrap().machine
}

/// Returns the library that `PROGRAM` takes `CALLED` from, as its imports say, and the version.
fn called() -> (String, String) {
    let imports = symbols::imports(&fs::read(PROGRAM).unwrap()).unwrap();
    let found = imports.symbols.into_iter().find(|(symbol, _)| symbol == CALLED);
    found.unwrap().1.unwrap()
}

#[test]
fn a_call_says_which_function_it_was_of_and_ends_the_process() {
    let (_, version) = called();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stand-in.so");
    for version in [Some(version), None] {
        let functions: Vec<_> = (0..300)
            .map(|number| (format!("f{number}"), Some(format!("V_{}", number % 7))))
            .chain([(CALLED.to_owned(), version.clone())])
            .map(|(name, version)| Function { name, version, library: "libx.so.1".to_owned() })
            .collect();
        let versions = functions.iter().filter_map(|function| function.version.clone()).collect();
        fs::write(&path, shared_object::write(host(), &functions, &versions)).unwrap();
        let run = Command::new(PROGRAM).arg("true").env("LD_PRELOAD", &path).output().unwrap();
        assert_eq!(run.status.signal(), Some(4), "{run:?}");
        let told = String::from_utf8(run.stderr).unwrap();
        assert_eq!(told, format!("stage1 has no libx.so.1, but {CALLED} was called\n"));
    }
}

#[test]
fn the_object_is_found_by_name_and_version_and_has_nothing_to_write_to() {
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let function = |name: &str, version: Option<&str>| Function {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            library: "libx.so.1".to_owned(),
        };
        let functions = [function("a", Some("V_1")), function("b", None), function("a", Some("V_2"))];
        let versions = ["V_1", "V_2", "V_3"].map(str::to_owned).into();
        let bytes = shared_object::write(machine, &functions, &versions);
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!((elf.header.e_machine, elf.soname), (machine.number(), Some("stand-in.so")));
        assert_eq!((elf.libraries.len(), elf.dynrelas.len(), elf.pltrelocs.len()), (0, 0, 0));
        assert!(elf.program_headers.iter().all(|header| header.p_type != 1 || !header.is_write()));
        let text = |at| elf.dynstrtab.get_at(at).unwrap();
        let defined: BTreeMap<_, _> = elf
            .verdef
            .iter()
            .flatten()
            .map(|one| (one.vd_ndx, text(one.iter().next().unwrap().vda_name)))
            .collect();
        assert_eq!(defined.values().copied().collect::<Vec<_>>(), ["stand-in.so", "V_1", "V_2", "V_3"]);
        let versym = elf.versym.as_ref().unwrap();
        let mut found: Vec<_> = elf
            .dynsyms
            .iter()
            .enumerate()
            .skip(1)
            .map(|(at, symbol)| (text(symbol.st_name), defined[&versym.get_at(at).unwrap().version()]))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [("a", "V_1"), ("a", "V_2"), ("b", "stand-in.so")]);
    }
}

#[test]
fn code_of_the_other_machine_is_what_its_manual_says() {
    let function = Function { name: "f".to_owned(), version: None, library: "l".to_owned() };
    let (code, entries) = code::write(Machine::Aarch64, &[&function, &function]);
    assert_eq!(entries, [16, 28]);
    let words: Vec<_> =
        code[..40].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    // The message is 34 bytes long, at 40 and 74; the end is at 0.
    let expected = [
        0xd280_0040, // mov x0, #2
        0xd280_0808, // mov x8, #64
        0xd400_0001, // svc #0
        0x0000_0000, // udf #0
        0x1000_00c1, // adr x1, 24 bytes on
        0xd280_0442, // mov x2, #34
        0x17ff_fffa, // b 24 bytes back
        0x5000_0161, // adr x1, 46 bytes on
        0xd280_0442, // mov x2, #34
        0x17ff_fff7, // b 36 bytes back
    ];
    assert_eq!(words, expected);
    assert_eq!(code.len(), 40 + 2 * "stage1 has no l, but f was called\n".len());
}

#[test]
fn data_of_a_replaced_library_is_refused() {
    let path = Path::new("usr/bin/env");
    let program = file(fs::read(PROGRAM).unwrap());
    let (library, _) = called();
    let real =
        file(fs::read(Path::new("/").join(pod::arch::Arch::current().libraries).join(&library)).unwrap());
    let make = |name: &str| {
        let replaced = BTreeMap::from([(Path::new("usr/lib").join(name), &real)]);
        make(host(), &replaced, [(path, &program)].into_iter())
    };
    // Such as stdout and optind, which ld.so copies.
    let error = make(&library).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("usr/bin/env uses ") && error.contains(&format!(" of {library}, which is data")),
        "{error}"
    );
    // It takes nothing from a library of another name.
    let none = make("libx.so.1").unwrap();
    assert!(Elf::parse(&none).unwrap().dynsyms.iter().all(|symbol| symbol.st_name == 0));
}

#[test]
fn versions_of_systemd_that_nobody_has_tried_get_every_library() {
    for (libraries, systemd, expected) in [
        (Libraries::Called, 252, true),
        (Libraries::Called, 257, true),
        (Libraries::Called, 255, false),
        (Libraries::Called, 258, false),
        (Libraries::Called, 0, false),
        (Libraries::Whole, 252, false),
    ] {
        assert_eq!(has_replaced(libraries, systemd), expected, "{libraries:?} {systemd}");
    }
}

#[test]
fn links_lead_to_the_stand_in() {
    let link = link(Path::new("usr/lib/t/libx.so.1"), "usr/lib/gantry/stand-in.so");
    assert_eq!(link, Path::new("../../../usr/lib/gantry/stand-in.so"));
}

#[test]
fn the_design_page_says_of_each_library_when_it_would_be_called() {
    let page = include_str!("../../../docs/design/22-stand-in.md");
    for name in NEVER_CALLED {
        assert!(page.lines().any(|line| line.starts_with(&format!("| {name} |"))), "{name}");
    }
    let lines = page.lines().filter(|line| line.starts_with("| lib") && line.contains(".so.")).count();
    assert_eq!(lines, NEVER_CALLED.len());
}
