// SPDX-License-Identifier: Apache-2.0
//! Makes the file system write data back while the archive is still being decoded.
//!
//! A tree becomes durable by the sync at the end. With most data on disk already, that sync has little to wait for.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::fs::syncfs;

use crate::fault::{Result, Within as _};

/// The number of bytes of content after which the next write-back is due.
const STEP: u64 = 32 << 20;

/// Counts written bytes and tells the thread when a write-back is due.
#[derive(Debug)]
pub(super) struct WriteBack {
    due: SyncSender<()>,
    written: u64,
}

impl WriteBack {
    /// Runs `work`, and at the same time writes back what it writes into the file system of `root`.
    pub(super) fn during<T>(root: &OwnedFd, work: impl FnOnce(Self) -> Result<T>) -> Result<T> {
        let (due, orders) = sync_channel(1);
        thread::scope(|scope| {
            thread::Builder::new()
                .name("sync".into())
                .spawn_scoped(scope, move || follow(root, &orders))
                .within(|| "cannot start a thread")?;
            work(Self { due, written: 0 })
        })
    }

    /// Counts `bytes` more as written, and requests a write-back if one is due.
    pub(super) fn add(&mut self, bytes: u64) {
        self.written += bytes;
        if self.written >= STEP {
            self.written = 0;
            // One waiting request is enough.
            let _ = self.due.try_send(());
        }
    }
}

fn follow(root: &OwnedFd, orders: &Receiver<()>) {
    // An error here is also reported to the sync at the end, provided that its descriptor was open by the time of the
    // error.
    while orders.recv().is_ok() && syncfs(root).is_ok() {}
}
