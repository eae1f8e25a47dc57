// SPDX-License-Identifier: Apache-2.0
//! Takes more of what all of the host has only once than the suite's pods may have.

use std::sync::{Arc, Mutex};
use std::thread::Builder;

use crate::attack::{Attack, io_step};

pub(crate) const ATTACKS: &[(&str, Attack)] = &[("processes", processes)];

/// More threads than the suite lets an app have; the kernel counts them as processes.
const MANY: usize = 300;

fn processes() -> Result<(), String> {
    let wait = Arc::new(Mutex::new(()));
    let held = wait.lock().map_err(|_| "a lock is broken")?;
    let mut threads = Vec::new();
    for _ in 0..MANY {
        let wait = Arc::clone(&wait);
        let thread = Builder::new().stack_size(1 << 15).spawn(move || drop(wait.lock()));
        threads.push(io_step("start a thread", thread)?);
    }
    drop(held);
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".into()))
}
