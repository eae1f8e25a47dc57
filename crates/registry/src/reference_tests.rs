// SPDX-License-Identifier: Apache-2.0
//! Tables of names: what they mean, and what is refused.

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn full_names_are_made_canonical() {
    let cases = [
        ("docker.io/redis", "docker.io/library/redis:latest"),
        ("docker.io/library/redis:7", "docker.io/library/redis:7"),
        ("docker.io/bitnami/redis:7.2", "docker.io/bitnami/redis:7.2"),
        ("index.docker.io/redis:7", "docker.io/library/redis:7"),
        ("registry-1.docker.io/library/redis:7", "docker.io/library/redis:7"),
        ("Docker.IO:443/redis:7", "docker.io/library/redis:7"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("127.0.0.1:5000/a/b/c:1", "127.0.0.1:5000/a/b/c:1"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        ("quay.io/a/b--c__d_e.f:x_Y-1.2", "quay.io/a/b--c__d_e.f:x_Y-1.2"),
        ("GHCR.io/a/b", "ghcr.io/a/b:latest"),
    ];
    for (text, canonical) in cases {
        let reference = Reference::parse(text).unwrap();
        assert_eq!(reference.to_string(), canonical, "{text}");
        assert_eq!(Reference::parse(canonical).unwrap(), reference, "{text}");
    }
}

#[test]
fn of_tag_and_digest_the_digest_wins_and_both_are_kept() {
    let text = format!("quay.io/a/b:1@sha256:{HEX}");
    let reference = Reference::parse(&text).unwrap();
    assert_eq!(reference.to_string(), text);
    assert_eq!(reference.tag(), Some(&"1".parse().unwrap()));
    assert_eq!(reference.version(), Version::Digest(format!("sha256:{HEX}").parse().unwrap()));
    let alone = Reference::parse(&format!("quay.io/a/b@sha256:{HEX}")).unwrap();
    assert_eq!((alone.tag(), alone.digest()), (None, reference.digest()), "no tag is made up");
}

#[test]
fn bad_names_are_refused() {
    let long = format!("quay.io/{}", "a".repeat(250));
    let tag = format!("quay.io/a:{}", "a".repeat(129));
    for text in [
        "",
        "/",
        "quay.io",
        "quay.io/",
        "quay.io//a",
        "quay.io/a/",
        "quay.io/A",
        "quay.io/a..b",
        "quay.io/a___b",
        "quay.io/.a",
        "quay.io/a-",
        "quay.io/a._b",
        "quay.io/a:",
        "quay.io/a:.b",
        "quay.io/a:b c",
        "quay.io/a\u{1b}[2J",
        "quay.io/a@sha256:00",
        "quay.io/a@md5:d41d8cd98f00b204e9800998ecf8427e",
        "quay.io/a@",
        "quay..io/a",
        "-quay.io/a",
        "quay.io:0/a",
        "quay.io:65536/a",
        "quay.io:x/a",
        "quay.io:/a",
        "user@quay.io/a",
        "[::1/a",
        "[zz]:1/a",
        "redis",
        "library/redis",
        "https://quay.io/a",
        &long,
        &tag,
    ] {
        assert!(Reference::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_error_is_one_line() {
    let error = Reference::parse("quay.io/a\u{1b}[2J\n").unwrap_err().to_string();
    assert!(!error.contains(['\u{1b}', '\n']), "{error:?}");
}

#[test]
fn names_without_a_host_are_short() {
    for (text, repository, version) in
        [("redis", "redis", ""), ("library/redis:7", "library/redis", ":7"), ("redis:7", "redis", ":7")]
    {
        let expected = ShortName { repository: repository.to_owned(), version: version.to_owned() };
        assert_eq!(Name::parse(text).unwrap(), Name::Short(expected), "{text}");
    }
    assert!(matches!(Name::parse("localhost/redis"), Ok(Name::Full(_))));
    assert!(matches!(Name::parse("a.b/redis"), Ok(Name::Full(_))));
    assert!(Name::parse("Redis").is_err());
    assert!(Name::parse("redis:").is_err());
}
