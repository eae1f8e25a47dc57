// SPDX-License-Identifier: Apache-2.0
//! What the process was given: arguments, identity, privileges, descriptors, and what it sees of other processes.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rustix::fs::{Dir, Mode, OFlags, open};

use crate::expect::{Expectations, Mask, Signals};
use crate::report::{Check, Difference, Report, compare, each};
use crate::{capabilities, status};

/// Checks the process. `arguments` are those after the program.
pub(crate) fn check(report: &mut Report, expected: &Expectations, arguments: &[OsString]) {
    report.check("arguments", &expected.arguments, |list| {
        let list: Vec<OsString> = list.iter().map(OsString::from).collect();
        compare(Ok(arguments.to_vec()), &list)
    });
    report.check("input", &expected.input, |text| compare(input(), text));
    report.check("terminals", &expected.terminals, |terminals| {
        let found = [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
        compare(Ok(found), terminals)
    });
    report.check("descriptors", &expected.descriptors, |set| compare(descriptors(), set));
    report.check("directory", &expected.directory, |path| compare(directory(), path));
    report.check("hostname", &expected.hostname, |name| compare(hostname(), name));
    report.check("limits", &expected.limits, |limits| {
        each(limits.iter().map(|(name, values)| (name, values.clone())), |name| status::limit(name))
    });
    report.check("oom_score_adjust", &expected.oom_score_adjust, |score| compare(oom_score_adjust(), score));
    report.check("signals", &expected.signals, signals);
    identity(report, expected);
    privileges(report, expected);
    processes(report, expected);
}

fn identity(report: &mut Report, expected: &Expectations) {
    // Real, effective, saved and file system ids.
    let ids = |row: &str| status::row(row)?.numbers::<Vec<u32>>();
    report.check("user", &expected.user, |id| compare(ids("Uid"), &vec![*id; 4]));
    report.check("group", &expected.group, |id| compare(ids("Gid"), &vec![*id; 4]));
    report.check("groups", &expected.groups, |groups| {
        compare(status::row("Groups").and_then(|row| row.numbers::<BTreeSet<u32>>()), groups)
    });
    report.check("umask", &expected.umask, |umask| {
        compare(status::row("Umask").and_then(|row| row.octal()), umask)
    });
}

fn privileges(report: &mut Report, expected: &Expectations) {
    let sets = [
        ("bounding", &expected.bounding, "CapBnd"),
        ("effective", &expected.effective, "CapEff"),
        ("permitted", &expected.permitted, "CapPrm"),
        ("inheritable", &expected.inheritable, "CapInh"),
        ("ambient", &expected.ambient, "CapAmb"),
    ];
    for (name, set, row) in sets {
        report.check(name, set, |set| compare(capabilities::set(row), set));
    }
    let number = |row: &str| status::row(row)?.number();
    report.check("no_new_privileges", &expected.no_new_privileges, |set| {
        compare(number("NoNewPrivs").map(|number| number == 1), set)
    });
    report.check("seccomp", &expected.seccomp, |mode| compare(number("Seccomp"), mode));
}

fn processes(report: &mut Report, expected: &Expectations) {
    report.check("processes", &expected.processes, |names| {
        let found = names_of_processes();
        match &found {
            Ok(all) if names.is_subset(all) => Ok(()),
            _ => compare(found, names),
        }
    });
    report.check("hidden_processes", &expected.hidden_processes, |names| {
        let seen = names_of_processes().map(|all| all.intersection(names).cloned().collect());
        compare::<BTreeSet<String>>(seen, &BTreeSet::new())
    });
}

fn input() -> Result<String> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn directory() -> Result<String> {
    Ok(env::current_dir().context("cannot getcwd")?.to_string_lossy().into_owned())
}

fn hostname() -> Result<String> {
    Ok(nix::unistd::gethostname().context("cannot gethostname")?.to_string_lossy().into_owned())
}

fn oom_score_adjust() -> Result<i32> {
    let path = "/proc/self/oom_score_adj";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    text.trim_end().parse().with_context(|| format!("{text:?} is not a number"))
}

/// Returns all open descriptors, except the one through which they are listed.
fn descriptors() -> Result<BTreeSet<i32>> {
    let path = "/proc/self/fd";
    let own = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("cannot open {path}"))?;
    let listing = Dir::new(own).with_context(|| format!("cannot list {path}"))?;
    let lister = listing.fd().context("no descriptor to list with")?.as_fd().as_raw_fd();
    let mut found = BTreeSet::new();
    for entry in listing {
        let entry = entry.with_context(|| format!("cannot list {path}"))?;
        // `.` and `..` are not numbers.
        found.extend(entry.file_name().to_str()?.parse::<i32>().ok());
    }
    found.remove(&lister);
    Ok(found)
}

/// Returns the names of visible processes, as in `/proc/PID/comm`: at most 15 bytes.
fn names_of_processes() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let entry = entry.context("cannot list /proc")?;
        if entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()) {
            // The process may have ended meanwhile.
            let name = fs::read_to_string(entry.path().join("comm"));
            names.extend(name.map(|name| name.trim_end_matches('\n').to_owned()));
        }
    }
    Ok(names)
}

/// Checks the sets of signals. The original disposition of SIGPIPE can't be told, since the runtime sets it before
/// `main`.
fn signals(expected: &Signals) -> Check {
    let pipe = 1u64 << (Signal::SIGPIPE as i32 - 1);
    let without_pipe = |Mask(set): Mask| Mask(set & !pipe);
    let found = || {
        let (blocked, ignored) = (status::row("SigBlk")?.mask()?, status::row("SigIgn")?.mask()?);
        Ok((expected.blocked.map(|_| blocked), expected.ignored.map(|_| without_pipe(ignored))))
    };
    compare(found(), &(expected.blocked, expected.ignored.map(without_pipe))).map_err(
        |Difference { found, expected }| {
            let named = |sets: String| format!("(blocked, ignored) {sets}");
            Difference { found: named(found), expected: named(expected) }
        },
    )
}
