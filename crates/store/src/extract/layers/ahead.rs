// SPDX-License-Identifier: Apache-2.0
//! First passes over layers ahead of their turn: what a layer hides doesn't depend on the tree, so it is collected while
//! the layers below are being written.
//!
//! Only layers that gzip compresses, or nothing, are read ahead: their decoders take less than 100 KB. A second decoder
//! of xz or zstd could take as much memory as the first. Invariant: results come in the layers' order, errors included, so
//! they are those of a pass in the layer's turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::gate::Gate;
use super::layer::Layer;
use super::scan;
use crate::fault::{Fault, Result, Within as _};
use archive::Limits;
use archive::decode::Format;
use archive::layer::Whiteouts;

/// The paths that layers hide, as they become known.
#[derive(Debug)]
pub(super) struct Ahead {
    results: Receiver<Result<Option<Whiteouts>>>,
}

impl Ahead {
    /// Reads layers ahead while `work` runs, each once `gate` lets it through. The lowest layer isn't read: it can hide
    /// nothing.
    pub(super) fn during<T>(
        layers: &[Layer],
        gate: &Gate,
        limits: Limits,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let (sender, results) = sync_channel(1);
        let stop = AtomicBool::new(false);
        let told = &stop;
        thread::scope(|scope| {
            if layers.len() > 1 {
                thread::Builder::new()
                    .name("ahead".into())
                    .spawn_scoped(scope, move || read(layers, gate, limits, told, &sender))
                    .within(|| "cannot start a thread")?;
            }
            // The thread ends at its next look once `stop` is set, or where it waits or hands over: the gate is closed, and the
            // receiver gone.
            let done = work(&Self { results });
            stop.store(true, Ordering::Relaxed);
            gate.close();
            done
        })
    }

    /// Returns what the next layer hides; `None` if it isn't read ahead. It is asked about each upper layer, in their order.
    pub(super) fn take(&self) -> Result<Option<Whiteouts>> {
        self.results.recv().unwrap_or_else(|_| Err(Fault::from(archive::Error::Interrupted)))
    }
}

/// Tells whether a layer is read ahead. One whose file has no digest is not: its first pass has to hash the tar.
fn is_read_ahead(layer: &Layer) -> bool {
    layer.blob.is_some() && matches!(layer.format(), Some(Format::Gzip | Format::Plain))
}

fn read(
    layers: &[Layer],
    gate: &Gate,
    limits: Limits,
    stop: &AtomicBool,
    results: &SyncSender<Result<Option<Whiteouts>>>,
) {
    for (number, layer) in layers.iter().enumerate().skip(1) {
        let found = gate.wait(number).and_then(|()| match is_read_ahead(layer) {
            true => scan::whiteouts(layer, limits, &|| stop.load(Ordering::Relaxed)).map(Some),
            false => Ok(None),
        });
        let is_last = found.is_err();
        if results.send(found).is_err() || is_last {
            return;
        }
    }
}
