// SPDX-License-Identifier: Apache-2.0
//! The conformance app: as an app of a pod, it checks from within what the pod gives it. The suite puts it into images,
//! since only an app can say which capabilities, descriptors or devices an app has.
//!
//! ```text
//! conformance [--expectations=PATH] ROLE [WORD…]
//! ```
//!
//! It is static and needs nothing of the image but `/conformance.json` (or PATH): a JSON object from roles ("main",
//! "pre-start", …) to what is expected there, see [`expect::Expectations`]. Every expectation is optional. All that are
//! given are checked, each with one line on stdout:
//!
//! ```text
//! ok ROLE CHECK
//! not ok ROLE CHECK: found …, expected …
//! ```
//!
//! If a check compares several things, the line has those that differ.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0, or `exit` | everything was as expected |
//! | 1 | something was not |
//! | 2 | the expectations can't be read, or nothing is expected of this role |
//!
//! `conformance --call NAME` makes one system call and exits with its error number: see [`calls`]. `conformance
//! --look-into NAME` prints what it can look at of another process.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

mod calls;
mod capabilities;
mod environment;
mod expect;
mod files;
mod meeting;
mod metadata;
mod metadata_attacks;
mod mounts;
mod permitted;
mod process;
mod report;
mod sockets;
mod status;
mod writing;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::report::Report;

fn main() -> ExitCode {
    run(env::args_os().skip(1).collect()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn run(mut arguments: Vec<OsString>) -> Result<ExitCode> {
    if let [mode, name] = &arguments[..]
        && mode == "--call"
    {
        return calls::make(&name.to_string_lossy());
    }
    if let [mode, name] = &arguments[..]
        && mode == "--look-into"
    {
        return metadata_attacks::print(&name.to_string_lossy());
    }
    let given = arguments.first().and_then(|first| first.to_str()?.strip_prefix("--expectations="));
    let path = given.map(PathBuf::from);
    if path.is_some() {
        arguments.remove(0);
    }
    let Some(role) = arguments.first() else {
        bail!("usage: conformance [--expectations=PATH] ROLE [WORD…]");
    };
    let role = role.to_str().context("the role is not UTF-8")?;
    let expected = expect::load(path.as_deref(), role)?;

    let mut report = Report::new(role);
    meeting::before(&mut report, &expected);
    process::check(&mut report, &expected, &arguments);
    environment::check(&mut report, &expected);
    sockets::check(&mut report, &expected);
    files::check(&mut report, &expected);
    writing::check(&mut report, &expected);
    mounts::check(&mut report, &expected);
    permitted::check(&mut report, &expected);
    metadata::check(&mut report, &expected);
    metadata_attacks::check(&mut report, &expected);
    meeting::after(&mut report, &expected);
    Ok(report.exit(expected.exit))
}
