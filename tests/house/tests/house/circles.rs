// SPDX-License-Identifier: Apache-2.0
//! The modules of a crate form no circle: a module uses what is below it, so it can be read, moved and tested without
//! what is above.
//!
//! A module is a file. It uses another one if it names it, or something in it, in a `use` line or in a path that begins
//! with `crate`, `super`, `self` or the name of a module inside it. Tests at a file's end don't count.

use std::collections::{BTreeMap, BTreeSet};

use crate::Workspace;
use crate::sources::{has_sources, lines};

/// A module's path from the crate's root, `run::job`. The root's is empty.
type Module = Vec<String>;

/// The sources of a crate by module.
type Sources = BTreeMap<Module, String>;

/// Which modules each module uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// The rooms of /init, from the ground up: none uses one that stands after it.
const ROOMS: [&str; 9] = ["names", "failure", "exchange", "load", "plan", "apply", "enter", "run", "start"];
/// What the helpers in the pod share with `/init`.
const OF_HELPERS: [&str; 3] = ["names", "failure", "exchange"];

/// Reads a crate's modules. A program with a library beside it is a crate of its own, and has one module.
fn read(directory: &str) -> Sources {
    let mut sources = Sources::new();
    let prefix = format!("{directory}/src/");
    for line in lines(directory) {
        let path = line.file.strip_prefix(&prefix).unwrap().trim_end_matches(".rs");
        let has_library = testing::repository().join(&prefix).join("lib.rs").exists();
        if path.starts_with("bin/") || path == "main" && has_library {
            continue;
        }
        let mut module: Module = path.split('/').map(str::to_owned).collect();
        if matches!(module.last().unwrap().as_str(), "mod" | "lib" | "main") {
            module.pop();
        }
        let text = sources.entry(module).or_default();
        text.push_str(line.text.split(" // ").next().unwrap());
        text.push('\n');
    }
    sources
}

/// Finds which modules each one uses.
fn uses(sources: &Sources) -> Uses {
    let of = |(module, text): (&Module, &String)| {
        let named = paths(text).into_iter().filter_map(|path| resolve(sources, module, &path));
        (module.clone(), named.filter(|used| used != module).collect())
    };
    sources.iter().map(of).collect()
}

/// Lists all paths in a source text, with the trees of `use` lines taken apart.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        rest = &rest[start..];
        let (read, after) = path(rest, &[]);
        // A word alone is a path only in a tree of a `use` line.
        found.extend(read.into_iter().filter(|path| path.len() > 1));
        rest = after;
    }
    found
}

/// Reads the path at the text's beginning, `a::b::{c, d::e}` as three, and returns the text after it.
fn path<'a>(text: &'a str, outer: &[String]) -> (Vec<Vec<String>>, &'a str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (word, mut rest) = text.split_at(end);
    let mut here = outer.to_vec();
    here.extend((word != "self" || outer.is_empty()).then(|| word.to_owned()));
    let Some(after) = rest.strip_prefix("::") else { return (vec![here], rest) };
    if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return path(after, &here);
    }
    let Some(tree) = after.strip_prefix('{') else { return (vec![here], after) };
    let mut all = Vec::new();
    rest = tree;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        match rest.strip_prefix('}') {
            Some(after) => return (all, after),
            None if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') => {
                let (read, after) = path(rest, &here);
                all.extend(read);
                rest = after.trim_start().strip_prefix("as ").map_or(after, |name| {
                    name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_')
                });
            }
            // `*`: all of it.
            None => {
                all.push(here.clone());
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
}

/// Finds the module that a path in `module` leads to: the longest part of it that is one.
fn resolve(sources: &Sources, module: &[String], path: &[String]) -> Option<Module> {
    let mut absolute = match path[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => [module, &path[..1]].concat(),
    };
    if !matches!(path[0].as_str(), "crate" | "self" | "super") && !sources.contains_key(&absolute) {
        return None;
    }
    let mut rest = if path[0] == "super" { path } else { &path[1..] };
    while rest.first().is_some_and(|word| word == "super") {
        absolute.pop()?;
        rest = &rest[1..];
    }
    for word in rest {
        absolute.push(word.clone());
        if !sources.contains_key(&absolute) {
            absolute.pop();
            break;
        }
    }
    Some(absolute)
}

/// Lists the modules that use themselves by way of others, a line for each.
fn circles(uses: &Uses) -> Vec<String> {
    let reached = |start: &Module| {
        let mut found = BTreeSet::new();
        let mut open: Vec<_> = uses[start].iter().collect();
        while let Some(module) = open.pop() {
            if found.insert(module) {
                open.extend(&uses[module]);
            }
        }
        found
    };
    let all: BTreeMap<_, _> = uses.keys().map(|module| (module, reached(module))).collect();
    let in_circle = all.keys().filter(|module| all[**module].contains(**module));
    let line = |module: &&&Module| {
        let with = all[**module].iter().filter(|other| all[**other].contains(**module));
        let with: Vec<_> = with.filter(|other| uses[**module].contains(**other)).map(|m| name(m)).collect();
        format!("{} uses {}", name(module), with.join(", "))
    };
    in_circle.map(|module| line(&module)).collect()
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "crate".into() } else { module.join("::") }
}

#[test]
fn modules_form_no_circle() {
    let mut wrong = Vec::new();
    let workspace = Workspace::read();
    assert!(workspace.directories.iter().any(|directory| directory == "crates/store"), "crates are found");
    for directory in workspace.directories.iter().filter(|directory| has_sources(directory)) {
        wrong.extend(circles(&uses(&read(directory))).iter().map(|line| format!("{directory}: {line}")));
    }
    assert!(wrong.is_empty(), "{} modules are in circles:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_room_of_init_uses_those_below_it() {
    let uses = uses(&read("stage1-init"));
    let room = |module: &Module| module.first().cloned().unwrap_or_default();
    let may_use = |from: &str| match from {
        "helpers" => OF_HELPERS.to_vec(),
        // The command line is the start's.
        "args" => ROOMS.to_vec(),
        _ => ROOMS.into_iter().take_while(|below| *below != from).collect(),
    };
    let mut wrong = Vec::new();
    for (module, used) in uses.iter().filter(|(module, _)| !module.is_empty()) {
        let from = room(module);
        let upward = used.iter().map(room).filter(|to| *to != from && !may_use(&from).contains(&to.as_str()));
        wrong.extend(
            upward
                .filter(|to| (from.as_str(), to.as_str()) != ("start", "args"))
                .map(|to| format!("{} uses {to}", name(module))),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(uses.keys().any(|module| room(module) == ROOMS[ROOMS.len() - 1]), "the rooms are found");
}

/// A control: circles are seen, whichever way the modules name each other.
#[test]
fn a_circle_is_seen() {
    let sources = |all: &[(&str, &str)]| -> Sources {
        let module =
            |path: &str| path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        all.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect()
    };
    let found = |all: &[(&str, &str)]| circles(&uses(&sources(all)));
    let none = [("", "mod a;\nuse a::A;"), ("a", "use crate::b::{self, B};"), ("b", "fn f() { c::d() }")];
    assert_eq!(found(&none), Vec::<String>::new());
    for back in [
        "use crate::a;",
        "use crate::{c, a::A};",
        "use crate::{\n    c::{self, C as D},\n    a::*,\n};",
        "use super::a::A;",
        "fn f() { crate::a::f() }",
        "impl super::a::A for B {}",
    ] {
        let circle = [none[0], none[1], ("b", back), ("c", "")];
        assert_eq!(found(&circle), ["a uses b", "b uses a"], "{back}");
    }
    let inside = [("", ""), ("a", "mod b;\nfn f() { b::g() }"), ("a::b", "use super::A;")];
    assert_eq!(found(&inside), ["a uses a::b", "a::b uses a"]);
}
