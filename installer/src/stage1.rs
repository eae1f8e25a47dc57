// SPDX-License-Identifier: Apache-2.0
//! Stage1's tarball: its compressed bytes are checked before one of them is decoded, and again as they are decoded.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};
use pod::digest::Digest;
use pod::layout;
use pod::text::escape;
use sha2::{Digest as _, Sha256};

use crate::archive::stream;
use crate::extract::{BYTES_MAX, extract};
use crate::in_root::read_bounded;
use crate::input::{open_regular, shown, with_suffix};
use crate::progress::Progress;

/// Where stage1 is, from the directory of the installer's program.
const BESIDE: &str = "../lib/gantry/stage1.tar.xz";
/// A digest file may be this long.
const DIGEST_FILE_MAX: u64 = 1 << 20;

/// A stage1 tarball, open, and the digest it must have.
#[derive(Debug)]
pub(crate) struct Stage1 {
    path: PathBuf,
    pub(crate) file: File,
    digest: Digest,
}

impl Stage1 {
    /// Opens the tarball `path`, or the one installed beside this program, and finds out what it must hash to.
    pub(crate) fn open(path: Option<&Path>, digest: Option<Digest>) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => installed()
                .context("cannot tell where stage1 is: expected --stage1 FILE or $GANTRY_STAGE1")?,
        };
        let file = open_regular(&path, "stage1")?;
        let digest = match digest {
            Some(digest) => digest,
            None => read_digest(&path)?,
        };
        Ok(Self { path, file, digest })
    }

    /// Checks the tarball and extracts it into the empty directory `into`.
    pub(crate) fn unpack(&self, into: OwnedFd, progress: &Progress) -> Result<()> {
        let about = || format!("stage1 {}", shown(&self.path));
        let mut checked = Hashing::new(progress.reading(&self.file));
        io::copy(&mut checked, &mut io::sink()).with_context(about)?;
        self.check(checked)?;
        (&self.file).rewind().with_context(about)?;
        let tree = into.as_fd().try_clone_to_owned()?;
        let mut decoded = Hashing::new(progress.reading(&self.file));
        stream::read(&mut decoded, BYTES_MAX, |stream| Ok(((), extract(stream, into, |_, _| Ok(()))?)))
            .with_context(about)?;
        io::copy(&mut decoded, &mut io::sink()).with_context(about)?;
        self.check(decoded)?;
        has_init(&tree).with_context(about)
    }

    fn check<R: Read>(&self, hashing: Hashing<R>) -> Result<()> {
        let found = hashing.finish();
        ensure!(
            found == self.digest,
            "stage1 {}: has sha256 {}: expected {}",
            shown(&self.path),
            found.hex(),
            self.digest.hex()
        );
        Ok(())
    }
}

fn installed() -> Result<PathBuf> {
    let program = fs::read_link("/proc/self/exe")?;
    let path = program.parent().context("a program is in a directory")?.join(BESIDE);
    ensure!(path.is_file(), "{} is missing", shown(&path));
    Ok(path)
}

/// Reads `PATH.sha256`, as sha256sum(1) writes it.
fn read_digest(path: &Path) -> Result<Digest> {
    let beside = with_suffix(path, ".sha256");
    let about =
        || format!("stage1's digest file {}: expected one beside it, or --stage1-sha256 HEX", shown(&beside));
    let text =
        read_bounded(&File::open(&beside).with_context(about)?, DIGEST_FILE_MAX).with_context(about)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    find_digest(&String::from_utf8_lossy(&text), &name).with_context(about)
}

fn find_digest(text: &str, name: &str) -> Result<Digest> {
    for line in text.lines() {
        // Two blanks, or a blank and a star for a file read as binary.
        let (hex, rest) = line.split_once(' ').unwrap_or((line, ""));
        if rest.is_empty() || rest[1..].rsplit('/').next() == Some(name) {
            return Ok(Digest::from_hex(hex)?);
        }
    }
    bail!("has no line for {}", escape(name))
}

fn has_init(tree: &OwnedFd) -> Result<()> {
    let found = fstatat(tree, layout::INIT, AtFlags::AT_SYMLINK_NOFOLLOW);
    let executable = found.is_ok_and(|stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG && stat.st_mode & 0o111 != 0
    });
    ensure!(executable, "has no program \"init\": expected a stage1 tarball");
    Ok(())
}

/// A reader that hashes what passes.
#[derive(Debug)]
struct Hashing<R> {
    input: R,
    hasher: Sha256,
}

impl<R: Read> Hashing<R> {
    fn new(input: R) -> Self {
        Self { input, hasher: Sha256::new() }
    }

    fn finish(self) -> Digest {
        Digest::from_bytes(self.hasher.finalize().into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_files() {
        let hex = "ab".repeat(32);
        let other = "cd".repeat(32);
        for text in [hex.clone(), format!("{hex}  s.tar.xz\n"), format!("{other}  x\n{hex} *dist/s.tar.xz\n")]
        {
            assert_eq!(find_digest(&text, "s.tar.xz").unwrap().hex(), hex, "{text}");
        }
        for text in ["", "ab  s.tar.xz", &format!("{hex}  other.tar.xz"), "é  s.tar.xz"] {
            assert!(find_digest(text, "s.tar.xz").is_err(), "{text}");
        }
    }
}
