// SPDX-License-Identifier: Apache-2.0
//! Spools a stream into a file: members of an archive are read by their offsets, which a pipe doesn't have.

use std::fs::File;
use std::io::{self, Read, Seek as _};

use super::contents::unreadable;
use crate::oci::error::Error;

/// Copies `input` into the empty file `into`, at most `most` bytes, and returns the file, rewound. `shown` is what
/// messages call the input.
///
/// The bytes are copied as they are: a compressed archive stays one.
///
/// # Errors
/// If there are more bytes, or on an error of the input or the file.
pub fn spool(input: impl Read, mut into: File, most: u64, shown: &str) -> Result<File, Error> {
    let copied = io::copy(&mut input.take(most.saturating_add(1)), &mut into);
    let copied = copied.map_err(|error| unreadable(shown, error))?;
    if copied > most {
        return Err(Error::invalid(shown, format!("too large: expected at most {most} bytes")));
    }
    into.rewind().map_err(|error| unreadable(shown, error))?;
    Ok(into)
}
