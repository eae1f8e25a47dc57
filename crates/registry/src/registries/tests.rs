// SPDX-License-Identifier: Apache-2.0
//! Tables of registries.conf: what it makes of names, and what is refused.

use std::fs;

use super::*;
use crate::reference::{Name, Reference};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn registries(text: &str) -> Result<Registries, Error> {
    let mut all = Registries::default();
    all.add(Path::new("registries.conf"), text)?;
    Ok(all)
}

/// The endpoints for an image, insecure ones with a `!`.
fn endpoints(registries: &Registries, image: &str) -> Vec<String> {
    let plan = registries.plan(&Reference::parse(image).unwrap()).unwrap();
    let one = |endpoint: &Endpoint| {
        let mark = if endpoint.insecure { "!" } else { "" };
        format!("{}/{}{mark}", endpoint.host, endpoint.repository)
    };
    plan.endpoints.iter().map(one).collect()
}

const MIRRORS: &str = r#"
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example:5000/docker"
insecure = true
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.example"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "docker.io/bitnami"
location = "legacy.example/b"
insecure = true

[[registry]]
prefix = "docker.io/bitnami/redis"

[[registry]]
prefix = "*.corp.example"
location = "cache.example/corp"

[[registry]]
prefix = "a.corp.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "digests.example/a"
"#;

#[test]
fn endpoints_are_mirrors_and_then_the_registry() {
    let all = registries(MIRRORS).unwrap();
    let digest = format!("docker.io/library/redis@sha256:{HEX}");
    let both = format!("a.corp.example/x:1@sha256:{HEX}");
    let cases: [(&str, &[&str]); 11] = [
        (
            "docker.io/redis:7",
            &[
                "mirror.example:5000/docker/library/redis!",
                "tags.example/library/redis",
                "docker.io/library/redis",
            ],
        ),
        (
            &digest,
            &[
                "mirror.example:5000/docker/library/redis!",
                "digests.example/library/redis",
                "docker.io/library/redis",
            ],
        ),
        ("docker.io/bitnami/nginx", &["legacy.example/b/nginx!"]),
        ("docker.io/bitnami/redis", &["docker.io/bitnami/redis"]),
        ("docker.io/bitnami/redis/x", &["docker.io/bitnami/redis/x"]),
        (
            "docker.io/bitnamis/x",
            &["mirror.example:5000/docker/bitnamis/x!", "tags.example/bitnamis/x", "docker.io/bitnamis/x"],
        ),
        ("x.corp.example/team/app", &["cache.example/corp/team/app"]),
        ("a.corp.example/x:1", &["a.corp.example/x"]),
        (&both, &["digests.example/a/x", "a.corp.example/x"]),
        ("corp.example/x", &["corp.example/x"]),
        ("docker.io:5000/x", &["docker.io:5000/x"]),
    ];
    for (image, expected) in cases {
        assert_eq!(endpoints(&all, image), expected, "{image}");
    }
}

#[test]
fn what_is_blocked_is_no_plan() {
    let all = registries("[[registry]]\nprefix = \"a.b/c\"\nblocked = true").unwrap();
    let error = all.plan(&Reference::parse("A.B:443/c/d:1").unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "a.b/c/d:1: registries.conf blocks a.b/c");
    assert!(all.plan(&Reference::parse("a.b/cc").unwrap()).is_ok());
}

#[test]
fn all_names_of_dockers_registry_are_blocked_with_one() {
    let all = registries("[[registry]]\nlocation = \"docker.io\"\nblocked = true").unwrap();
    for image in ["docker.io/redis", "index.docker.io/library/redis", "registry-1.docker.io/library/redis"] {
        assert!(all.plan(&Reference::parse(image).unwrap()).is_err(), "{image}");
    }
}

fn resolved(registries: &Registries, name: &str) -> Result<String, String> {
    let name = Name::parse(name).unwrap();
    registries.resolve(&name).map(|found| found.to_string()).map_err(|error| error.to_string())
}

#[test]
fn short_names_are_never_guessed() {
    let none = Registries::default();
    let expected = "redis:7 names no registry: give the full name, docker.io/library/redis:7";
    assert_eq!(resolved(&none, "redis:7"), Err(expected.to_owned()));
    let expected = "a/b names no registry: give the full name, docker.io/a/b";
    assert_eq!(resolved(&none, "a/b"), Err(expected.to_owned()));
    let two = registries("unqualified-search-registries = [\"a.b\", \"c.d/e\"]").unwrap();
    let expected = "redis names no registry: give the full name, a.b/redis or c.d/e/redis";
    assert_eq!(resolved(&two, "redis"), Err(expected.to_owned()));
}

#[test]
fn one_registry_is_searched_and_aliases_come_first() {
    let text =
        "unqualified-search-registries = [\"docker.io\"]\n[aliases]\n\"fedora\" = \"quay.io/fedora/fedora\"";
    let all = registries(text).unwrap();
    assert_eq!(resolved(&all, "redis:7").unwrap(), "docker.io/library/redis:7");
    assert_eq!(resolved(&all, "fedora:40").unwrap(), "quay.io/fedora/fedora:40");
    assert_eq!(resolved(&all, "fedora").unwrap(), "quay.io/fedora/fedora:latest");
    let digest = format!("fedora@sha256:{HEX}");
    assert_eq!(resolved(&all, &digest).unwrap(), format!("quay.io/fedora/{digest}"));
    assert_eq!(resolved(&all, "a.b/c").unwrap(), "a.b/c:latest");
}

#[test]
fn bad_files_are_refused() {
    for text in [
        "x",
        "[registries.search]\nregistries = [\"docker.io\"]",
        "[[registry]]\ninsecure = true",
        "[[registry]]\nlocation = \"https://a.b\"",
        "[[registry]]\nlocation = \"a.b\"\nblocked = \"yes\"",
        "[[registry]]\nlocation = \"a.b\"\n[[registry.mirror]]\nlocation = \"\"",
        "[[registry]]\nlocation = \"a.b\"\n[[registry.mirror]]\nlocation = \"c.d\"\npull-from-mirror = \"x\"",
        "[[registry]]\nlocation = \"a.b\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"c.d\"\npull-from-mirror = \"all\"",
        "[[registry]]\nprefix = \"*.\"\nlocation = \"a.b\"",
        "[aliases]\n\"a.b/c\" = \"d.e/f\"",
        "[aliases]\n\"c\" = \"d.e/f:1\"",
        "[aliases]\n\"c\" = \"f\"",
        "unqualified-search-registries = [\"\"]",
    ] {
        assert!(registries(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_unknown_is_said() {
    let helpers = "credential-helpers = [\"containers-auth.json\", \"secretservice\"]";
    let all = registries(helpers).unwrap();
    assert_eq!(all.warnings(), ["registries.conf: \"secretservice\" is ignored"]);
    let all = registries("new = 1\n[[registry]]\nlocation = \"a.b\"\nbloked = true").unwrap();
    let expected = ["registries.conf: \"new\" is ignored", "registries.conf: \"bloked\" is ignored"];
    assert_eq!(all.warnings(), expected);
}

#[test]
fn later_files_replace_what_earlier_ones_say() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("conf.d")).unwrap();
    let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
    let base =
        "unqualified-search-registries = [\"a.b\"]\n[[registry]]\nlocation = \"docker.io\"\nblocked = true\n";
    write("registries.conf", base);
    write("conf.d/2.conf", "[[registry]]\nlocation = \"docker.io\"\n[aliases]\nx = \"a.b/x\"\nz = \"\"");
    write("conf.d/1.conf", "[aliases]\nx = \"a.b/wrong\"\nz = \"a.b/z\"");
    write("conf.d/3.conf.off", "junk");
    write("recorded", "[aliases]\nx = \"a.b/recorded\"\ny = \"a.b/y\"");
    let sources = Sources {
        file: path("registries.conf"),
        drop_ins: vec![path("conf.d"), path("gone")],
        aliases: Some(path("recorded")),
    };
    let all = Registries::load(&sources).unwrap();
    assert_eq!(endpoints(&all, "docker.io/redis"), ["docker.io/library/redis"]);
    assert_eq!(resolved(&all, "x").unwrap(), "a.b/x:latest");
    assert_eq!(resolved(&all, "y").unwrap(), "a.b/y:latest");
    assert_eq!(resolved(&all, "z").unwrap(), "a.b/z:latest", "the search list's, as no alias is left");
}
