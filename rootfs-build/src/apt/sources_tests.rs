// SPDX-License-Identifier: Apache-2.0

use super::*;

fn debian() -> Distribution {
    Distribution::parse("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap()
}

fn found(entries: &[Entry]) -> Vec<String> {
    let sources = entries.iter().flat_map(|entry| own(entry, &debian()));
    sources
        .map(|Source { uri, suite, components }| {
            format!("{uri} {suite} {}", components.into_iter().collect::<Vec<_>>().join(","))
        })
        .collect()
}

const OWN: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[test]
fn one_line_style() {
    let own_key =
        format!("deb [arch=amd64 trusted=yes signed-by={OWN}] http://mirror.example/d bookworm main");
    let table: &[(&str, &[&str])] = &[
        ("deb http://mirror.example/d bookworm main contrib", &["http://mirror.example/d bookworm main"]),
        (
            "deb\thttp://mirror.example/d  bookworm-updates  main # ours",
            &["http://mirror.example/d bookworm-updates main"],
        ),
        (&own_key, &["http://mirror.example/d bookworm main"]),
        ("deb [ signed-by=/etc/apt/keyrings/x.gpg ] http://mirror.example/x bookworm main", &[]),
        ("deb [Signed-By=/etc/apt/keyrings/x.gpg] http://mirror.example/x bookworm main", &[]),
        ("deb-src http://mirror.example/d bookworm main", &[]),
        ("# deb http://mirror.example/d bookworm main", &[]),
        ("deb http://mirror.example/d trixie main", &[]),
        ("deb http://mirror.example/d bookworm-backports main", &[]),
        ("deb http://mirror.example/d bookworm stable", &[]),
        ("deb cdrom:[disc]/ bookworm main", &[]),
        ("deb [signed-by=x http://mirror.example/d bookworm main", &[]),
        ("deb http://mirror.example/d", &[]),
        ("debug http://mirror.example/d bookworm main", &[]),
        ("", &[]),
    ];
    for (line, expected) in table {
        assert_eq!(found(&parse_list(line)), *expected, "{line}");
    }
}

#[test]
fn deb822_style() {
    let table: &[(&str, &[&str])] = &[
        (
            "Types: deb deb-src\n# comment\nURIs: http://mirror.example/d http://b.example/d\nSuites: bookworm\n bookworm-updates\n trixie\nComponents: main non-free\n",
            &[
                "http://mirror.example/d bookworm main",
                "http://b.example/d bookworm main",
                "http://mirror.example/d bookworm-updates main",
                "http://b.example/d bookworm-updates main",
            ],
        ),
        (
            "types: deb\nURIS: http://mirror.example/s\nsuites: bookworm-security\nComponents: main\nTrusted: yes\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n",
            &["http://mirror.example/s bookworm-security main"],
        ),
        ("Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\nEnabled: no\n", &[]),
        ("Types: deb-src\nURIs: http://m.example\nSuites: bookworm\nComponents: main\n", &[]),
        ("Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\nSigned-By: /x.gpg\n", &[]),
        (
            "Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n",
            &[],
        ),
        (
            "Types: deb\nURIs: http://a.example\nSuites: x\nComponents: main\n \t\n\nTypes: deb\nURIs: http://b.example\nSuites: bookworm\nComponents: main\n",
            &["http://b.example bookworm main"],
        ),
        (" continuation first\nTypes: deb\n", &[]),
        ("no colon\n", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(found(&parse_deb822(text)), *expected, "{text}");
    }
}

#[test]
fn another_release_is_in_the_same_places() {
    let entries = parse_list(
        "deb http://mirror.example/d bookworm main\ndeb http://mirror.example/s bookworm-security main",
    );
    let other = debian().with_release("trixie".parse().unwrap());
    let sources: Vec<_> = entries.iter().flat_map(|entry| own(entry, &other)).collect();
    let found: Vec<_> = sources.iter().map(|one| (one.uri.as_str(), one.suite.as_str())).collect();
    assert_eq!(
        found,
        [("http://mirror.example/d", "trixie"), ("http://mirror.example/s", "trixie-security")]
    );
}

#[test]
fn only_apts_files_are_read_and_nothing_is_an_error() {
    let etc = tempfile::tempdir().unwrap();
    let error = of_host(etc.path(), &debian()).unwrap_err().to_string();
    assert!(error.contains("suites bookworm, bookworm-updates, bookworm-security"), "{error}");
    let parts = etc.path().join("sources.list.d");
    fs::create_dir(&parts).unwrap();
    fs::write(parts.join("a.list.disabled"), "deb http://off.example bookworm main").unwrap();
    fs::write(parts.join("b.list"), "deb http://mirror.example bookworm main").unwrap();
    fs::write(etc.path().join("sources.list"), "deb http://mirror.example bookworm main").unwrap();
    let sources = of_host(etc.path(), &debian()).unwrap();
    assert_eq!(
        render(&sources, Path::new("/k.gpg")),
        "Types: deb\nURIs: http://mirror.example\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg\n\n"
    );
}
