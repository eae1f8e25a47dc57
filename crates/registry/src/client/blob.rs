// SPDX-License-Identifier: Apache-2.0
//! Blobs: streamed into a sink of the caller, with size and digest checked. An interrupted transfer is resumed, even
//! one of an earlier process.

use std::io::{self, Read};

use ureq::http::StatusCode;
use ureq::http::header::CONTENT_RANGE;

use super::exchange::{Answer, Ask};
use super::failure::of;
use super::origin::Origin;
use super::pull::{Client, Pull};
use super::sink::Sink;
use crate::cancel::Cancel;
use crate::error::{Error, Failure};
use crate::listener::Progress;
use pod::blob::{BlobDigest, BlobHasher};

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// A blob that is being written.
struct Writing<'a, S> {
    digest: BlobDigest,
    size: u64,
    sink: &'a mut S,
    progress: &'a dyn Progress,
    hasher: BlobHasher,
    at: u64,
}

impl<'a, S: Sink> Writing<'a, S> {
    /// Starts with what the sink holds already. More than the blob's size can't be the blob's beginning.
    fn begin(
        digest: BlobDigest,
        size: u64,
        sink: &'a mut S,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        let mut hasher = digest.hasher();
        let mut at = 0;
        let held = sink.held(&mut |piece| {
            hasher.update(piece);
            at += piece.len() as u64;
        });
        held.map_err(|source| unwritable(digest, source))?;
        let mut writing = Self { digest, size, sink, progress, hasher, at };
        if writing.at > size || (writing.at == size && !writing.is_complete()) {
            writing.clear()?;
        }
        writing.progress.reach(writing.at);
        Ok(writing)
    }

    fn is_complete(&self) -> bool {
        self.at == self.size && self.hasher.clone().finish() == self.digest
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.sink.clear().map_err(|source| unwritable(self.digest, source))?;
        self.hasher = self.digest.hasher();
        self.at = 0;
        self.progress.reach(0);
        Ok(())
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let end = self.at + piece.len() as u64;
        if end > self.size {
            self.clear()?;
            return Err(Failure::Size { expected: self.size, found: "more".to_owned() });
        }
        self.sink.append(piece).map_err(|source| unwritable(self.digest, source))?;
        self.hasher.update(piece);
        self.at = end;
        self.progress.reach(end);
        Ok(())
    }

    /// Checks whether the blob is complete. Bytes that are not the blob's are removed.
    fn finish(&mut self) -> Result<(), Failure> {
        let found = self.hasher.clone().finish();
        if found == self.digest {
            return Ok(());
        }
        self.clear()?;
        Err(Failure::Digest { expected: self.digest.into(), found: found.into() })
    }
}

fn unwritable(blob: BlobDigest, source: io::Error) -> Error {
    Error::Write { blob, source }
}

impl Pull<'_> {
    /// Fetches one blob into `sink`. If the sink holds the blob already, no endpoint is asked. After any failure, the
    /// sink holds the blob's beginning or nothing, as far as is known.
    ///
    /// # Errors
    /// Fails if no endpoint gives it, or it can't be written.
    pub fn blob<S: Sink>(&self, digest: BlobDigest, size: u64, sink: &mut S) -> Result<(), Error> {
        self.blob_until(&self.client.cancel, digest, size, sink)
    }

    pub(super) fn blob_until<S: Sink>(
        &self,
        cancel: &Cancel,
        digest: BlobDigest,
        size: u64,
        sink: &mut S,
    ) -> Result<(), Error> {
        let progress = self.client.listener.begin(&digest, size);
        let mut writing = Writing::begin(digest, size, sink, progress.as_ref())?;
        if writing.is_complete() {
            return Ok(());
        }
        self.try_each(&format!("the blob {digest}"), |origin| {
            self.client.transfer(cancel, origin, &mut writing)
        })
    }
}

impl Client<'_> {
    /// Transfers a blob from one endpoint, in as many requests as it takes.
    fn transfer<S: Sink>(
        &self,
        cancel: &Cancel,
        origin: &Origin,
        writing: &mut Writing<'_, S>,
    ) -> Result<(), Failure> {
        let mut cuts = 0;
        let mut restarted = false;
        while writing.at < writing.size || !writing.is_complete() {
            let before = writing.at;
            let path = format!("blobs/{}", writing.digest);
            let ask = Ask { path, what: "blob", accept: "", from: writing.at, head: false };
            let answer = self.ask(cancel, origin, &ask)?;
            if answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
                // The registry has fewer bytes now than it has sent before, so what the sink holds may not be the
                // blob's beginning.
                if std::mem::replace(&mut restarted, true) {
                    return Err(Failure::Status { status: answer.status.as_u16(), code: None });
                }
                writing.clear()?;
                continue;
            }
            check(&answer, writing)?;
            if answer.status == StatusCode::OK && writing.at > 0 {
                writing.clear()?;
            }
            receive(answer, cancel, writing)?;
            if writing.at == writing.size {
                match writing.finish() {
                    // The beginning came from an earlier answer, which may have been wrong.
                    Err(Failure::Digest { .. }) if before > 0 && !std::mem::replace(&mut restarted, true) => {
                        continue;
                    }
                    finished => return finished,
                }
            }
            cuts = if writing.at > before { 0 } else { cuts + 1 };
            if cuts > self.options.limits.cuts {
                return Err(Failure::Cut { at: writing.at, size: writing.size });
            }
        }
        Ok(())
    }
}

/// Checks that an answer is the rest of the blob, or all of it.
fn check<S: Sink>(answer: &Answer, writing: &Writing<'_, S>) -> Result<(), Failure> {
    let (expected, begin) = match answer.status {
        StatusCode::PARTIAL_CONTENT => (writing.size - writing.at, writing.at),
        _ => (writing.size, 0),
    };
    if answer.status == StatusCode::PARTIAL_CONTENT {
        let text = answer.header(CONTENT_RANGE).unwrap_or_default();
        let range = range(text).filter(|(first, last, total)| {
            *first == begin
                && *last < writing.size
                && last >= first
                && total.is_none_or(|total| total == writing.size)
        });
        if range.is_none() {
            let wanted = format!("bytes {begin}-{}/{}", writing.size - 1, writing.size);
            return Err(Failure::Protocol(format!("it sends the range \"{text}\", expected \"{wanted}\"")));
        }
    }
    match answer.length() {
        Some(length) if length != expected && answer.status == StatusCode::OK => {
            Err(Failure::Size { expected, found: length.to_string() })
        }
        _ => Ok(()),
    }
}

/// Reads `bytes FIRST-LAST/TOTAL`, whose total may be `*` (RFC 9110, section 14.4).
fn range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first.parse().ok()?, last.parse().ok()?, total))
}

/// Writes an answer's body until it ends or breaks. What arrived is kept; the caller checks whether it is complete.
fn receive<S: Sink>(answer: Answer, cancel: &Cancel, writing: &mut Writing<'_, S>) -> Result<(), Failure> {
    let mut reader = answer.body.into_with_config().limit(u64::MAX).reader();
    let mut piece = vec![0; PIECE];
    loop {
        cancel.check()?;
        match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => writing.append(&piece[..length])?,
            Err(error) => match of(error.into(), cancel) {
                Failure::Connection(_) | Failure::Timeout(_) | Failure::Protocol(_) => return Ok(()),
                failure => return Err(failure),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5, 9, None)));
        for text in ["", "bytes", "bytes */10", "bytes 5-9", "items 5-9/10", "bytes -1-9/10", "bytes 5-9/x"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
