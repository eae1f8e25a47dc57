// SPDX-License-Identifier: Apache-2.0
//! First passes over layers ahead of their turn: what a layer hides doesn't depend on the tree, so it is collected while
//! the layers below are being written.
//!
//! Only layers that gzip compresses, or nothing, are read ahead: their decoders take less than 100 KB. A second decoder
//! of xz or zstd could take as much memory as the first. Invariant: results come in the layers' order, errors included, so
//! they are those of a pass in the layer's turn.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::layer::Layer;
use super::scan;
use crate::fault::{Fault, Result, Within as _};
use archive::Limits;
use archive::decode::Format;
use archive::layer::Whiteouts;

/// What layers hide, as it becomes known.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Which layers are read ahead, by their numbers. It is decided once: a file may change.
    numbers: BTreeSet<usize>,
    results: Receiver<Result<Whiteouts>>,
}

impl Ahead {
    /// Reads layers ahead while `work` runs. The lowest layer isn't read: it can hide nothing.
    pub(super) fn during<T>(
        layers: &[Layer],
        limits: Limits,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let (sender, results) = sync_channel(1);
        let stop = AtomicBool::new(false);
        let upper = layers.iter().enumerate().skip(1).filter(|(_, layer)| is_read_ahead(layer));
        let (numbers, upper): (BTreeSet<_>, Vec<_>) = upper.unzip();
        thread::scope(|scope| {
            if !upper.is_empty() {
                thread::Builder::new()
                    .name("ahead".into())
                    .spawn_scoped(scope, || read(&upper, limits, &stop, &sender))
                    .within(|| "cannot start a thread")?;
            }
            // The thread ends at its next look once `stop` is set, or where it hands over: the receiver is gone.
            let done = work(&Self { numbers, results });
            stop.store(true, Ordering::Relaxed);
            done
        })
    }

    /// Returns what a layer hides, if it is one of those that are read ahead. They are asked for in their order.
    pub(super) fn take(&self, number: usize) -> Option<Result<Whiteouts>> {
        let ended = |_| Err(Fault::from(archive::Error::Interrupted));
        self.numbers.contains(&number).then(|| self.results.recv().unwrap_or_else(ended))
    }
}

/// Tells whether a layer is read ahead. One whose file has no digest is not: its first pass has to hash the tar.
fn is_read_ahead(layer: &Layer) -> bool {
    layer.blob.is_some() && matches!(layer.format(), Some(Format::Gzip | Format::Plain))
}

fn read(layers: &[&Layer], limits: Limits, stop: &AtomicBool, results: &SyncSender<Result<Whiteouts>>) {
    for layer in layers {
        let found = scan::whiteouts(layer, limits, &|| stop.load(Ordering::Relaxed));
        let is_last = found.is_err();
        if results.send(found).is_err() || is_last {
            return;
        }
    }
}
