// SPDX-License-Identifier: Apache-2.0
//! Listeners: receivers of what a library can't print itself, which is warnings and the progress of long work.

use std::fmt::Debug;

/// A receiver of messages for the user.
pub trait Listener: Debug + Sync {
    /// Takes a warning of one line.
    fn warn(&self, warning: &str);

    /// Takes the name of a step that begins now. Listeners that show no steps ignore it.
    fn step(&self, _step: &str) {}

    /// Begins a step of `length` bytes, called `step`.
    fn begin(&self, step: &str, length: u64) -> Box<dyn Progress>;
}

/// A step in progress. It ends when this value is dropped.
pub trait Progress: Debug + Send + Sync {
    /// Notes that `bytes` more are done.
    fn advance(&self, bytes: u64);

    /// Notes that `bytes` are done in all.
    fn reach(&self, bytes: u64);

    /// Tells whether the progress is shown. If it isn't, callers need not find out how far the step has come.
    fn is_seen(&self) -> bool;
}

/// A listener that ignores everything.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Listener for Silent {
    fn warn(&self, _warning: &str) {}

    fn begin(&self, _step: &str, _length: u64) -> Box<dyn Progress> {
        Box::new(Self)
    }
}

impl Progress for Silent {
    fn advance(&self, _bytes: u64) {}

    fn reach(&self, _bytes: u64) {}

    fn is_seen(&self) -> bool {
        false
    }
}
