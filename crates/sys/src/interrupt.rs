// SPDX-License-Identifier: Apache-2.0
//! SIGINT and SIGTERM as a number that loops look at, so that what was begun is undone before the program ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Whether a signal asked for the end. One that watches nothing never says so.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn watch() -> io::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&interrupt.0), number)?;
        }
        Ok(interrupt)
    }

    /// One that has seen this signal.
    pub fn by(signal: i32) -> Self {
        Self(Arc::new(AtomicUsize::new(signal.try_into().unwrap_or_default())))
    }

    /// The signal that arrived last.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// # Errors
    /// Once a signal has arrived.
    pub fn check(&self) -> io::Result<()> {
        match self.signal() {
            None => Ok(()),
            Some(_) => Err(io::Error::other("interrupted")),
        }
    }
}
