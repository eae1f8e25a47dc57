// SPDX-License-Identifier: Apache-2.0
//! An OCI image from its layout to its tree, in a real worker. The program is its own worker, so it is no test harness:
//! a worker must be alone in its process when it is confined.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it can go no further")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use archive::Limits;
use archive::layer::Part;
use image::oci::app::image_manifest;
use image::oci::{Form, OciImage, Platform, Source};
use pod::blob::BlobDigest;
use store::extract::layers::{Frame, FrameFile, Layer};
use store::unpacker::{Destination, layers};
use sys::Interrupt;

/// Entries of a layer: a name, its mode, and its content; a name that ends in a slash is a directory's.
type Entries<'a> = &'a [(&'a str, u32, &'a str)];

fn main() -> ExitCode {
    if let Some(code) = store::unpacker::main(image::policy) {
        return code;
    }
    if !gate::has_root(module_path!()) {
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, fn()); 4] = [
        ("layers become one tree", layers_become_one_tree),
        ("a layer that is not the image's leaves no result", a_layer_that_is_not_the_images),
        ("a refusal keeps its words and its hint", a_refusal_keeps_its_words_and_its_hint),
        ("many layers arrive", many_layers_arrive),
    ];
    for (name, test) in tests {
        println!("test {name}");
        test();
    }
    ExitCode::SUCCESS
}

fn tar(entries: Entries<'_>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, mode, content) in entries {
        let mut header = tar::Header::new_gnu();
        let is_directory = name.ends_with('/');
        header.set_entry_type(if is_directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> String {
    let digest = BlobDigest::sha256(bytes);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
}

/// Writes a layout with one image of these layers, compressed by gzip, and opens it.
fn image(layout: &Path, layers: &[Entries<'_>]) -> OciImage {
    let tars: Vec<_> = layers.iter().map(|entries| tar(entries)).collect();
    let diff_ids: Vec<_> = tars.iter().map(|tar| format!("\"{}\"", BlobDigest::sha256(tar))).collect();
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","config":{{"Cmd":["/bin/x"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let config = blob(layout, "application/vnd.oci.image.config.v1+json", config.as_bytes());
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layers: Vec<_> = tars.iter().map(|tar| blob(layout, kind, &gzip(tar))).collect();
    let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","));
    let manifest = blob(layout, "application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(layout.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#))
        .unwrap();
    Source::open(layout).unwrap().image(Form::Either, None, &Platform::host()).unwrap()
}

fn unpack(image: &OciImage, limits: Limits, into: &Path) -> store::Result<u64> {
    let manifest = image_manifest(&image.config, image.id, &image.names).unwrap();
    let content = Part::first(sys::content::in_memory("manifest", &manifest)?, manifest.len() as u64);
    let files = vec![FrameFile { name: "manifest".into(), content }];
    let layer = |layer: &image::oci::ImageLayer| Layer {
        part: layer.part.clone(),
        blob: layer.digest,
        diff_id: layer.diff_id,
    };
    let layers: Vec<_> = image.layers.iter().map(layer).collect();
    fs::create_dir(into.join("tree"))?;
    let root = File::open(into.join("tree"))?.into();
    let place = Destination { root: &root, record: File::create(into.join("record"))? };
    let frame = Frame { directory: "rootfs".into(), files, made: Vec::new() };
    let unpacked = layers::unpack(
        store::TreeKind::Image,
        limits,
        (&layers, None),
        &frame,
        place,
        &Interrupt::default(),
    )?;
    let record = std::io::BufReader::new(File::open(into.join("record"))?);
    let found = store::record::differences(record, &root, &Interrupt::default())?;
    assert!(
        found.is_empty(),
        "the record is of this tree: {:?}",
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    Ok(unpacked.objects())
}

const LOWER: Entries<'_> = &[
    ("d/", 0o2750, ""),
    ("d/old", 0o644, "1"),
    ("d/kept", 0o4755, "2"),
    ("gone/", 0o700, ""),
    ("gone/x", 0o600, "3"),
];
const UPPER: Entries<'_> = &[("d/new", 0o640, "4"), ("d/.wh.old", 0, ""), (".wh.gone", 0, "")];

fn layers_become_one_tree() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(&directory.path().join("layout"), &[LOWER, UPPER]);
    let objects = unpack(&image, Limits::default(), directory.path()).unwrap();
    let rootfs = directory.path().join("tree/rootfs");
    assert_eq!(objects, 6, "the tree, its manifest, rootfs, d, and two files");
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(&rootfs), names(&rootfs.join("d"))),
        (vec!["d".into()], vec!["kept".into(), "new".into()])
    );
    for (path, mode) in [("d", 0o2750), ("d/kept", 0o4755), ("d/new", 0o640)] {
        let metadata = fs::metadata(rootfs.join(path)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{path}");
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mtime()), (7, 8, 1_000_000_000), "{path}");
    }
    let manifest = fs::read(directory.path().join("tree/manifest")).unwrap();
    assert!(pod::manifest::ImageManifest::parse(&manifest).unwrap().app.is_some());
}

fn a_layer_that_is_not_the_images() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = image(&directory.path().join("layout"), &[LOWER, UPPER]);
    image.layers.swap(0, 1);
    (image.layers[0].diff_id, image.layers[1].diff_id) = (image.layers[1].diff_id, image.layers[0].diff_id);
    let error = unpack(&image, Limits::default(), directory.path()).unwrap_err();
    assert!(matches!(error, store::Error::Refused(_)), "{error}");
    assert!(
        error.to_string().starts_with("layer 1 of 2") && error.to_string().contains("digest is"),
        "{error}"
    );
}

fn a_refusal_keeps_its_words_and_its_hint() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(&directory.path().join("layout"), &[LOWER, &[("d/.wh..", 0, "")]]);
    let error = unpack(&image, Limits::default(), directory.path()).unwrap_err();
    assert!(error.to_string().contains("entry \"d/.wh..\": a whiteout of no name"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let image = self::image(&directory.path().join("layout"), &[LOWER, UPPER]);
    let error = unpack(&image, Limits { entries: 6, ..Limits::default() }, directory.path()).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("--max-entries raises it"));
}

fn many_layers_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<_> = (0..300).map(|number| format!("f{number}")).collect();
    let entries: Vec<_> = names.iter().map(|name| [(name.as_str(), 0o644, name.as_str())]).collect();
    let layers: Vec<_> = entries.iter().map(|entries| entries.as_slice()).collect();
    let image = image(&directory.path().join("layout"), &layers);
    assert_eq!(unpack(&image, Limits::default(), directory.path()).unwrap(), 303);
    assert_eq!(fs::read_to_string(directory.path().join("tree/rootfs/f299")).unwrap(), "f299");
}
