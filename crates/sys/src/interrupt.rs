// SPDX-License-Identifier: Apache-2.0
//! Records SIGINT and SIGTERM in a number that loops check, so that unfinished work is undone before the program ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Reports whether a signal asked the program to end. A default value watches no signals and never reports one.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn watch() -> io::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).map_err(io::Error::other)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&interrupt.0), number)?;
        }
        Ok(interrupt)
    }

    /// Returns a value that has already seen this signal.
    pub fn by(signal: i32) -> Self {
        Self(Arc::new(AtomicUsize::new(signal.try_into().unwrap_or_default())))
    }

    /// Returns the signal that arrived last.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|signal| *signal != 0)
    }

    /// Checks that no signal has arrived.
    ///
    /// # Errors
    /// Fails once a signal has arrived.
    pub fn check(&self) -> io::Result<()> {
        match self.signal() {
            None => Ok(()),
            Some(_) => Err(io::Error::other("interrupted")),
        }
    }
}
