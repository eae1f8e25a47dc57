// SPDX-License-Identifier: Apache-2.0
//! Layers that are still arriving while those below them are unpacked: a pipe has a byte for each layer that is whole, in
//! the order of the layers.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::fault::{Result, Within as _};

/// How many layers are whole, from the lowest on.
#[derive(Clone, Debug, Default)]
pub struct Gate(Option<Arc<State>>);

#[derive(Debug, Default)]
struct State {
    whole: Mutex<Whole>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Whole {
    count: usize,
    /// No more will come.
    has_ended: bool,
}

impl Gate {
    /// Returns a gate that lets all layers through: they are there.
    pub fn open() -> Self {
        Self(None)
    }

    /// Returns a gate that lets a layer through once its byte has come.
    ///
    /// # Errors
    /// If there can be no thread, which waits for the bytes until the pipe ends.
    pub fn of(mut pipe: File) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let told = Arc::clone(&state);
        let wait = move || {
            let mut bytes = [0; 64];
            loop {
                let read = pipe.read(&mut bytes);
                let mut whole = told.whole.lock().unwrap_or_else(PoisonError::into_inner);
                match read {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => whole.has_ended = true,
                    Ok(count) => whole.count += count,
                }
                told.changed.notify_all();
                if whole.has_ended {
                    return;
                }
            }
        };
        thread::Builder::new().name("gate".into()).spawn(wait)?;
        Ok(Self(Some(state)))
    }

    /// Lets nothing through any more but what is whole already.
    pub(super) fn close(&self) {
        if let Some(state) = &self.0 {
            state.whole.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
            state.changed.notify_all();
        }
    }

    /// Waits until the layer with this number is whole.
    ///
    /// # Errors
    /// If it will not come.
    pub(super) fn wait(&self, number: usize) -> Result<()> {
        let Some(state) = &self.0 else { return Ok(()) };
        let mut whole = state.whole.lock().unwrap_or_else(PoisonError::into_inner);
        while whole.count <= number && !whole.has_ended {
            whole = state.changed.wait(whole).unwrap_or_else(PoisonError::into_inner);
        }
        if whole.count > number {
            return Ok(());
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof)).within(|| "it did not arrive")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_layer_is_waited_for_until_it_is_whole_or_does_not_come() {
        let (reader, mut writer) = io::pipe().unwrap();
        let gate = Gate::of(File::from(OwnedFd::from(reader))).unwrap();
        writer.write_all(b"..").unwrap();
        gate.wait(1).unwrap();
        gate.wait(0).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| gate.wait(2));
            writer.write_all(b".").unwrap();
            waits.join().unwrap().unwrap();
            let waits = scope.spawn(|| gate.wait(3));
            drop(writer);
            assert!(waits.join().unwrap().unwrap_err().to_string().contains("did not arrive"));
        });
        gate.wait(2).unwrap();
        Gate::open().wait(1000).unwrap();
    }

    #[test]
    fn nobody_waits_at_a_closed_gate() {
        let (reader, _writer) = io::pipe().unwrap();
        let gate = Gate::of(File::from(OwnedFd::from(reader))).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| gate.wait(0));
            gate.close();
            assert!(waits.join().unwrap().is_err());
        });
    }
}
