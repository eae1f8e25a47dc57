// SPDX-License-Identifier: Apache-2.0
//! Records whether stdout was open when the program was started.
//!
//! Before `main`, Rust's runtime opens /dev/null in the place of a stdout that is closed, so that no other file gets the
//! descriptor's number. That /dev/null can't be told from one that the caller passed, so this looks before the runtime
//! starts.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::fcntl_getfd;

static WAS_OPEN: AtomicBool = AtomicBool::new(true);

ctor::declarative::ctor! {
    /// Called by the loader, so it does no more than one system call and one store.
    #[ctor(unsafe)]
    fn look() {
        WAS_OPEN.store(fcntl_getfd(rustix::stdio::stdout()).is_ok(), Ordering::Relaxed);
    }
}

/// Tells whether stdout was open when the program was started.
pub fn was_open() -> bool {
    WAS_OPEN.load(Ordering::Relaxed)
}
