// SPDX-License-Identifier: Apache-2.0
//! How apps and handlers meet: files to wait for and to make, and a log that shows their order.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::time::TimeSpec;

use crate::expect::Expectations;
use crate::report::{Check, Report, compare};

/// How long it waits for all files together.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time between looks. Nothing could be watched: paths may be on any mount, in directories that don't exist yet.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes its announcements, waits, and writes into the log.
pub(crate) fn before(report: &mut Report, expected: &Expectations) {
    report.check("announce", &expected.announce, |paths| compare(make(paths), &()));
    report.check("wait_for", &expected.wait_for, |paths| compare(wait(paths), &Vec::new()));
    report.check("log_before", &expected.log_before, |roles| {
        let log = expected.log.as_deref().unwrap_or_default();
        in_order(read(log), roles)
    });
    let role = report.role().to_owned();
    report.check("log", &expected.log, |path| compare(append(path, &role), &()));
}

/// Makes the files that others wait for.
pub(crate) fn after(report: &mut Report, expected: &Expectations) {
    report.check("make", &expected.make, |paths| compare(make(paths), &()));
}

/// Waits for all paths, and returns those that did not appear.
fn wait(paths: &BTreeSet<String>) -> Result<Vec<String>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let missing: Vec<_> =
            paths.iter().filter(|path| fs::symlink_metadata(path).is_err()).cloned().collect();
        if missing.is_empty() || Instant::now() >= deadline {
            return Ok(missing);
        }
        match ppoll(&mut [], Some(TimeSpec::from(PAUSE)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot ppoll"),
        }
    }
}

/// Reads the log.
fn read(path: &str) -> Result<Vec<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        log => Ok(log?.lines().map(str::to_owned).collect()),
    }
}

/// Tells whether these roles are in the log in this order. Others may stand between them.
fn in_order(log: Result<Vec<String>>, roles: &Vec<String>) -> Check {
    match &log {
        Ok(lines) if is_subsequence(roles, lines) => Ok(()),
        _ => compare(log, roles),
    }
}

fn is_subsequence(part: &[String], whole: &[String]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|line| whole.any(|other| other == line))
}

/// Appends in one write, so that a line is never in pieces.
fn append(path: &str, role: &str) -> Result<()> {
    let mut log = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(log.write_all(format!("{role}\n").as_bytes())?)
}

fn make(paths: &BTreeSet<String>) -> Result<()> {
    paths.iter().try_for_each(|path| fs::write(path, "").with_context(|| format!("cannot make {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn roles_stand_in_the_log_in_their_order() {
        let log = || Ok(roles(&["pre-start", "sidekick", "main"]));
        assert_eq!(in_order(log(), &roles(&["pre-start", "main"])), Ok(()));
        let difference = in_order(log(), &roles(&["main", "pre-start"])).unwrap_err();
        assert_eq!(difference.found, r#"["pre-start", "sidekick", "main"]"#);
        assert!(in_order(log(), &roles(&["main", "main"])).is_err());
    }

    #[test]
    fn a_log_is_appended_to_and_may_be_new() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log").to_str().unwrap().to_owned();
        assert_eq!(read(&path).unwrap(), roles(&[]));
        append(&path, "pre-start").unwrap();
        append(&path, "main").unwrap();
        assert_eq!(read(&path).unwrap(), roles(&["pre-start", "main"]));
    }

    #[test]
    fn what_is_there_is_not_waited_for() {
        assert_eq!(wait(&BTreeSet::from(["/".to_owned()])).unwrap(), roles(&[]));
    }
}
