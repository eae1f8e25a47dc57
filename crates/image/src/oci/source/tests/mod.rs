// SPDX-License-Identifier: Apache-2.0
//! Layouts and archives made by the tests.

mod archives;
mod layouts;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use archive::layer::Extent;
use archive::layer::Part;
use pod::blob::BlobDigest;
use serde_json::{Value, json};

use super::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The files of a source, by name, in the order in which an archive has them.
#[derive(Clone, Default)]
struct Made(Vec<(String, Vec<u8>)>);

impl Made {
    fn file(&mut self, name: &str, content: impl Into<Vec<u8>>) {
        self.0.push((name.to_owned(), content.into()));
    }

    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let digest = BlobDigest::sha256(bytes);
        self.file(&format!("blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    fn document(&mut self, kind: &str, document: &Value) -> Value {
        self.blob(kind, document.to_string().as_bytes())
    }

    /// Adds an image of these layers, and returns its manifest's descriptor.
    fn image(&mut self, layers: &[&str]) -> Value {
        let config = config(layers);
        let config = self.document(CONFIG, &config);
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(LAYER, layer.as_bytes())).collect();
        self.document(MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": layers}))
    }

    /// Adds the index, last.
    fn index(&mut self, manifests: &Value) {
        self.file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.file("index.json", json!({"schemaVersion": 2, "manifests": manifests}).to_string());
    }

    fn directory(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in &self.0 {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        directory
    }

    fn archive(&self) -> tempfile::NamedTempFile {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in &self.0 {
            let mut header = header(tar::EntryType::Regular, content.len());
            builder.append_data(&mut header, name, content.as_slice()).unwrap();
        }
        written(&builder.into_inner().unwrap())
    }
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn config(layers: &[&str]) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|layer| BlobDigest::sha256(layer.as_bytes())).collect();
    json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
}

/// A descriptor with a name.
fn called(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    descriptor
}

fn open(path: &Path, form: Form, name: Option<&str>) -> Result<OciImage, Error> {
    Source::open(path)?.image(form, name, &"linux/amd64".parse().unwrap())
}

/// The layers' bytes.
fn content(image: &OciImage) -> Vec<String> {
    let read = |layer: &ImageLayer| {
        let Part { file, offset, length } = &layer.part;
        let mut text = String::new();
        Extent::new(file.as_ref(), *offset, *length).read_to_string(&mut text).unwrap();
        text
    };
    image.layers.iter().map(read).collect()
}
