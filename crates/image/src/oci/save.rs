// SPDX-License-Identifier: Apache-2.0
//! Writes an image as an OCI layout, in a directory or in a tar, from the blobs that the store keeps of it: byte for
//! byte what was pulled. The same image makes the same tar.

use std::fs::File;
use std::io::{self, Read, Write};

use pod::blob::BlobDigest;
use serde_json::{Value, json};
use store::blobs::Blobs;
use store::names::{BlobKind, KeptBlob, NamedImage};

use super::error::Error;
use super::failure::Result;
use super::layout_names::{INDEX, LAYOUT, REF_NAME, blob_path};
/// The length of a tar's header, and what contents are filled up to.
const BLOCK: usize = 512;
/// The longest name in a tar's header.
const NAME_MAX: usize = 100;
/// The largest size in a header's field of octal digits.
const OCTAL_MAX: u64 = 0o777_7777_7777;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The files of a layout: documents, and blobs that are open.
#[derive(Debug)]
pub struct SavedLayout {
    documents: Vec<(&'static str, Vec<u8>)>,
    blobs: Vec<(BlobDigest, u64, File)>,
}

/// A file of a layout.
enum Content<'a> {
    Bytes(&'a [u8]),
    Open(&'a File, u64),
}

impl SavedLayout {
    /// Opens all blobs of an image, and checks their digests.
    ///
    /// # Errors
    /// If one is not kept or damaged, or can't be read.
    pub fn of(blobs: &Blobs<'_>, named: &NamedImage, name: Option<&str>) -> Result<Self> {
        // An index names images for other platforms, too, which aren't here.
        let own: Vec<_> = named.blobs.iter().filter(|blob| blob.kind != BlobKind::Index).collect();
        let Some(manifest) = own.iter().find(|blob| blob.kind == BlobKind::Manifest) else {
            return Err(Error::Unkept.into());
        };
        let mut open: Vec<(BlobDigest, u64, File)> = Vec::new();
        for KeptBlob { digest, size, .. } in &own {
            if open.iter().any(|(other, ..)| other == digest) {
                continue;
            }
            let found = blobs.find_intact(*digest, *size)?;
            let missing = || Error::invalid(&format!("blob {digest}"), "not there: expected it");
            let file = found.ok_or_else(missing)?;
            open.push((*digest, *size, file));
        }
        let mut entry = json!({
            "mediaType": manifest.media_type.as_deref().unwrap_or(MANIFEST_TYPE),
            "digest": manifest.digest, "size": manifest.size,
        });
        if let Some(name) = name {
            entry["annotations"] = json!({ REF_NAME: name });
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]});
        let layout = json!({"imageLayoutVersion": "1.0.0"});
        let bytes = |document: &Value| document.to_string().into_bytes();
        let documents = vec![(LAYOUT, bytes(&layout)), (INDEX, bytes(&index))];
        Ok(Self { documents, blobs: open })
    }

    /// Gives each file, with its path in the layout, to `write`.
    fn each(&self, mut write: impl FnMut(&str, Content<'_>) -> io::Result<()>) -> io::Result<()> {
        for (path, bytes) in &self.documents {
            write(path, Content::Bytes(bytes))?;
        }
        for (digest, size, file) in &self.blobs {
            write(&blob_path(*digest), Content::Open(file, *size))?;
        }
        Ok(())
    }

    /// Writes each file by `create`, which returns the file of a path below the layout's directory.
    ///
    /// # Errors
    /// If a file can't be made or written.
    pub fn write_files(&self, mut create: impl FnMut(&str) -> io::Result<File>) -> io::Result<()> {
        self.each(|path, content| {
            let mut into = create(path)?;
            copy(&content, &mut into)?;
            into.sync_all()
        })
    }

    /// Writes a tar of the layout.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_tar(&self, into: &mut impl Write) -> io::Result<()> {
        self.each(|path, content| {
            let size = match &content {
                Content::Bytes(bytes) => bytes.len() as u64,
                Content::Open(_, size) => *size,
            };
            if path.len() > NAME_MAX {
                return Err(io::Error::other(format!("{path} is too long for a tar: expected a sha256")));
            }
            into.write_all(&header(path, size))?;
            copy(&content, into)?;
            let rest = usize::try_from(size % BLOCK as u64).unwrap_or_default();
            into.write_all(&[0; BLOCK][..(BLOCK - rest) % BLOCK])
        })?;
        into.write_all(&[0; 2 * BLOCK])?;
        into.flush()
    }
}

/// Copies a file of a layout. A blob has its size: a tar's header says so.
fn copy(content: &Content<'_>, into: &mut impl Write) -> io::Result<()> {
    match content {
        Content::Bytes(bytes) => into.write_all(bytes),
        Content::Open(file, size) => match io::copy(&mut file.take(*size), into)? {
            copied if copied == *size => Ok(()),
            copied => Err(io::Error::other(format!("a blob has {copied} bytes: expected {size}"))),
        },
    }
}

/// Returns the header of a regular file in a tar: root's, 0644, of 1970.
fn header(path: &str, size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size <= OCTAL_MAX {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::members::Members;
    use pod::path::RelativePath;

    #[test]
    fn a_tar_of_a_layout_is_read_again() {
        let mut blob = tempfile::tempfile().unwrap();
        let content = vec![7; 1000];
        blob.write_all(&content).unwrap();
        io::Seek::rewind(&mut blob).unwrap();
        let digest = BlobDigest::sha256(&content);
        let saved = SavedLayout {
            documents: vec![("oci-layout", b"{}".to_vec()), ("index.json", vec![b' '; 512])],
            blobs: vec![(digest, 1000, blob)],
        };
        let mut tar = tempfile::tempfile().unwrap();
        saved.write_tar(&mut tar).unwrap();
        assert_eq!(tar.metadata().unwrap().len(), 512 * (1 + 1 + 1 + 1 + 1 + 2 + 2));
        let members = Members::read(&tar).unwrap();
        for (path, size) in
            [("oci-layout", 2), ("index.json", 512), (&format!("blobs/sha256/{}", digest.hex()), 1000)]
        {
            let found = members.find(&RelativePath::from_bytes(path.as_bytes()).unwrap()).unwrap();
            assert_eq!(found.size, size, "{path}");
        }
    }
}
