// SPDX-License-Identifier: Apache-2.0
//! System calls that are allowed or denied. Each is made by a child, `/proc/self/exe --call NAME`: its effects end with
//! the child, and SIGSYS ends only the child.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::calls::Call;
use crate::expect::Expectations;
use crate::report::{Report, each};
use crate::writing::name;

/// Checks `denied_calls` and `allowed_calls`.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report.check("denied_calls", &expected.denied_calls, |calls| each(calls.clone(), outcome));
    report.check("allowed_calls", &expected.allowed_calls, |calls| {
        each(calls.iter().map(|call| (*call, name(Ok(())))), outcome)
    });
}

/// Makes a call in a child. Returns `success`, the name of the error, or that of the signal that ended the child.
fn outcome(call: &Call) -> Result<String> {
    let mut child = Command::new("/proc/self/exe");
    let status = child.args(["--call", call.name()]).status().context("cannot execute /proc/self/exe")?;
    if let Some(signal) = status.signal() {
        return Ok(
            Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
        );
    }
    match status.code() {
        Some(0) => Ok(name(Ok(()))),
        Some(number) => Ok(name(Err(Errno::from_raw(number)))),
        None => bail!("neither a signal nor a code: {status}"),
    }
}
