// SPDX-License-Identifier: Apache-2.0
//! SIGINT, SIGTERM and SIGHUP as an error, so that temporary directories go with their owners.
//!
//! Invariant: only the program watches for signals; a caller of the library keeps its own handling.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first signal is reported by [`check`]; a second one ends the program where it stands.
pub(crate) fn watch() -> io::Result<()> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(flag))?;
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// # Errors
/// When one of the signals has arrived.
pub(crate) fn check() -> anyhow::Result<()> {
    match FLAG.get() {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(anyhow::anyhow!("interrupted")),
        _ => Ok(()),
    }
}
