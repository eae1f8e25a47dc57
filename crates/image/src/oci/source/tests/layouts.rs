// SPDX-License-Identifier: Apache-2.0
//! OCI layouts: directories, and archives of them.

use std::os::unix::fs::symlink;

use super::*;

fn one() -> Made {
    let mut made = Made::default();
    let image = made.image(&["lower", "upper"]);
    made.index(&json!([called(image, "latest")]));
    made
}

/// Two images with names, one of them for two platforms.
fn several() -> Made {
    let mut made = Made::default();
    let mut of = |layer: &str, name: &str, architecture: Option<&str>| {
        let mut image = called(made.image(&[layer]), name);
        if let Some(architecture) = architecture {
            image["platform"] = json!({"os": "linux", "architecture": architecture});
        }
        image
    };
    let manifests = json!([
        of("a", "localhost/a:1", Some("arm64")),
        of("b", "localhost/a:1", Some("amd64")),
        of("c", "c", None),
    ]);
    made.index(&manifests);
    made
}

#[test]
fn the_only_image_needs_no_name() {
    let (directory, archive) = (one().directory(), one().archive());
    for path in [directory.path(), archive.path()] {
        for (form, name) in [(Form::Oci, None), (Form::Either, None), (Form::Oci, Some("latest"))] {
            let image = open(path, form, name).unwrap();
            assert_eq!(content(&image), ["lower", "upper"]);
            assert_eq!(image.layers[1].diff_id, BlobDigest::sha256(b"upper"));
            assert_eq!(image.id, BlobDigest::sha256(&image.config_bytes));
            assert_eq!((image.names.as_slice(), image.indices.len()), (&["latest".to_owned()][..], 0));
            assert_eq!(image.layers[0].digest, Some(BlobDigest::sha256(b"lower")));
        }
        let missing = open(path, Form::Oci, Some("other\u{1b}")).unwrap_err().to_string();
        assert!(missing.contains("no image \"other\\u{1b}\": expected one of \"latest\""), "{missing}");
        let digest = format!("@{}", open(path, Form::Oci, None).unwrap().manifest.unwrap());
        assert!(open(path, Form::Oci, Some(&digest)).is_ok());
    }
}

#[test]
fn one_of_several_images() {
    let directory = several().directory();
    let open = |name| open(directory.path(), Form::Oci, name);
    let error = open(None).unwrap_err().to_string();
    assert!(error.contains("several images: expected a name, one of \"c\", \"localhost/a:1\""), "{error}");
    assert_eq!(content(&open(Some("localhost/a:1")).unwrap()), ["b"], "for the platform");
    assert_eq!(content(&open(Some("c")).unwrap()), ["c"]);
    assert!(matches!(open(Some("localhost/a:2")), Err(Error::NoImage { .. })));
}

#[test]
fn images_without_names_need_one_if_there_are_several() {
    let mut made = Made::default();
    let manifests = json!([made.image(&["a"]), made.image(&["b"])]);
    made.index(&manifests);
    let directory = made.directory();
    let error = open(directory.path(), Form::Oci, None).unwrap_err().to_string();
    let digest = format!("@{}", manifests[1]["digest"].as_str().unwrap());
    assert!(error.contains(&digest), "{error}");
    assert_eq!(content(&open(directory.path(), Form::Oci, Some(&digest)).unwrap()), ["b"]);
}

#[test]
fn a_nested_index_is_followed() {
    let mut made = Made::default();
    let mut image = made.image(&["x"]);
    image["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let kind = "application/vnd.oci.image.index.v1+json";
    let nested = made.document(kind, &json!({"schemaVersion": 2, "mediaType": kind, "manifests": [image]}));
    made.index(&json!([called(nested.clone(), "x")]));
    let image = open(made.directory().path(), Form::Oci, None).unwrap();
    assert_eq!((content(&image), json!(image.indices)), (vec!["x".to_owned()], json!([nested["digest"]])));
    assert_eq!(image.names, ["x"]);
}

#[test]
fn what_is_no_layout() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(open(empty.path(), Form::Oci, None), Err(Error::NoSource { .. })));
    assert!(matches!(open(empty.path(), Form::Either, None), Err(Error::NoSource { .. })));
    assert!(matches!(open(&empty.path().join("none"), Form::Oci, None), Err(Error::Read { .. })));
    for (file, content, why) in [
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "expected 1.0.0"),
        ("oci-layout", "[]", "oci-layout of"),
        ("index.json", r#"{"schemaVersion":2,"manifests":null}"#, "holds no image"),
        ("index.json", r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "in one"),
        ("index.json", "{", "index.json of"),
    ] {
        let mut made = one();
        made.0.retain(|(name, _)| name != file);
        made.file(file, content);
        for path in [made.directory().path(), made.archive().path()] {
            let error = open(path, Form::Oci, None).unwrap_err().to_string();
            assert!(error.contains(why), "{file} {content}: {error}");
        }
    }
}

/// Alters the blob with this digest.
fn altered(made: &Made, digest: BlobDigest, alter: fn(&mut Vec<u8>)) -> Made {
    let mut made = made.clone();
    let name = format!("blobs/sha256/{}", digest.hex());
    made.0.iter_mut().filter(|(found, _)| *found == name).for_each(|(_, bytes)| alter(bytes));
    made
}

#[test]
fn blobs_that_are_not_what_their_descriptors_say() {
    let made = one();
    let image = open(made.directory().path(), Form::Oci, None).unwrap();
    for digest in [image.manifest.unwrap(), image.id] {
        let other = altered(&made, digest, |bytes| bytes[3] ^= 1);
        let error = open(other.directory().path(), Form::Oci, None).unwrap_err().to_string();
        assert!(error.contains("the blob's digest is"), "{error}");
    }
    for digest in [image.manifest.unwrap(), image.id, BlobDigest::sha256(b"lower")] {
        let longer = altered(&made, digest, |bytes| bytes.push(b' '));
        let error = open(longer.archive().path(), Form::Oci, None).unwrap_err().to_string();
        assert!(error.contains(&format!("blob {digest}")) && error.contains("bytes: expected"), "{error}");
        let mut gone = made.clone();
        gone.0.retain(|(name, _)| !name.ends_with(&digest.hex()));
        let error = open(gone.directory().path(), Form::Oci, None).unwrap_err().to_string();
        assert!(error.contains("is missing"), "{error}");
    }
}

#[test]
fn a_config_with_another_number_of_layers() {
    let mut made = Made::default();
    let config = made.document(CONFIG, &config(&["a"]));
    let layers = [made.blob(LAYER, b"a"), made.blob(LAYER, b"b")];
    let manifest = made.document(MANIFEST, &json!({"schemaVersion": 2, "config": config, "layers": layers}));
    made.index(&json!([manifest]));
    let error = open(made.directory().path(), Form::Oci, None).unwrap_err().to_string();
    assert!(error.contains("1 diff_ids: expected 2"), "{error}");
}

#[test]
fn no_link_leads_out_of_a_layout() {
    let outside = tempfile::tempdir().unwrap();
    let made = one();
    for (name, content) in &made.0 {
        let directory = made.directory();
        let (inside, out) = (directory.path().join(name), outside.path().join("file"));
        std::fs::write(&out, content).unwrap();
        std::fs::remove_file(&inside).unwrap();
        symlink(&out, &inside).unwrap();
        assert!(open(directory.path(), Form::Oci, None).is_err(), "{name}");
        std::fs::remove_file(&inside).unwrap();
        std::fs::create_dir(&inside).unwrap();
        assert!(open(directory.path(), Form::Oci, None).is_err(), "{name} is a directory");
    }
    // A link inside is fine.
    let directory = made.directory();
    std::fs::rename(directory.path().join("blobs"), directory.path().join("elsewhere")).unwrap();
    symlink("/elsewhere", directory.path().join("blobs")).unwrap();
    assert!(open(directory.path(), Form::Oci, None).is_ok());
}
