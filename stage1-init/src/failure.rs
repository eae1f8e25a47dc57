// SPDX-License-Identifier: Apache-2.0
//! What went wrong, as an exit code a script can branch on. After exec the code is the pod's.
//!
//! Invariant: that a message can't be written, for want of space or of a reader, changes nothing else.

use std::io::{self, Write as _};

/// The step of starting a pod that failed; its number is `/init`'s exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Reading the command line and the pod's manifests.
    Load = 1,
    /// Writing units, localtime and the rest into stage1.
    Units = 2,
    /// The pod's lock, cgroup, mount namespace and mounts.
    Namespace = 3,
    /// What nspawn is called with.
    Arguments = 4,
    /// Becoming nspawn, and nspawn's end where the pod has recorded none of its own.
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

/// Writes an error to stderr, on one line.
pub(crate) fn report(error: &anyhow::Error) {
    tell(&format!("error: {error:#}"));
}

/// Writes what is no reason to fail to stderr, on one line.
pub(crate) fn warn(message: &str) {
    tell(&format!("warning: {message}"));
}

/// Not by a macro that prints: those panic where that can't be done.
fn tell(message: &str) {
    let _ = io::stderr().write_all((pod::text::one_line(message) + "\n").as_bytes());
}
