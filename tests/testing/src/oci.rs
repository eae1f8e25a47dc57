// SPDX-License-Identifier: Apache-2.0
//! OCI images of trees: layouts in directories, and archives.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use pod::digest::Digest;
use serde_json::{Value, json};
use sha2::Digest as _;
use tar::{Builder, EntryType, Header};

use crate::rootfs::Rootfs;

/// The name of every image in its layout or archive.
pub const NAME: &str = "registry.example/hello:1";

/// How a file begins that is compressed by gzip (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The files of an OCI layout, by name. `index.json` is the last.
#[derive(Clone, Debug)]
pub struct OciImage {
    files: Vec<(String, Vec<u8>)>,
    /// The image's id: the digest of its configuration, as Gantry writes it.
    pub id: String,
}

impl OciImage {
    /// Makes an image of these layers, the lowest first, that runs as the configuration's `config` says.
    ///
    /// # Panics
    /// Panics if a layer can't be written.
    pub fn new(layers: &[&Rootfs], config: &Value) -> Self {
        let layers: Vec<_> = layers.iter().map(|layer| layer.layer()).collect();
        let diff_ids: Vec<_> = layers.iter().map(|layer| oci_digest(layer)).collect();
        Self::with_diff_ids(&layers, &diff_ids, config)
    }

    /// Makes an image likewise, whose layers are compressed by gzip.
    ///
    /// # Panics
    /// Panics if a layer can't be written.
    pub fn gzipped(layers: &[&Rootfs], config: &Value) -> Self {
        let layers: Vec<_> = layers.iter().map(|layer| layer.layer()).collect();
        let diff_ids: Vec<_> = layers.iter().map(|layer| oci_digest(layer)).collect();
        let layers: Vec<_> =
            layers.iter().map(|layer| gzip(layer).expect("memory takes any layer")).collect();
        Self::with_diff_ids(&layers, &diff_ids, config)
    }

    /// Makes an image whose configuration states these digests of the layers' tars.
    pub fn with_diff_ids(layers: &[Vec<u8>], diff_ids: &[String], config: &Value) -> Self {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({"os": "linux", "architecture": architecture, "config": config,
                            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = config.to_string().into_bytes();
        let mut image = Self { files: Vec::new(), id: oci_digest(&config).replacen(':', "-", 1) };
        let config = image.blob("application/vnd.oci.image.config.v1+json", config);
        let layer = |layer: &Vec<u8>| {
            let compression = if layer.starts_with(&GZIP) { "+gzip" } else { "" };
            image.blob(&format!("application/vnd.oci.image.layer.v1.tar{compression}"), layer.clone())
        };
        let layers: Vec<_> = layers.iter().map(layer).collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        let mut manifest = image.blob("application/vnd.oci.image.manifest.v1+json", manifest.into_bytes());
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": NAME});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]}).to_string();
        image.files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        image.files.push(("index.json".into(), index.into_bytes()));
        image
    }

    /// Returns the contents of its blobs: the configuration, the layers and the manifest.
    pub fn blobs(&self) -> Vec<&[u8]> {
        let blobs = self.files.iter().filter(|(name, _)| name.starts_with("blobs/"));
        blobs.map(|(_, content)| content.as_slice()).collect()
    }

    fn blob(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = oci_digest(&bytes);
        let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        self.files.push((format!("blobs/{}", digest.replacen(':', "/", 1)), bytes));
        descriptor
    }

    /// Writes it as a layout.
    ///
    /// # Panics
    /// Panics if that fails.
    pub fn write_layout(&self, directory: &Path) {
        for (name, content) in &self.files {
            let path = directory.join(name);
            let parent = path.parent().expect("a file is in a directory");
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, content))
                .expect("a layout can be written");
        }
    }

    /// Writes it as an archive of a layout.
    ///
    /// # Panics
    /// Panics if that fails.
    pub fn write_archive(&self, file: &Path) {
        write_tar(file, &self.files).expect("an archive can be written");
    }

    /// Writes it as `docker save` does.
    ///
    /// # Panics
    /// Panics if that fails.
    pub fn write_docker_archive(&self, file: &Path) {
        // The configuration is the first blob, and the manifest the last.
        let blobs: Vec<_> =
            self.files.iter().filter(|(name, _)| name.starts_with("blobs/")).cloned().collect();
        let names: Vec<_> = blobs.iter().map(|(name, _)| name).collect();
        let (config, layers) = (names[0], &names[1..names.len() - 1]);
        let list = json!([{"Config": config, "RepoTags": [NAME], "Layers": layers}]).to_string();
        let files: Vec<_> = blobs.into_iter().chain([("manifest.json".into(), list.into_bytes())]).collect();
        write_tar(file, &files).expect("an archive can be written");
    }
}

/// Compresses by gzip.
///
/// # Errors
/// If memory takes no more.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Returns a digest as OCI documents write it.
pub fn oci_digest(bytes: &[u8]) -> String {
    let digest = Digest::Sha256(sha2::Sha256::digest(bytes).into());
    digest.to_string().replacen('-', ":", 1)
}

fn write_tar(file: &Path, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    let mut tar = Builder::new(File::create(file)?);
    for (name, content) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_slice())?;
    }
    tar.into_inner()?.sync_all()
}
