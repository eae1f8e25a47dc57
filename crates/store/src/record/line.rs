// SPDX-License-Identifier: Apache-2.0
//! Encodes one object as one line of a record, and decodes it.

use std::io::Write as _;

use pod::path::RelativePath;

use super::escape::{escape, from_hex, to_hex, unescape};
use super::object::{Object, ObjectKind};
use crate::fault::{OrFault as _, Result, ensure, refuse};
use archive::{DeviceKind, Metadata, Timestamp, Xattr};

/// Appends the line of an object.
pub(super) fn encode(line: &mut Vec<u8>, object: &Object) {
    let Object { path, kind, metadata } = object;
    let word: &[u8] = match kind {
        ObjectKind::File { .. } => b"file ",
        ObjectKind::Directory => b"dir ",
        ObjectKind::Symlink { .. } => b"link ",
        ObjectKind::HardLink { .. } => b"hard ",
        ObjectKind::Fifo => b"fifo ",
        ObjectKind::Device { kind: DeviceKind::Character, .. } => b"char ",
        ObjectKind::Device { kind: DeviceKind::Block, .. } => b"block ",
    };
    line.extend(word);
    encode_path(line, path);
    if let ObjectKind::HardLink { target } = kind {
        line.push(b' ');
        encode_path(line, target);
        line.push(b'\n');
        return;
    }
    encode_metadata(line, kind, metadata);
    match kind {
        ObjectKind::File { size, content } => {
            print(line, format_args!(" {size} "));
            to_hex(line, content.as_bytes());
        }
        ObjectKind::Symlink { target } => {
            line.push(b' ');
            escape(line, target);
        }
        ObjectKind::Device { major, minor, .. } => print(line, format_args!(" {major}:{minor}")),
        ObjectKind::Directory | ObjectKind::HardLink { .. } | ObjectKind::Fifo => {}
    }
    for xattr in &metadata.xattrs {
        line.push(b' ');
        escape(line, xattr.name().as_bytes());
        line.push(b'=');
        escape(line, xattr.value());
    }
    line.push(b'\n');
}

fn print(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("memory takes any text");
}

fn encode_path(line: &mut Vec<u8>, path: &RelativePath) {
    match path.as_bytes() {
        b"" => line.push(b'.'),
        bytes => escape(line, bytes),
    }
}

fn encode_metadata(line: &mut Vec<u8>, kind: &ObjectKind, metadata: &Metadata) {
    let Metadata { mode, uid, gid, mtime, .. } = metadata;
    match kind {
        ObjectKind::Symlink { .. } => line.extend(b" -"),
        _ => print(line, format_args!(" {mode:04o}")),
    }
    print(line, format_args!(" {uid} {gid} {mtime}"));
}

/// Decodes the line of an object, given without its newline.
pub(super) fn decode(line: &[u8]) -> Result<Object> {
    let mut words = line.split(|byte| *byte == b' ');
    let mut next = |what: &'static str| words.next().or_fault(|| format!("expected {what}"));
    let word = next("a type")?;
    let path = decode_path(next("a path")?)?;
    if word == b"hard" {
        let target = decode_path(next("a target")?)?;
        ensure!(words.next().is_none(), "expected no more than a target");
        return Ok(Object { path, kind: ObjectKind::HardLink { target }, metadata: Metadata::default() });
    }
    let mode = match next("a mode")? {
        b"-" if word == b"link" => 0,
        mode => u32::from_str_radix(text(mode)?, 8).ok().or_fault(|| "expected an octal mode")?,
    };
    let mut metadata = Metadata {
        mode,
        uid: number(next("an owner")?)?,
        gid: number(next("a group")?)?,
        mtime: decode_time(next("a time")?)?,
        xattrs: Vec::new(),
    };
    let kind = match word {
        b"file" => {
            let size = number(next("a size")?)?;
            ObjectKind::File { size, content: from_hex(next("a digest")?)?.into() }
        }
        b"dir" => ObjectKind::Directory,
        b"link" => ObjectKind::Symlink { target: unescape(next("a target")?)? },
        b"fifo" => ObjectKind::Fifo,
        b"char" => decode_device(DeviceKind::Character, next("a device")?)?,
        b"block" => decode_device(DeviceKind::Block, next("a device")?)?,
        _ => refuse!("type {}: expected file, dir, link, hard, fifo, char or block", shown(word)),
    };
    metadata.xattrs = words.map(decode_xattr).collect::<Result<_>>()?;
    Ok(Object { path, kind, metadata })
}

fn decode_path(word: &[u8]) -> Result<RelativePath> {
    let bytes = unescape(word)?;
    if bytes == b"." {
        return Ok(RelativePath::default());
    }
    let path = RelativePath::from_bytes(&bytes)?;
    ensure!(
        !bytes.is_empty() && path.as_bytes() == bytes,
        "path {}: expected its shortest form",
        shown(word)
    );
    Ok(path)
}

fn decode_device(kind: DeviceKind, word: &[u8]) -> Result<ObjectKind> {
    let (major, minor) = text(word)?.split_once(':').or_fault(|| "expected MAJOR:MINOR")?;
    Ok(ObjectKind::Device { kind, major: number(major.as_bytes())?, minor: number(minor.as_bytes())? })
}

fn decode_time(word: &[u8]) -> Result<Timestamp> {
    let (seconds, nanoseconds) = text(word)?.split_once('.').or_fault(|| "expected SECONDS.NANOSECONDS")?;
    ensure!(nanoseconds.len() == 9, "expected nine digits after the point");
    Ok(Timestamp { seconds: number(seconds.as_bytes())?, nanoseconds: number(nanoseconds.as_bytes())? })
}

fn decode_xattr(word: &[u8]) -> Result<Xattr> {
    let equals = word.iter().position(|byte| *byte == b'=').or_fault(|| "expected NAME=VALUE")?;
    Ok(Xattr::new(&unescape(&word[..equals])?, &unescape(&word[equals + 1..])?)?)
}

pub(super) fn number<T: std::str::FromStr>(word: &[u8]) -> Result<T> {
    text(word)?.parse().ok().or_fault(|| format!("{}: expected a number", shown(word)))
}

fn text(word: &[u8]) -> Result<&str> {
    std::str::from_utf8(word).ok().or_fault(|| format!("{}: expected ASCII", shown(word)))
}

fn shown(word: &[u8]) -> String {
    pod::text::escape_bytes(word)
}
