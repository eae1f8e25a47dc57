// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::fs;
use std::io::Write as _;

const CONTROL: &str = "Package: hello\nVersion: 1.0-2\nArchitecture: all\nSource: greet (1.0-1)\n";

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(7);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deb(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ar::Builder::new(Vec::new());
    for (name, bytes) in members {
        builder.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn good(data: &[(&str, &[u8])]) -> Vec<u8> {
    let control = tar(&[("./control", CONTROL.as_bytes())]);
    deb(&[("debian-binary", b"2.0\n".to_vec()), ("control.tar", control), ("data.tar.xz", xz(&tar(data)))])
}

fn read(bytes: &[u8]) -> Result<(Deb, Vec<Entry>)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("hello.deb");
    fs::write(&path, bytes)?;
    let deb = Deb::open(&path)?;
    let entries = deb.entries()?;
    Ok((deb, entries))
}

#[test]
fn a_package() {
    let (deb, entries) = read(&good(&[("./usr//bin/./x", b"abc"), ("/etc/y", b"")])).unwrap();
    let facts = [&deb.name, &deb.version, &deb.architecture, &deb.source, &deb.source_version];
    assert_eq!(facts, ["hello", "1.0-2", "all", "greet", "1.0-1"]);
    assert_eq!(deb.sha256.len(), 64);
    let found: Vec<_> =
        entries.iter().map(|entry| (entry.path.to_str().unwrap(), &entry.contents[..])).collect();
    assert_eq!(found, [("usr/bin/x", &b"abc"[..]), ("etc/y", b"")]);
    assert_eq!(entries[0].header.mtime().unwrap(), 7);
}

#[test]
fn unwanted_contents_are_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hello.deb");
    fs::write(&path, good(&[("a", b"1"), ("b", b"2")])).unwrap();
    let mut found = Vec::new();
    let wanted = |path: &Path, _: &tar::Header| path == Path::new("b");
    Deb::open(&path).unwrap().visit(wanted, |entry| found.push(entry.path)).unwrap();
    assert_eq!(found, [Path::new("b")]);
}

#[test]
fn what_is_no_package_is_an_error_that_names_the_file() {
    let binary = || ("debian-binary", b"2.0\n".to_vec());
    let control = || ("control.tar", tar(&[("control", CONTROL.as_bytes())]));
    let whole = good(&[("a", b"1")]);
    let mut damaged = whole.clone();
    let last = damaged.len() - 20;
    damaged[last] ^= 1;
    let mut size = whole.clone();
    size[8 + 48..8 + 58].copy_from_slice(b"9999999999");
    let cases = [
        ("empty", Vec::new(), "not a Debian package"),
        ("text", b"hello".to_vec(), "not a Debian package"),
        (
            "name table first",
            b"!<arch>\n/99             0           0     0     100644  0         `\n".to_vec(),
            "not a Debian package",
        ),
        ("no control", deb(&[binary(), ("data.tar", tar(&[]))]), "it has no control.tar"),
        (
            "no control file",
            deb(&[binary(), ("control.tar", tar(&[("x", b"")])), ("data.tar", tar(&[]))]),
            "no control file",
        ),
        ("no data", deb(&[binary(), control()]), "it has no data.tar"),
        ("unknown compression", deb(&[binary(), control(), ("data.tar.br", vec![1; 600])]), "data.tar.br"),
        ("leads out", good(&[("../x", b"")]), "leads out of the tree"),
        ("damaged xz", damaged, "data.tar.xz"),
        ("cut", whole[..whole.len() - 40].to_vec(), "by its members"),
        ("huge member", size, "no control.tar"),
    ];
    for (name, bytes, expected) in cases {
        let error = format!("{:#}", read(&bytes).unwrap_err());
        assert!(error.starts_with("read package /") && error.contains("hello.deb: "), "{name}: {error}");
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn no_cut_and_no_flipped_byte_panics() {
    let whole = good(&[("a", b"1")]);
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x55;
        drop(read(&bytes));
    }
    for length in (0..whole.len()).step_by(13) {
        read(&whole[..length]).unwrap_err();
    }
}

/// Two readers of one package must not see different files in it.
#[test]
fn what_dpkg_refuses_is_refused() {
    let binary = || ("debian-binary", b"2.0\n".to_vec());
    let control = || ("control.tar", tar(&[("./control", CONTROL.as_bytes())]));
    let data = || ("data.tar.xz", xz(&tar(&[("a", b"1")])));
    let good = || deb(&[binary(), control(), data()]);
    assert_eq!(read(&good()).unwrap().1.len(), 1);
    let mut size = good();
    // The first header's size, in ten characters.
    size[8 + 48..8 + 58].copy_from_slice(b"+4        ");
    for (bytes, why) in [
        (deb(&[binary(), control(), data(), data()]), "after data.tar"),
        (deb(&[binary(), control(), control(), data()]), "no data.tar before"),
        (deb(&[binary(), data(), control()]), "no control.tar before"),
        (deb(&[binary(), control(), ("data.tar.exe", data().1)]), "data.tar.exe"),
        (deb(&[binary(), control(), ("data.tarx", data().1)]), "data.tarx"),
        (size, "member size"),
        ([good(), b"x".to_vec()].concat(), "header"),
        ([good(), vec![0; 100]].concat(), "header"),
        (good()[..good().len() - 2].to_vec(), "by its members"),
    ] {
        let error = format!("{:#}", read(&bytes).unwrap_err());
        assert!(error.contains(why), "{why}: {error}");
    }
    // What is signed has one more member.
    let signed =
        deb(&[binary(), ("_early", vec![1]), control(), data(), ("_gpgorigin", b"signature".to_vec())]);
    assert_eq!(read(&signed).unwrap().1.len(), 1);
}
