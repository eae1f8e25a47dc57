// SPDX-License-Identifier: Apache-2.0
//! Turns the table of system calls into runs of numbers, for the target machine and for its 32-bit programs. Fails if a
//! call of theirs is in no group, or a name is in two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

#[path = "src/table.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library uses the rest")]
mod table;

use table::{GROUPS, Rule};

/// arm's private calls (arch/arm/include/uapi/asm/unistd.h), which the tables leave out.
const ARM_PRIVATE: [(u32, &str); 3] =
    [(0xf_0001, "breakpoint"), (0xf_0002, "cacheflush"), (0xf_0005, "set_tls")];

fn main() {
    println!("cargo::rerun-if-changed=src/table.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let rules = rules();
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let (own, other) = match &*arch {
        "x86_64" => (x86_64(), x86()),
        "aarch64" => (aarch64(), arm().into_iter().chain(ARM_PRIVATE).collect()),
        other => panic!("no tables of system calls for {other}"),
    };
    let mut text = String::new();
    for (name, calls) in [("OWN", own), ("OTHER", other)] {
        writeln!(text, "pub(crate) const {name}: &[Run] = &[").expect("a String takes it");
        for (from, rule) in runs(&calls, &rules) {
            writeln!(text, "    Run {{ from: {from}, rule: {rule:?} }},").expect("a String takes it");
        }
        text += "];\n";
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(directory.join("runs.rs"), text).expect("cargo's directory takes files");
}

/// Returns the rule of each name.
fn rules() -> BTreeMap<&'static str, Rule> {
    let mut rules = BTreeMap::new();
    for group in GROUPS {
        for name in group.calls.split_whitespace() {
            assert!(rules.insert(name, group.rule).is_none(), "{name} stands twice in src/table.rs");
        }
    }
    rules
}

/// Returns where each run of numbers with the same rule begins. Numbers without a call are absent.
fn runs(calls: &BTreeMap<u32, &str>, rules: &BTreeMap<&str, Rule>) -> Vec<(u32, Rule)> {
    let mut runs: Vec<(u32, Rule)> = Vec::new();
    let mut begin = |from, rule| {
        if runs.last().is_none_or(|(_, before)| *before != rule) {
            runs.push((from, rule));
        }
    };
    let mut next = 0;
    for (&number, name) in calls {
        if number > next {
            begin(next, Rule::Absent);
        }
        begin(
            number,
            *rules.get(name).unwrap_or_else(|| panic!("{name} stands in no group of src/table.rs")),
        );
        next = number + 1;
    }
    begin(next, Rule::Absent);
    runs
}

macro_rules! calls_of {
    ($($machine:ident)*) => {$(
        fn $machine() -> BTreeMap<u32, &'static str> {
            let number = |call: syscalls::$machine::Sysno| u32::try_from(call.id()).ok();
            // The crate writes a name that is a word of Rust's as r#break.
            let name = |call: syscalls::$machine::Sysno| call.name().trim_start_matches("r#");
            syscalls::$machine::Sysno::iter().filter_map(|call| Some((number(call)?, name(call)))).collect()
        }
    )*};
}
calls_of!(x86_64 x86 aarch64 arm);
