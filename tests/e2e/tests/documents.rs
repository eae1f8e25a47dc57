// SPDX-License-Identifier: Apache-2.0
//! Checks that documents say what is so of the tree.
//!
//! docs/system-calls.md is the filter's table, and a comparison with the profile that podman and others give a container.
//! `UPDATE_DOCUMENTS=1 cargo test -p e2e --test documents` writes it anew. docs/appc.md, docs/oci-behaviour.md and
//! docs/network.md name the tests that show what they say.
#![allow(clippy::unwrap_used, reason = "a test fails where it can go no further")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use filter::table::{Capability, GROUPS, Rule};
use gate::root_test;
use pod::isolators::CapabilitySet;
use serde_json::Value;
use syscalls::{x86, x86_64};
use testing::{packages, repository};

const DOCUMENT: &str = "docs/system-calls.md";
/// The Debian package that has the profile, and where it is in there.
const PROFILE: (&str, &str) = ("golang-github-containers-common", "usr/share/containers/seccomp.json");
const HEAD: &str = "\
# Which system calls an app may make

Every app has this filter, unless its manifest has `os/linux/seccomp-retain-set` or `os/linux/seccomp-remove-set`, which take its
place ([design/17-filter.md](design/17-filter.md)). A call that may not be made returns an error; none ends the app. `EPERM` says that it is
not allowed, `ENOSYS` that there is no such call, by which programs take an older one. Calls that are newer than the table are
`ENOSYS`, and so are those of machines other than this one and its 32-bit form.

`crates/filter/src/table.rs` is the table; this page is made from it.
";

/// What becomes of a call where an app has the default capabilities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Allowed,
    ByArguments,
    Eperm,
    Enosys,
}

impl Verdict {
    fn shown(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ByArguments => "by its arguments",
            Self::Eperm => "`EPERM`",
            Self::Enosys => "`ENOSYS`",
        }
    }
}

#[root_test]
fn the_page_of_system_calls_says_what_the_filter_does() {
    let (version, profile) = profile();
    let page = page(&version, &profile);
    let path = repository().join(DOCUMENT);
    if env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap();
    // Another distribution has another version of the profile, to which the comparison does not apply.
    let part = |page: &str| match there.contains(&compared_with(&version)) {
        true => page.to_owned(),
        false => page.split("## Compared").next().unwrap().to_owned(),
    };
    assert!(part(&there) == part(&page), "{DOCUMENT} is old: expected what UPDATE_DOCUMENTS=1 writes");
}

/// The profile's version and itself.
fn profile() -> (String, Value) {
    let (package, path) = PROFILE;
    let packages = packages::fetch(package).unwrap();
    let package = packages.iter().find(|one| one.name == package).unwrap();
    let mut found = Vec::new();
    package.visit(|entry, _| entry.as_os_str() == path, |entry| found = entry.contents).unwrap();
    let version = package.version.to_string();
    let upstream = version.split(['+', '-']).next().unwrap().to_owned();
    (upstream, serde_json::from_slice(&found).unwrap())
}

fn compared_with(version: &str) -> String {
    format!("## Compared with the profile of containers-common {version}\n")
}

fn page(version: &str, profile: &Value) -> String {
    let mut page = format!(
        "{HEAD}\n## The table\n\n| calls | an app may make them | because | which |\n|---|---|---|---|\n"
    );
    for group in GROUPS {
        let calls: Vec<_> = group.calls.split_whitespace().collect();
        let (name, rule, why, calls) = (group.name, rule(group.rule), group.why, calls.join(" "));
        writeln!(page, "| {name} | {rule} | {why} | {calls} |").unwrap();
    }
    let (own, theirs) = (own(), theirs(profile));
    let mut differences: BTreeMap<(&str, Verdict, Verdict), Vec<&str>> = BTreeMap::new();
    for (call, (verdict, why)) in &own {
        let their = theirs.get(call).copied().unwrap_or(Verdict::Enosys);
        if their != *verdict {
            differences.entry((why, *verdict, their)).or_default().push(call);
        }
    }
    let different: usize = differences.values().map(Vec::len).sum();
    write!(
        page,
        "\n{}\npodman, buildah and CRI-O give their containers this profile. With the capabilities that an app has by default, on \
         x86-64, {} of {} calls are treated alike. These are not:\n\n| calls | here | there | because |\n|---|---|---|---|\n",
        compared_with(version),
        own.len() - different,
        own.len(),
    )
    .unwrap();
    for ((why, here, there), calls) in &differences {
        writeln!(page, "| {} | {} | {} | {why} |", calls.join(" "), here.shown(), there.shown()).unwrap();
    }
    page
}

fn rule(rule: Rule) -> String {
    match rule {
        Rule::Allow => "yes".into(),
        Rule::Deny => "no: `EPERM`".into(),
        Rule::Absent => "no: `ENOSYS`".into(),
        Rule::Needs(capability) => format!("with {}, else `EPERM`", shown(capability)),
        Rule::AbsentWithout(capability) => format!("with {}, else `ENOSYS`", shown(capability)),
        Rule::Check(check) => check.shown().into(),
    }
}

/// Tells whether an app has a capability where its manifest says nothing. It need not be one that is known here.
fn is_default(capability: &str) -> bool {
    capability.parse().is_ok_and(|capability| CapabilitySet::DEFAULT.contains(capability))
}

/// `SysAdmin` → `CAP_SYS_ADMIN`.
fn shown(capability: Capability) -> String {
    let mut name = "CAP".to_owned();
    for letter in format!("{capability:?}").chars() {
        name.extend(letter.is_uppercase().then_some('_'));
        name.extend(letter.to_uppercase());
    }
    name
}

/// What becomes of each call of x86-64 and its 32-bit programs here, and why.
fn own() -> BTreeMap<&'static str, (Verdict, &'static str)> {
    let verdict = |rule| match rule {
        Rule::Allow => Verdict::Allowed,
        Rule::Deny => Verdict::Eperm,
        Rule::Absent => Verdict::Enosys,
        Rule::Needs(one) if is_default(&shown(one)) => Verdict::Allowed,
        Rule::Needs(_) => Verdict::Eperm,
        Rule::AbsentWithout(_) => Verdict::Enosys,
        Rule::Check(_) => Verdict::ByArguments,
    };
    let here = |call: &str| {
        x86_64::Sysno::iter().any(|one| one.name() == call)
            || x86::Sysno::iter().any(|one| one.name() == call)
    };
    let all = GROUPS.iter().flat_map(|group| {
        group.calls.split_whitespace().map(move |call| (call, (verdict(group.rule), group.why)))
    });
    all.filter(|(call, _)| here(call)).collect()
}

/// What becomes of each call that the profile names: rules for other capabilities and machines don't count.
fn theirs(profile: &Value) -> BTreeMap<&str, Verdict> {
    let mut verdicts = BTreeMap::new();
    let list = |rule: &Value, when: &str, what: &str| -> Vec<String> {
        let all = rule[when][what].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    for rule in profile["syscalls"].as_array().unwrap() {
        let has = |name: &String| is_default(name);
        let (needed, without) = (list(rule, "includes", "caps"), list(rule, "excludes", "caps"));
        let machines = list(rule, "includes", "arches");
        let here = machines.is_empty() || machines.iter().any(|machine| machine == "amd64");
        if !here || !needed.iter().all(has) || without.iter().any(has) {
            continue;
        }
        let has_arguments = rule["args"].as_array().is_some_and(|arguments| !arguments.is_empty());
        let verdict = match (rule["action"].as_str().unwrap(), rule["errno"].as_str()) {
            _ if has_arguments => Verdict::ByArguments,
            ("SCMP_ACT_ALLOW", _) => Verdict::Allowed,
            ("SCMP_ACT_ERRNO", Some("EPERM")) => Verdict::Eperm,
            ("SCMP_ACT_ERRNO", Some("ENOSYS")) => Verdict::Enosys,
            other => panic!("what is not known here: {other:?}"),
        };
        for name in rule["names"].as_array().unwrap() {
            verdicts.insert(name.as_str().unwrap(), verdict);
        }
    }
    verdicts
}

/// Returns the names of all functions of the workspace.
fn all_functions() -> BTreeSet<String> {
    let mut sources = Vec::new();
    files(repository(), "rs", &mut sources);
    let mut known = BTreeSet::new();
    for source in sources {
        let source = fs::read_to_string(source).unwrap();
        let names = source.lines().filter_map(|line| line.trim().strip_prefix("fn ")?.split('(').next());
        known.extend(names.map(str::to_owned));
    }
    known
}

/// Returns the rows of a page's tables that follow `heading`, a line, until the table ends.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let after = page.split_once(heading).unwrap_or_else(|| panic!("no table {heading}")).1;
    let lines = after.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// Returns the names in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Checks that each test in backticks is there, and returns how many there are.
fn count_tests(known: &BTreeSet<String>, statement: &str, tests: &str) -> usize {
    let names = quoted(tests);
    for name in &names {
        assert!(known.contains(*name), "{statement}: there is no test {name}");
    }
    names.len()
}

#[test]
fn every_row_of_what_reaches_what_has_tests_that_are_there() {
    let known = all_functions();
    let page = fs::read_to_string(repository().join("docs/network.md")).unwrap();
    let rows = rows(&page, "| from | to | | tests |");
    assert!(rows.len() > 9, "{rows:?}");
    for row in rows {
        let (tests, row) = row.split_last().unwrap();
        assert!(count_tests(&known, &row.join(" | "), tests) > 0, "a test shows it: {row:?}");
    }
}

#[test]
fn every_test_that_the_page_of_oci_images_names_is_there() {
    let known = all_functions();
    let page = fs::read_to_string(repository().join("docs/oci-behaviour.md")).unwrap();
    let mut statements = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| statement")) {
        let (statement, tests) = line.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        assert!(count_tests(&known, statement, tests) > 0, "a test shows it: {statement}");
        statements += 1;
    }
    assert!(statements > 40, "{statements}");
}

#[test]
fn every_test_that_the_page_of_the_specification_names_is_there() {
    let known = all_functions();
    let page = fs::read_to_string(repository().join("docs/appc.md")).unwrap();
    let (mut statements, mut named) = (0, 0);
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| statement")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[statement, there, missing, tests] = cells.as_slice() else { panic!("four cells: {line}") };
        assert!(["full", "partly", "no"].contains(&there), "{line}");
        assert!(there == "full" || !missing.is_empty(), "what is missing is said: {line}");
        let tests = count_tests(&known, statement, tests);
        assert!(there == "no" || tests > 0, "a test shows it: {statement}");
        statements += 1;
        named += tests;
    }
    assert!(statements > 50 && named > 60, "{statements} {named}");
}

/// Returns the paths of all files of a kind, below a directory of the repository.
fn files(directory: &Path, kind: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_ours = path
            .file_name()
            .is_some_and(|name| name != "target" && !name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && is_ours {
            files(&path, kind, found);
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
}

#[test]
fn every_source_that_a_page_names_is_there() {
    let (mut pages, mut sources) = (Vec::new(), Vec::new());
    files(repository(), "md", &mut pages);
    files(repository(), "rs", &mut sources);
    let mut named = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let is_source = |name: &&str| {
            name.ends_with(".rs")
                && !name.contains(['*', ' ', '<'])
                && *name != ".rs"
                && !name.contains("NAME")
        };
        for name in text.lines().flat_map(quoted).filter(is_source) {
            assert!(
                sources.iter().any(|source| source.ends_with(name)),
                "{}: there is no {name}",
                page.display()
            );
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

/// Tells whether `crate::module` or `crate::module::item` is there; of other names, it is not known.
fn is_there(name: &str) -> Option<bool> {
    let (of, rest) = name.split_once("::")?;
    let crates = [repository().join("crates").join(of), repository().join(of.replace('_', "-"))];
    let sources = crates.into_iter().map(|one| one.join("src")).find(|sources| sources.exists())?;
    let path = sources.join(rest.replace("::", "/"));
    let (above, item) = rest.rsplit_once("::").unwrap_or(("", rest));
    let above = sources.join(above.replace("::", "/"));
    let files = [above.with_extension("rs"), above.join("mod.rs"), above.join("lib.rs")];
    let has_item = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == item)
    };
    Some(path.with_extension("rs").exists() || path.is_dir() || files.iter().any(has_item))
}

#[test]
fn every_module_that_the_architecture_names_is_there() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let names: Vec<_> = page.lines().flat_map(quoted).filter(|name| !name.contains(' ')).collect();
    let known: Vec<_> = names.iter().filter_map(|name| Some((*name, is_there(name)?))).collect();
    assert!(known.len() > 40, "{known:?}");
    let missing: Vec<_> = known.iter().filter(|(_, is_there)| !is_there).map(|(name, _)| *name).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert_eq!(is_there("store::no_such_module"), Some(false), "a control");
}

/// The repository of whoever measured has these two directories.
#[test]
fn the_results_of_make_bench_have_no_path_of_the_machine_that_measured() {
    let results = fs::read_to_string(repository().join("docs/benchmarks/results.md")).unwrap();
    for directory in ["/.cache/", "/target/"] {
        assert!(!results.contains(directory), "{directory}");
    }
}

#[test]
fn the_architecture_is_read_in_one_sitting() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    assert!(page.lines().count() <= 200, "{} lines: expected what is most important", page.lines().count());
}

/// Returns the commands that a help lists.
fn commands(program: &Path, words: &[&str]) -> Vec<String> {
    let help = Command::new(program).args(words).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").expect("it has commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    // What goes on from the line before begins further right.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned));
    names.filter(|name| !name.is_empty() && name != "help").collect()
}

/// Nothing is built for that: the suites run what `make` has built.
#[test]
fn make_install_puts_both_names_a_page_for_each_command_completions_and_stage1() {
    let place = tempfile::tempdir().unwrap();
    let mut make = Command::new("make");
    make.args(["--silent", "-o", "all", "-o", "build", "man", "install", "PREFIX=/usr"]);
    make.arg(format!("DESTDIR={}", place.path().display())).current_dir(repository());
    let output = make.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let root = place.path().join("usr");
    for name in ["gantry", "installer"] {
        let help = Command::new(root.join("bin").join(name)).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(
            help.contains(&format!("\nUsage: {name} ")),
            "the help has the name it was called by: {help}"
        );
    }
    let gantry = root.join("bin/gantry");
    let all = commands(&gantry, &[]);
    assert!(all.len() > 15 && all.iter().any(|name| name == "cat-manifest"), "{all:?}");
    let of_image = commands(&gantry, &["image"]).into_iter().map(|name| format!("image-{name}"));
    let mut pages: Vec<_> =
        all.iter().cloned().chain(of_image).map(|name| format!("man1/gantry-{name}.1")).collect();
    pages.extend(
        ["man1/gantry.1", "man5/gantry-image.5", "man5/gantry-pod.5", "man8/gantry-init.8"]
            .map(str::to_owned),
    );
    for page in pages {
        let text = fs::read_to_string(root.join("share/man").join(&page)).expect(&page);
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}: {text}");
    }
    let shells = [
        "bash-completion/completions/gantry",
        "fish/vendor_completions.d/gantry.fish",
        "zsh/site-functions/_gantry",
    ];
    for path in shells {
        let text = fs::read_to_string(root.join("share").join(path)).expect(path);
        assert!(all.iter().all(|name| text.contains(name.as_str())), "{path} has each command");
    }
    let bash = Command::new("bash").arg("-n").arg(root.join("share").join(shells[0])).status().unwrap();
    assert!(bash.success());
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "stage1.tar.xz.sha256"]).current_dir(root.join("lib/gantry"));
    assert!(check.status().unwrap().success(), "stage1 has its digest beside it");
}
