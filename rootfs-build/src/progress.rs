// SPDX-License-Identifier: Apache-2.0
//! Shows progress to a waiting person: a bar on a terminal, one line for each step elsewhere.

use terminal::progress::{self, Total};

/// A step in progress. Its bar disappears when it is dropped.
pub(crate) struct Step(Option<progress::Step>);

impl Step {
    /// Begins a step of unknown length.
    pub(crate) fn waiting(message: &str) -> Self {
        Self::begin(message, Total::Unknown)
    }

    /// Begins a step of `length` items.
    pub(crate) fn counting(message: &str, length: usize) -> Self {
        Self::begin(message, Total::Items(length as u64))
    }

    /// Begins a step of `length` bytes.
    pub(crate) fn bytes(message: &str, length: u64) -> Self {
        Self::begin(message, Total::Bytes(length))
    }

    fn begin(message: &str, total: Total) -> Self {
        let step = progress::Step::begin(message.to_owned(), total);
        if step.is_none() {
            terminal::tell(message);
        }
        Self(step)
    }

    /// Reports that `done` items or bytes are done in total.
    pub(crate) fn at(&self, done: u64) {
        self.0.iter().for_each(|step| step.reach(done));
    }

    /// Reports one more item, or `more` bytes.
    pub(crate) fn advance(&self, more: u64) {
        self.0.iter().for_each(|step| step.advance(more));
    }
}
