// SPDX-License-Identifier: Apache-2.0
//! Files that are signed by minisign: the signature of FILE is in `FILE.minisig`.
//!
//! Invariant: a digest that is returned is that of bytes that one of the keys has signed. Unpacking the file checks the
//! digest, so what is unpacked is what was signed, even if the file changes meanwhile.

use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};
use pod::digest::Sha256;
use pod::text::{escape, one_line};
use store::extract::{FileDigest, FileHasher};
use store::fault::Fault;
use store::input::InputFile;
use sys::Interrupt;

use crate::reference::Invalid;

/// The longest key or signature.
const LONGEST: u64 = 4096;

/// A public key.
#[derive(Clone, Debug)]
pub struct Key(PublicKey);

impl Key {
    /// Parses a key as minisign prints it, or else reads the file of this name.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Ok(key) = PublicKey::from_base64(text) {
            return Ok(Self(key));
        }
        let expected = "expected minisign's public key, or a file of one";
        let wrong = |why: String| format!("invalid key {}: {why}: {expected}", escape(text));
        let file = read(Path::new(text)).map_err(|error| wrong(one_line(&error.to_string())))?;
        PublicKey::decode(&file).map(Self).map_err(|_| wrong("the file has none".to_owned()))
    }
}

/// Checks that one of the keys has signed a file, reads it to its end, rewinds it, and returns its digest.
///
/// # Errors
/// If there is no signature, or it is not of one of the keys; if the file can't be read.
pub fn check(
    keys: &[Key],
    source: &mut InputFile,
    path: &Path,
    interrupt: &Interrupt,
) -> store::Result<Sha256> {
    let mut name = path.as_os_str().to_owned();
    name.push(".minisig");
    let shown = escape(&name.to_string_lossy());
    let refuse = |why: &str| Fault::content(format_args!("signature {shown}: {why}"));
    let text = read(&PathBuf::from(&name)).map_err(|error| error.at(format_args!("signature {shown}")))?;
    let signature = Signature::decode(&text).map_err(|_| refuse("expected one as minisign writes it"))?;
    // A key is told by its number. One of another number can't have made the signature.
    let mut verifiers: Vec<_> =
        keys.iter().filter_map(|Key(key)| key.verify_stream(&signature).ok()).collect();
    if verifiers.is_empty() {
        return Err(refuse(
            "it is by none of the keys, or not prehashed: expected one by a key that was given",
        )
        .into());
    }
    let mut hasher = FileHasher::sha256();
    source.for_each(|chunk| {
        interrupt.check()?;
        hasher.update(chunk);
        verifiers.iter_mut().for_each(|verifier| verifier.update(chunk));
        Ok(())
    })?;
    let mut file = source.file();
    file.rewind()?;
    if !verifiers.iter_mut().any(|verifier| verifier.finalize().is_ok()) {
        return Err(refuse("it is not of this file: expected what was signed").into());
    }
    match hasher.finish() {
        FileDigest::Sha256(digest) => Ok(digest),
        FileDigest::Blake3(_) => Err(Fault::content("the file's sha256 was not taken").into()),
    }
}

fn read(path: &Path) -> store::Result<String> {
    let bytes = InputFile::open(path)?.read_all(LONGEST)?;
    Ok(String::from_utf8(bytes).map_err(|_| io::Error::other("expected text"))?)
}
