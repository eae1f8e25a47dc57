// SPDX-License-Identifier: Apache-2.0
//! Tar streams, written entry by entry, with whatever in their headers. Also a part of the fuzz targets.
#![allow(dead_code, unreachable_pub, reason = "each crate that has this file uses a part of it")]

use tar::{EntryType, Header};

/// A tar stream.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// A manifest and a rootfs, as every image has them.
    pub fn image() -> Self {
        Self::default().file("manifest", b"{}").directory("rootfs/", 0o755)
    }

    /// An entry with a header as `change` makes it; the sum is right.
    pub fn entry(mut self, name: &[u8], kind: u8, content: &[u8], change: impl FnOnce(&mut Header)) -> Self {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.raw(content)
    }

    /// Content and its padding.
    pub fn raw(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name.as_bytes(), b'0', content, |_| {})
    }

    pub fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(name.as_bytes(), b'5', b"", |header| header.set_mode(mode))
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.link(name, b'2', target)
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(name, b'1', target)
    }

    fn link(self, name: &str, kind: u8, target: &str) -> Self {
        self.entry(name.as_bytes(), kind, b"", |header| {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        })
    }

    /// A device or FIFO.
    pub fn special(self, name: &str, kind: u8, major: u32, minor: u32) -> Self {
        self.entry(name.as_bytes(), kind, b"", |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A pax header for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.entry(b"pax", b'x', &Self::records(records), |_| {})
    }

    /// What a pax header has as its content.
    pub fn records(records: &[(&str, &[u8])]) -> Vec<u8> {
        records.iter().flat_map(|(key, value)| record(key, value)).collect()
    }

    /// The stream so far, which another can follow.
    pub fn stream(self) -> Vec<u8> {
        self.0
    }

    /// The stream with its end marker.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
