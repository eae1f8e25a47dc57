// SPDX-License-Identifier: Apache-2.0
//! Archives of `docker save`, archives of both forms, and how archives are recognised.

use super::*;

/// An archive of `docker save`, in which `manifest.json` is last.
fn saved(images: &[(&[&str], &[&str])]) -> Made {
    let mut made = Made::default();
    let list: Vec<_> = images
        .iter()
        .map(|(tags, layers)| {
            let config = config(layers).to_string();
            let name = format!("{}.json", BlobDigest::sha256(config.as_bytes()).hex());
            let members: Vec<_> = layers
                .iter()
                .map(|layer| format!("{}/layer.tar", BlobDigest::sha256(layer.as_bytes()).hex()))
                .collect();
            layers.iter().zip(&members).for_each(|(layer, member)| made.file(member, *layer));
            made.file(&name, config);
            json!({"Config": name, "RepoTags": tags, "Layers": members})
        })
        .collect();
    made.file("manifest.json", json!(list).to_string());
    made
}

#[test]
fn an_archive_of_docker_save() {
    let archive = saved(&[(&["redis:7"], &["a", "b"])]).archive();
    for (form, name) in [
        (Form::DockerSave, None),
        (Form::Either, None),
        (Form::DockerSave, Some("redis:7")),
        (Form::DockerSave, Some("docker.io/library/redis:7")),
        (Form::DockerSave, Some("@0")),
    ] {
        let image = open(archive.path(), form, name).unwrap();
        assert_eq!(content(&image), ["a", "b"]);
        assert_eq!((image.manifest, image.layers[0].digest), (None, None));
        assert_eq!(image.id, BlobDigest::sha256(config(&["a", "b"]).to_string().as_bytes()));
        assert_eq!(image.names, ["redis:7"]);
    }
    assert!(matches!(open(archive.path(), Form::DockerSave, Some("redis")), Err(Error::NoImage { .. })));
    assert!(matches!(open(archive.path(), Form::DockerSave, Some("@1")), Err(Error::NoImage { .. })));
    assert!(matches!(open(archive.path(), Form::Oci, None), Err(Error::NoSource { .. })));
}

#[test]
fn several_images_need_a_name() {
    let archive = saved(&[(&["a:1", "a:2"], &["a"]), (&[], &["b"])]).archive();
    let error = open(archive.path(), Form::DockerSave, None).unwrap_err().to_string();
    assert!(error.contains("expected a name, one of \"a:1\", \"@1\""), "{error}");
    for (name, layer) in [("a:2", "a"), ("@1", "b")] {
        assert_eq!(content(&open(archive.path(), Form::DockerSave, Some(name)).unwrap()), [layer]);
    }
}

#[test]
fn lists_that_lead_to_nothing() {
    let with = |list: &str| {
        let mut made = saved(&[(&["a"], &["a"])]);
        made.file("manifest.json", list);
        open(made.archive().path(), Form::DockerSave, None).unwrap_err().to_string()
    };
    for (list, why) in [
        ("null", "holds no image"),
        ("[]", "holds no image"),
        ("{}", "invalid type"),
        (r#"[{"Config":"none","Layers":[]}]"#, "member \"none\" is missing"),
        (r#"[{"Config":"../../etc/passwd","Layers":[]}]"#, "invalid path"),
    ] {
        let error = with(list);
        assert!(error.contains(why), "{list}: {error}");
    }
    let mut other = saved(&[(&["a"], &["a"])]);
    let (name, _) = other.0.iter().find(|(name, _)| name.ends_with(".json")).cloned().unwrap();
    other.file(&name, config(&["b"]).to_string());
    let error = open(other.archive().path(), Form::DockerSave, None).unwrap_err().to_string();
    assert!(error.contains("the config's digest is"), "{error}");
}

#[test]
fn layers_that_are_links_are_resolved_inside() {
    let made = saved(&[(&["a"], &["a", "b"])]);
    let mut builder = tar::Builder::new(Vec::new());
    let link = |builder: &mut tar::Builder<Vec<u8>>, target: &str, name: &str| {
        builder.append_link(&mut header(tar::EntryType::Symlink, 0), name, target).unwrap();
    };
    for (name, content) in &made.0 {
        if content == b"b" {
            link(&mut builder, "../real/layer.tar", name);
        } else {
            builder
                .append_data(&mut header(tar::EntryType::Regular, content.len()), name, content.as_slice())
                .unwrap();
        }
    }
    builder.append_data(&mut header(tar::EntryType::Regular, 1), "real/layer.tar", &b"b"[..]).unwrap();
    let archive = written(&builder.into_inner().unwrap());
    assert_eq!(content(&open(archive.path(), Form::DockerSave, None).unwrap()), ["a", "b"]);
}

/// What a current `docker save` writes: a layout, and the list that leads to the same blobs.
fn hybrid(with_index: bool) -> Made {
    let mut made = Made::default();
    let mut image = called(made.image(&["a"]), "7");
    image["annotations"]["io.containerd.image.name"] = json!("docker.io/library/redis:7");
    let mut other = called(made.image(&["b"]), "7");
    other["annotations"]["io.containerd.image.name"] = json!("docker.io/library/other:7");
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", BlobDigest::sha256(bytes).hex());
    let entry = |layer: &str, tag: &str| json!({"Config": blob(config(&[layer]).to_string().as_bytes()), "RepoTags": [tag], "Layers": [blob(layer.as_bytes())]});
    made.index(&if with_index { json!([image, other]) } else { json!(null) });
    made.file("manifest.json", json!([entry("a", "redis:7"), entry("b", "other:7")]).to_string());
    made
}

#[test]
fn archives_of_both_forms() {
    let archive = hybrid(true).archive();
    for form in [Form::Either, Form::Oci, Form::DockerSave] {
        for name in ["redis:7", "docker.io/library/redis:7"] {
            let image = open(archive.path(), form, Some(name)).unwrap();
            assert_eq!(content(&image), ["a"]);
            assert_eq!(image.manifest.is_some(), form != Form::DockerSave, "{form:?}");
        }
        assert!(matches!(open(archive.path(), form, None), Err(Error::Unnamed { .. })));
    }
    let without = hybrid(false).archive();
    assert_eq!(open(without.path(), Form::Either, Some("redis:7")).unwrap().manifest, None, "an empty index");
    assert!(matches!(open(without.path(), Form::Oci, None), Err(Error::NoSource { .. })));
}

#[test]
fn files_are_recognised_by_their_content() {
    let aci = |names: &[&str]| {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let kind = if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
            builder.append_data(&mut header(kind, 0), name, &b""[..]).unwrap();
        }
        written(&builder.into_inner().unwrap())
    };
    let mut oci = Made::default();
    let image = oci.image(&["a"]);
    oci.index(&json!([image]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&fs::read(oci.archive().path()).unwrap()).unwrap();
    for (case, file, expected) in [
        ("an ACI", aci(&["./", "manifest", "rootfs/", "rootfs/index.json"]), Content::Aci),
        ("an ACI with the manifest last", aci(&["rootfs/", "manifest"]), Content::Aci),
        ("an OCI archive", oci.archive(), Content::Oci),
        ("both forms", hybrid(true).archive(), Content::Oci),
        ("docker save", saved(&[(&["a"], &["a"])]).archive(), Content::DockerSave),
        ("a compressed one", written(&gzip.finish().unwrap()), Content::Compressed),
        ("another tar", aci(&["x"]), Content::Other),
        ("a cut tar", written(&fs::read(oci.archive().path()).unwrap()[..600]), Content::Other),
        ("no tar", written(b"hello"), Content::Other),
        ("nothing", written(b""), Content::Other),
    ] {
        let mut opened = File::open(file.path()).unwrap();
        assert_eq!(recognise(&opened).unwrap(), expected, "{case}");
        let mut read = Vec::new();
        opened.read_to_end(&mut read).unwrap();
        assert_eq!(read, fs::read(file.path()).unwrap(), "{case}: it is at its start");
        let is_compressed = matches!(Source::open(file.path()), Err(Error::Compressed { .. }));
        assert_eq!(is_compressed, expected == Content::Compressed, "{case}");
    }
}

#[test]
fn no_more_than_its_own_names_are_in_a_message() {
    let names: Vec<_> = (0..50).map(|number| format!("n{number}\u{1b}")).collect();
    let tags: Vec<_> = names.iter().map(|name| [name.as_str()]).collect();
    let images: Vec<_> = tags.iter().map(|tags| (tags.as_slice(), &["a"][..])).collect();
    let error = open(saved(&images).archive().path(), Form::DockerSave, None).unwrap_err().to_string();
    assert!(error.ends_with("\"n19\\u{1b}\", …") && !error.contains('\u{1b}'), "{error}");
}
