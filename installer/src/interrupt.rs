// SPDX-License-Identifier: Apache-2.0
//! Ctrl-C and SIGTERM: what was begun is undone, then the program ends as if by the signal.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A process that a signal ended has this and the signal's number as its status.
const SIGNALLED: u8 = 128;

/// Whether, and by which signal, the program was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicUsize>);

/// The error that unwinds what was begun.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) u8);

impl Interrupt {
    /// Watches for the signals from now on.
    pub(crate) fn watch() -> io::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).expect("a signal's number is positive");
            signal_hook::flag::register_usize(signal, Arc::clone(&interrupt.0), number)?;
        }
        Ok(interrupt)
    }

    /// Fails once a signal came.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        match u8::try_from(self.0.load(Ordering::Relaxed)) {
            Ok(0) => Ok(()),
            signal => Err(Interrupted(signal.unwrap_or_default())),
        }
    }
}

impl Interrupted {
    /// What the program exits with.
    pub(crate) fn code(&self) -> u8 {
        SIGNALLED + self.0
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}
