// SPDX-License-Identifier: Apache-2.0
//! Stage1: where its file is, which digest it must have, and what it must contain.
//!
//! Invariant: no byte of it is decoded before the whole file was found to have its digest. The file is read twice
//! through one descriptor, and hashed the second time too, so what is unpacked is what was checked.

use std::io;
use std::path::{Path, PathBuf};

use pod::digest::Sha256;
use pod::layout;
use pod::text::{escape, escape_bytes};

use archive::{Entry, EntryKind};
use report::Advice;
use store::extract::{Admission, Breach, Policy};
use store::fault::Fault;
use store::input::InputFile;

/// The default path of stage1, relative to the program's directory.
const BESIDE_PROGRAM: &str = "../lib/gantry/stage1.tar.xz";
/// The maximum length of a file of digests.
const SUMS_MAX: u64 = 1 << 20;

/// A stage1 that is part of a program.
#[derive(Debug)]
pub struct BuiltIn {
    /// The tarball.
    pub bytes: &'static [u8],
    /// Its sha256, as it was when the program was built.
    pub sha256: [u8; 32],
}

impl BuiltIn {
    /// Opens it as a file in memory, and returns its digest.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn open(&self) -> io::Result<(InputFile, Sha256)> {
        Ok((InputFile::in_memory("of this program", self.bytes)?, self.sha256.into()))
    }
}

/// Why stage1 or its digest can't be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not known where this program's own file is.
    #[error("cannot find this program's own file")]
    Program(#[source] io::Error),
    /// The file with the digest can't be read, or has no digest of this stage1.
    #[error("digest of stage1 {file}: {why}")]
    Digest {
        /// The file with the digest, escaped.
        file: String,
        /// The reason.
        why: String,
    },
}

impl Advice for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Program(_) => None,
            Self::Digest { .. } => Some("--stage1-sha256 gives the digest without the file".to_owned()),
        }
    }
}

/// Returns the path of this program's own stage1.
///
/// # Errors
/// If it is not known where this program's own file is.
pub fn default_path() -> Result<PathBuf, Error> {
    let mut path = std::env::current_exe().map_err(Error::Program)?;
    // `BESIDE_PROGRAM` is relative to the program's directory.
    path.pop();
    path.push(BESIDE_PROGRAM);
    // Resolves `..` and links, for shorter messages.
    Ok(path.canonicalize().unwrap_or(path))
}

/// Reads the digest of `FILE` from `FILE.sha256`, which has the format of sha256sum(1).
///
/// # Errors
/// If that file can't be read, or has no digest of `FILE`.
pub fn read_sums(path: &Path) -> Result<Sha256, Error> {
    let mut sums = path.as_os_str().to_owned();
    sums.push(".sha256");
    let sums = PathBuf::from(sums);
    let read = || -> store::Result<Sha256> {
        let text = InputFile::open(&sums)?.read_all(SUMS_MAX)?;
        Ok(find_sum(&text, path.file_name().unwrap_or_default().as_encoded_bytes())?)
    };
    read().map_err(|error| Error::Digest { file: escape(&sums.to_string_lossy()), why: error.to_string() })
}

/// Finds the digest of the file `name`. A line is 64 hex digits, a blank, a blank or `*`, and a name.
fn find_sum(text: &[u8], name: &[u8]) -> Result<Sha256, Fault> {
    for line in text.split(|byte| *byte == b'\n') {
        let Some((hex, rest)) = line.split_at_checked(64) else { continue };
        let named = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"));
        if named == Some(name) {
            return Ok(Sha256::from_hex(&String::from_utf8_lossy(hex))?);
        }
    }
    let name = escape_bytes(name);
    Err(Fault::content(format_args!("names no {name}: expected a line as sha256sum prints it")))
}

/// The rules for stage1: `/init` exists and is executable.
#[derive(Debug, Default)]
pub struct Stage1Policy {
    has_init: bool,
}

impl Policy for Stage1Policy {
    fn admit(&mut self, entry: &Entry) -> Result<Admission, Breach> {
        if entry.path.as_bytes() == layout::INIT.as_bytes() {
            let executable = matches!(entry.kind, EntryKind::File { .. }) && entry.metadata.mode & 0o111 != 0;
            Breach::unless(executable, || "expected stage1's init to be an executable file")?;
            self.has_init = true;
        }
        Ok(Admission::Write)
    }

    fn complete(&self) -> Result<(), Breach> {
        Breach::unless(
            self.has_init,
            || "stage1 has no init: expected an executable file of this name at its top",
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let hex = "0123456789abcdef".repeat(4);
        let digest = Sha256::from_hex(&hex).unwrap();
        let find = |text: String| find_sum(text.as_bytes(), b"stage1.tar.xz").ok();
        assert_eq!(find(format!("{hex}  stage1.tar.xz\n")), Some(digest));
        assert_eq!(find(format!("{hex} *stage1.tar.xz")), Some(digest));
        assert_eq!(find(format!("{}  other\n{hex}  stage1.tar.xz\n", "0".repeat(64))), Some(digest));
        for bad in [
            String::new(),
            hex.clone(),
            format!("{hex}  other\n"),
            format!("{hex}  dist/stage1.tar.xz\n"),
            format!("{hex} stage1.tar.xz\n"),
            format!("{}  stage1.tar.xz\n", hex.to_uppercase()),
            format!("{}  stage1.tar.xz\n", &hex[1..]),
        ] {
            assert_eq!(find(bad.clone()), None, "{bad}");
        }
    }
}
