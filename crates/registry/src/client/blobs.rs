// SPDX-License-Identifier: Apache-2.0
//! Fetches the blobs of an image in parallel: a few threads take the largest first, and share one access to the
//! registry.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::pull::Pull;
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::error::Error;
use pod::blob::BlobDigest;

/// A blob as a manifest describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: BlobDigest,
    /// Its size in bytes.
    pub size: u64,
}

/// A blob, and the place for it.
#[derive(Debug)]
pub struct Wanted<S> {
    /// The blob.
    pub blob: Blob,
    /// The sink that it is written to.
    pub sink: S,
}

impl Pull<'_> {
    /// Fetches blobs with at most `threads` connections. `complete` gets each blob as soon as it is whole and checked,
    /// so finished blobs are kept even if others fail.
    ///
    /// # Errors
    /// Fails with the first error and ends the other transfers. What their sinks hold can be resumed later.
    pub fn blobs<S: Sink + Send>(
        &self,
        mut wanted: Vec<Wanted<S>>,
        threads: usize,
        complete: &(dyn Fn(Blob, S) -> io::Result<()> + Sync),
    ) -> Result<(), Error> {
        wanted.sort_by_key(|one| one.blob.size);
        let threads = threads.clamp(1, wanted.len().max(1));
        let queue = Mutex::new(wanted);
        let cancel = self.client.cancel.grouped();
        let failed = Mutex::new(None);
        let worker = || {
            if let Err(error) = self.work(&cancel, &queue, complete) {
                // The first error is the cause; the others follow from it.
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                cancel.end_group();
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // If the system allows no more threads, fewer do the work.
                let _ = thread::Builder::new().spawn_scoped(scope, worker);
            }
            worker();
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Fetches blobs, one at a time, until none is left.
    fn work<S: Sink>(
        &self,
        cancel: &Cancel,
        queue: &Mutex<Vec<Wanted<S>>>,
        complete: &(dyn Fn(Blob, S) -> io::Result<()> + Sync),
    ) -> Result<(), Error> {
        loop {
            cancel.check()?;
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(Wanted { blob, mut sink }) = next else { return Ok(()) };
            self.blob_until(cancel, blob.digest, blob.size, &mut sink)?;
            complete(blob, sink).map_err(|source| Error::Write { blob: blob.digest, source })?;
        }
    }
}
