// SPDX-License-Identifier: Apache-2.0
//! What is in the app's file system, and of what type. Nothing is written.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use rustix::fs::{major, minor};

use crate::expect::{Expectations, Kind, Localtime, Node, Octal};
use crate::report::{Report, all, compare, each};

/// Checks nodes and their contents.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report.check("devices", &expected.devices, |devices| {
        each(devices.clone(), |path| {
            let wanted = &devices[path];
            let look = if wanted.kind == Kind::Link { fs::symlink_metadata } else { fs::metadata::<&String> };
            node(&look(path)?, wanted)
        })
    });
    report.check("modes", &expected.modes, |modes| {
        each(modes.clone(), |path| node(&fs::symlink_metadata(path)?, &modes[path]))
    });
    report.check("contents", &expected.contents, |contents| each(contents.clone(), |path| text(path)));
    report.check("links", &expected.links, |links| {
        each(links.clone(), |path| Ok(fs::read_link(path)?.to_string_lossy().into_owned()))
    });
    report.check("missing", &expected.missing, |paths| all(paths, &"nothing", at));
    report.check("masked", &expected.masked, |paths| all(paths, &"masked", readable));
    report.check("localtime", &expected.localtime, |file| {
        compare(localtime(file), &(file.bytes, file.starts_with.clone()))
    });
}

/// Returns a node's fields, as far as they are `wanted`.
fn node(metadata: &Metadata, wanted: &Node) -> Result<Node> {
    let device = metadata.rdev();
    Ok(Node {
        kind: kind(metadata.file_type())?,
        major: wanted.major.map(|_| major(device)),
        minor: wanted.minor.map(|_| minor(device)),
        mode: wanted.mode.map(|_| Octal(metadata.mode() & 0o7777)),
        user: wanted.user.map(|_| metadata.uid()),
        group: wanted.group.map(|_| metadata.gid()),
    })
}

fn kind(of: FileType) -> Result<Kind> {
    Ok(match of {
        _ if of.is_block_device() => Kind::Block,
        _ if of.is_char_device() => Kind::Character,
        _ if of.is_dir() => Kind::Directory,
        _ if of.is_file() => Kind::File,
        _ if of.is_symlink() => Kind::Link,
        _ if of.is_fifo() => Kind::Pipe,
        _ if of.is_socket() => Kind::Socket,
        _ => bail!("a node of a kind unknown here"),
    })
}

fn text(path: &str) -> Result<String> {
    let mut text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    for (name, outside) in [("ADDRESS4", "203.0.113.1"), ("ADDRESS6", "2001:db8::1")] {
        if let Some(own) = address_towards(outside) {
            text = text.replace(&format!("{own} "), &format!("{name} "));
        }
    }
    Ok(text)
}

/// Returns the address that this pod has for those outside. Nothing is sent.
fn address_towards(outside: &str) -> Option<IpAddr> {
    let outside: IpAddr = outside.parse().ok()?;
    let any: IpAddr =
        if outside.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((outside, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Returns what is at a path, without following links.
fn at(path: &str) -> &'static str {
    match fs::symlink_metadata(path).map_err(|error| error.kind()) {
        Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => "nothing",
        Err(_) => "something that can't be looked at",
        Ok(_) => "something",
    }
}

/// Tells whether there is anything to read at a path. A file that can't be opened counts as masked.
fn readable(path: &str) -> &'static str {
    if let Ok(mut entries) = fs::read_dir(path) {
        return if entries.next().is_none() { "masked" } else { "a directory with entries" };
    }
    // One byte is enough of files without an end, like /proc/kmsg; if there is none yet, it does not wait.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let first = OpenOptions::new().read(true).custom_flags(flags).open(path).and_then(first_byte);
    match first.map_err(|error| error.kind()) {
        Ok(1..) => "a file with contents",
        Err(ErrorKind::WouldBlock) => "a file that may have contents later",
        Ok(0) | Err(_) => "masked",
    }
}

fn first_byte(mut file: File) -> io::Result<usize> {
    file.read(&mut [0])
}

/// Returns the length and the start of a file.
fn localtime(file: &Localtime) -> Result<(usize, String)> {
    let bytes = fs::read(&file.path).with_context(|| format!("cannot read {}", file.path))?;
    let start = &bytes[..bytes.len().min(file.starts_with.len())];
    Ok((bytes.len(), String::from_utf8_lossy(start).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_of_a_node_is_compared() {
        let wanted: Node = serde_json::from_str(r#"{"kind": "c", "major": 1, "minor": 3}"#).unwrap();
        assert_eq!(node(&fs::metadata("/dev/null").unwrap(), &wanted).unwrap(), wanted);
        assert_ne!(node(&fs::metadata("/dev/zero").unwrap(), &wanted).unwrap(), wanted);
    }

    #[test]
    fn masked_is_what_has_nothing_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(path("empty")).unwrap();
        fs::write(path("file"), "").unwrap();
        assert_eq!([&path("empty"), &path("file"), &path("none")].map(|path| readable(path)), ["masked"; 3]);
        fs::write(path("file"), "text").unwrap();
        assert_eq!(readable(&path("file")), "a file with contents");
        assert_eq!(readable(directory.path().to_str().unwrap()), "a directory with entries");
    }
}
