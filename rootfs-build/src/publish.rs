// SPDX-License-Identifier: Apache-2.0
//! Writes files so that a file is absent, old or complete at any time.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

/// Writes what `contents` yields to `path`, with mode 0644 whatever the umask. The file appears once it is complete and
/// on disk.
pub(crate) fn write(path: &Path, contents: impl Read) -> Result<()> {
    stage(path, contents)?.persist(path).map(drop).with_context(|| format!("publish {}", path.display()))
}

/// Writes two files that belong together, like [`write`]. Neither is replaced before both are on disk.
pub(crate) fn write_pair(first: (&Path, &[u8]), second: (&Path, &[u8])) -> Result<()> {
    let staged = [(first.0, stage(first.0, first.1)?), (second.0, stage(second.0, second.1)?)];
    for (path, file) in staged {
        file.persist(path).with_context(|| format!("publish {}", path.display()))?;
    }
    let directory = parent(first.0);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("sync {}", directory.display()))
}

fn stage(path: &Path, mut contents: impl Read) -> Result<NamedTempFile> {
    let directory = parent(path);
    let mut write = || -> io::Result<NamedTempFile> {
        fs::create_dir_all(directory)?;
        let mut file = tempfile::Builder::new().prefix(".rootfs-build.").tempfile_in(directory)?;
        io::copy(&mut contents, &mut file)?;
        file.flush()?;
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().with_context(|| format!("write {}", path.display()))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns the sha256 of everything `input` yields, in lowercase hex.
pub(crate) fn sha256(mut input: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_lowercase_hex() {
        // FIPS 180-4's example, "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&b"abc"[..]).unwrap(), expected);
    }

    #[test]
    fn a_failing_reader_leaves_the_old_file_and_nothing_else() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cut"))
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, &b"old"[..]).unwrap();
        write(&path, (&b"new"[..]).chain(Failing)).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    }
}
