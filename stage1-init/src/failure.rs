// SPDX-License-Identifier: Apache-2.0
//! Failures, with exit codes that a script can branch on, for as long as the pod has recorded none.
//!
//! Invariant: if a message can't be written, because there is no space or no reader, nothing else changes.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;

/// The step at which starting a pod failed; its number is `/init`'s exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Reading the command line and the pod's manifests.
    Load = 1,
    /// Writing units, localtime and the rest into stage1.
    Units = 2,
    /// Taking the pod's lock, ids and network; making its cgroup, mount namespace and mounts.
    Namespace = 3,
    /// Preparing nspawn's command line.
    Arguments = 4,
    /// Executing nspawn; also the end of an nspawn whose pod has recorded no exit code.
    Exec = 5,
}

impl Step {
    /// Finds a step by its number.
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        let all = [Self::Load, Self::Units, Self::Namespace, Self::Arguments, Self::Exec];
        all.into_iter().find(|step| *step as u8 == number)
    }
}

/// An error and the step it belongs to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) error: anyhow::Error,
}

/// Gives an error its step.
pub(crate) trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|error| Failure { step, error: error.into() })
    }
}

/// Names the sysctl that limits how many namespaces of a kind a user can have (namespaces(7)), if that is used up.
pub(crate) fn namespace(made: Result<(), Errno>, kind: &str, sysctl: &str) -> Result<()> {
    match made {
        Err(Errno::NOSPC) => {
            bail!("cannot make a {kind} namespace: {sysctl} is used up: expected it to allow one more")
        }
        made => made.with_context(|| format!("cannot make a {kind} namespace")),
    }
}

/// Writes an error to stderr, on one line.
pub(crate) fn report(error: &anyhow::Error) {
    tell(&format!("error: {error:#}"));
}

/// Writes a warning to stderr, on one line.
pub(crate) fn warn(message: &str) {
    tell(&format!("warning: {message}"));
}

/// Writes a line to stderr without a printing macro: those panic if stderr can't be written to.
fn tell(message: &str) {
    let _ = io::stderr().write_all((pod::text::one_line(message) + "\n").as_bytes());
}
