// SPDX-License-Identifier: Apache-2.0
//! A listener is told what a library can't print itself: warnings, and how far long work has come.

use std::fmt::Debug;

/// Takes messages for a person.
pub trait Listener: Debug + Sync {
    /// Takes a warning, one line.
    fn warn(&self, warning: &str);

    /// Begins a step of `length` bytes, called `step`.
    fn begin(&self, step: &str, length: u64) -> Box<dyn Progress>;
}

/// A step under way. It ends when it is dropped.
pub trait Progress: Debug + Send + Sync {
    /// Notes that `bytes` more are done.
    fn advance(&self, bytes: u64);

    /// Notes that `bytes` are done in all.
    fn reach(&self, bytes: u64);

    /// Whether anybody sees it: else its reach need not be looked up.
    fn is_seen(&self) -> bool;
}

/// Ignores everything.
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
