// SPDX-License-Identifier: Apache-2.0
//! Cancellation: a flag set by the caller ends all waits for the network within a fraction of a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How often a waiting thread looks at the flag.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// The caller's flag, and the flag of a group of threads that are ended together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel {
    caller: Arc<AtomicBool>,
    group: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// Watches a flag that a signal handler may set.
    pub(crate) fn new(caller: Arc<AtomicBool>) -> Self {
        Self { caller, group: None }
    }

    /// Returns the same with a flag for a group of threads.
    pub(crate) fn grouped(&self) -> Self {
        Self { caller: self.caller.clone(), group: Some(Arc::default()) }
    }

    /// Ends the other threads of the group.
    pub(crate) fn end_group(&self) {
        if let Some(group) = &self.group {
            group.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        let group = self.group.as_ref().is_some_and(|group| group.load(Ordering::Relaxed));
        group || self.caller.load(Ordering::Relaxed)
    }

    /// Fails if a flag is set.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_set() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Waits for `time`, or until a flag is set.
    pub(crate) fn wait(&self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }
}
