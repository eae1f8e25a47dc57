// SPDX-License-Identifier: Apache-2.0
//! Having the file system write while the archive is still being decoded, so that the sync at the end, which is what
//! makes a tree durable, has little left to wait for.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result};
use rustix::fs::syncfs;

/// After so many bytes of content, it is time again.
const STEP: u64 = 32 << 20;

/// Says when it is time.
#[derive(Debug)]
pub(super) struct WriteBack {
    due: SyncSender<()>,
    written: u64,
}

impl WriteBack {
    /// Runs `work`, and writes back what it writes into the file system of `root` at the same time.
    pub(super) fn during<T>(root: &OwnedFd, work: impl FnOnce(Self) -> Result<T>) -> Result<T> {
        let (due, orders) = sync_channel(1);
        thread::scope(|scope| {
            thread::Builder::new()
                .name("sync".into())
                .spawn_scoped(scope, move || follow(root, &orders))
                .context("cannot start a thread")?;
            work(Self { due, written: 0 })
        })
    }

    /// `bytes` more were written.
    pub(super) fn add(&mut self, bytes: u64) {
        self.written += bytes;
        if self.written >= STEP {
            self.written = 0;
            // One that waits is enough.
            let _ = self.due.try_send(());
        }
    }
}

fn follow(root: &OwnedFd, orders: &Receiver<()>) {
    // What goes wrong here is told to whoever syncs at the end, too, if he has had the file system open by now.
    while orders.recv().is_ok() && syncfs(root).is_ok() {}
}
