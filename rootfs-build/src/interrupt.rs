// SPDX-License-Identifier: Apache-2.0
//! Reports SIGINT, SIGTERM and SIGHUP as an error, so that temporary directories are removed by their owners.
//!
//! Invariant: only the program watches for signals; a caller of the library keeps its own signal handling.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Watches for signals from now on. The first one is reported by [`check`]; a second one ends the program at once.
pub(crate) fn watch() -> io::Result<()> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(flag))?;
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Checks that no signal has arrived.
///
/// # Errors
/// Fails once one of the signals has arrived.
pub(crate) fn check() -> anyhow::Result<()> {
    match FLAG.get() {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(anyhow::anyhow!("interrupted")),
        _ => Ok(()),
    }
}
