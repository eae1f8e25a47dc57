// SPDX-License-Identifier: Apache-2.0
//! Parses the output of `apt-get --print-uris`: `'URI' FILE SIZE SHA256:HEX` on each line.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::publish;

/// A package's file, as the signed index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) file: String,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Archive {
    /// Tells whether `path` holds exactly this file.
    pub(super) fn is_at(&self, path: &Path) -> Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
        };
        let found = publish::sha256(file).with_context(|| format!("read {}", path.display()))?;
        Ok(found == self.sha256)
    }
}

pub(super) fn parse(output: &str) -> Result<Vec<Archive>> {
    let lines = output.lines().filter(|line| line.starts_with('\''));
    lines.map(|line| parse_line(line).with_context(|| format!("unexpected line {line}"))).collect()
}

fn parse_line(line: &str) -> Option<Archive> {
    let (_, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let (file, size, hash) = (words.next()?, words.next()?, words.next()?);
    let sha256 = hash.strip_prefix("SHA256:")?;
    let is_name = file.ends_with(".deb") && !file.contains('/') && !file.starts_with('.');
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_name && is_hash).then(|| Archive {
        file: file.to_owned(),
        size: size.parse().unwrap_or(0),
        sha256: sha256.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let hash = "ab".repeat(32);
        let line = format!("'http://mirror.example/a_1%3a2_all.deb' a_1%3a2_all.deb 12 SHA256:{hash}");
        let archive = Archive { file: "a_1%3a2_all.deb".to_owned(), size: 12, sha256: hash.clone() };
        assert_eq!(parse(&format!("Reading...\n{line}\n")).unwrap(), [archive]);
        for bad in [
            format!("'x' ../a.deb 12 SHA256:{hash}"),
            format!("'x' a.deb 12 MD5Sum:{hash}"),
            "'x' a.deb 12 SHA256:xyz".to_owned(),
            "'x' a.deb 12".to_owned(),
            "'x".to_owned(),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
