// SPDX-License-Identifier: Apache-2.0
//! Named cases of references.

use pod::blob::BlobDigest;

use super::*;

fn parse(text: &str) -> Result<ImageRef, InvalidRef> {
    ImageRef::parse(OsStr::new(text))
}

fn registry(host: &str, repository: &str, tag: Option<&str>) -> ImageRef {
    let (host, repository, tag) = (host.into(), repository.into(), tag.map(Into::into));
    ImageRef::Registry(RegistryRef { host, repository, tag, digest: None })
}

#[test]
fn schemes() {
    let image = |image: &str| Some(image.to_owned());
    let digest = format!("@{}", BlobDigest::sha256(b""));
    for (text, expected) in [
        ("oci:/a/b", ImageRef::Oci { directory: "/a/b".into(), image: None }),
        ("oci:dir:latest", ImageRef::Oci { directory: "dir".into(), image: image("latest") }),
        ("oci:dir:host/a:1", ImageRef::Oci { directory: "dir".into(), image: image("host/a:1") }),
        (&format!("oci:dir{digest}"), ImageRef::Oci { directory: "dir".into(), image: image(&digest) }),
        (&format!("oci:dir:{digest}"), ImageRef::Oci { directory: "dir".into(), image: image(&digest) }),
        ("oci:a@b", ImageRef::Oci { directory: "a@b".into(), image: None }),
        ("oci-archive:-", ImageRef::OciArchive { file: "-".into(), image: None }),
        ("oci-archive:f.tar:t", ImageRef::OciArchive { file: "f.tar".into(), image: image("t") }),
        (
            "docker-archive:f.tar:redis:7",
            ImageRef::DockerArchive { file: "f.tar".into(), image: image("redis:7") },
        ),
        ("docker-archive:f.tar:@0", ImageRef::DockerArchive { file: "f.tar".into(), image: image("@0") }),
        ("docker://docker.io/library/redis:7", registry("docker.io", "library/redis", Some("7"))),
    ] {
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }
    for bad in [
        "oci:",
        "oci::tag",
        "oci:dir:",
        "oci-archive:",
        "docker-archive::x",
        "docker://",
        "docker://redis",
        "",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn paths_names_and_hosts() {
    for (text, expected) in [
        ("./image.tar", ImageRef::Path("./image.tar".into())),
        ("/srv/image", ImageRef::Path("/srv/image".into())),
        ("../x", ImageRef::Path("../x".into())),
        (".", ImageRef::Path(".".into())),
        ("quay.io/a/b", registry("quay.io", "a/b", None)),
        ("localhost/a", registry("localhost", "a", None)),
        ("localhost:5000/a:t", registry("localhost:5000", "a", Some("t"))),
        ("[::1]:5000/a", registry("[::1]:5000", "a", None)),
        ("docker.io/redis", registry("docker.io", "library/redis", None)),
        ("index.docker.io/redis", registry("docker.io", "library/redis", None)),
        ("redis", ImageRef::Stored("redis".into())),
        ("redis:7", ImageRef::Stored("redis:7".into())),
        ("library/redis", ImageRef::Stored("library/redis".into())),
        ("image.aci", ImageRef::Stored("image.aci".into())),
        ("sha256-0123", ImageRef::Stored("sha256-0123".into())),
    ] {
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }
    let other = OsStr::from_bytes(b"\xff");
    assert_eq!(ImageRef::parse(other).unwrap(), ImageRef::Path(other.into()));
}

#[test]
fn registry_names() {
    let digest = BlobDigest::sha256(b"");
    let both = RegistryRef::parse(&format!("quay.io/a/b:1@{digest}")).unwrap();
    assert_eq!((both.tag.as_deref(), both.digest), (Some("1"), Some(digest)));
    assert_eq!(both.to_string(), format!("quay.io/a/b:1@{digest}"));
    assert_eq!(RegistryRef::parse("quay.io/a/b").unwrap().tagged(), "quay.io/a/b:latest");
    for good in ["h.x/a", "h.x/a-b", "h.x/a--b/c_d/e__f/g.h", "10.0.0.1:5000/a", "h.x/a:_T.-"] {
        assert!(RegistryRef::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "h.x/",
        "h.x/A",
        "h.x/a..b",
        "h.x/a_",
        "h.x/-a",
        "h.x//a",
        "h.x/a:",
        "h.x/a:-t",
        "h.x/a:t t",
        "h.x/a@sha256:1",
        "h.x:0/a",
        "h.x:99999/a",
        "h.x:/a",
        "-h.x/a",
        "h..x/a",
        "[::1/a",
        "[x]:1/a",
        "h.x/a___b",
        "h.x/a\u{1b}",
        "us er@h.x/a",
        &format!("h.x/{}", "a".repeat(255)),
        &format!("h.x/a:{}", "t".repeat(129)),
    ] {
        let error = RegistryRef::parse(bad).expect_err(bad).to_string();
        assert!(!error.contains(char::is_control), "{error}");
    }
}

#[test]
fn short_names_are_not_guessed() {
    let error = "invalid image \"redis:7\": expected a full name, such as docker.io/library/redis:7";
    assert_eq!(parse("docker://redis:7").unwrap_err().to_string(), error);
    assert_eq!(short("redis:7").to_string(), error);
    assert_eq!(
        parse("docker://me/redis").unwrap_err().to_string(),
        "invalid image \"me/redis\": expected a full name, such as docker.io/me/redis"
    );
}

#[test]
fn names_in_archives_are_the_same_in_each_form() {
    for (one, other, is_same) in [
        ("redis", "docker.io/library/redis:latest", true),
        ("redis:7", "docker.io/library/redis:7", true),
        ("me/x", "docker.io/me/x:latest", true),
        ("localhost/x", "localhost/x:latest", true),
        ("redis", "redis:7", false),
        ("localhost/x", "x", false),
        ("Not A Name", "Not A Name", true),
        ("Not A Name", "Other", false),
    ] {
        assert_eq!(is_same_name(one, other), is_same, "{one} {other}");
    }
}
