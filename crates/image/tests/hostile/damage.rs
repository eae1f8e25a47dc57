// SPDX-License-Identifier: Apache-2.0
//! Trees changed after they were extracted: their records find every kind of change, and nothing else.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags, makedev, mknodat, setxattr,
    utimensat,
};
use store::record::What;

use crate::fixture::Ground;
use crate::writer::Tar;

/// Something of everything.
fn tree() -> Vec<u8> {
    Tar::image()
        .pax(&[("SCHILY.xattr.user.a", b"1"), ("mtime", b"1600000000.123456789")])
        .file("rootfs/file", b"content")
        .file("rootfs/other", b"content")
        .hard_link("rootfs/hard", "rootfs/file")
        .symlink("rootfs/link", "file")
        .special("rootfs/fifo", b'6', 0, 0)
        .special("rootfs/char", b'3', 1, 3)
        .special("rootfs/block", b'4', 8, 1)
        .pax(&[("SCHILY.xattr.user.d", b"2")])
        .directory("rootfs/dir/", 0o750)
        .file("rootfs/dir/inner", b"")
        .file("rootfs/implied/\x07name", b"")
        .end()
}

/// A change to the tree's rootfs.
type Damage = fn(&Path);

/// Changes, where they are seen, as what.
const DAMAGES: &[(Damage, &str, What)] = &[
    (|at| fs::remove_file(at.join("file")).unwrap(), "file", What::Missing),
    (|at| fs::remove_dir_all(at.join("dir")).unwrap(), "dir/inner", What::Missing),
    (|at| fs::write(at.join("dir/\x1bextra"), "").unwrap(), "dir/\x1bextra", What::Extra),
    (|at| fs::create_dir(at.join("implied/x")).unwrap(), "implied/x", What::Extra),
    (|at| symlink("/", at.join("x")).unwrap(), "x", What::Extra),
    (|at| replace(at, "file", FileType::Fifo, 0), "file", What::Type),
    (|at| replace(at, "fifo", FileType::CharacterDevice, makedev(1, 5)), "fifo", What::Type),
    (|at| replace(at, "char", FileType::RegularFile, 0), "char", What::Type),
    (|at| replace(at, "char", FileType::CharacterDevice, makedev(1, 5)), "char", What::Device),
    (|at| replace(at, "block", FileType::BlockDevice, makedev(8, 2)), "block", What::Device),
    (to_link, "dir", What::Type),
    (to_link, "dir/inner", What::Missing),
    (|at| mode(at, "file", 0o600), "file", What::Mode),
    (|at| mode(at, "dir", 0o2750), "dir", What::Mode),
    (|at| mode(at, "implied", 0o777), "implied", What::Mode),
    (|at| mode(at, "fifo", 0o666), "fifo", What::Mode),
    (|at| mode(at, "", 0o700), "", What::Mode),
    (|at| chown(at.join("other"), Some(7), None).unwrap(), "other", What::Owner),
    (|at| chown(at.join("dir"), None, Some(7)).unwrap(), "dir", What::Owner),
    (|at| lchown(at.join("link"), Some(7), None).unwrap(), "link", What::Owner),
    (|at| touch(at, "file", 1_600_000_000, 123_456_788), "file", What::Mtime),
    (|at| touch(at, "dir", 5, 0), "dir", What::Mtime),
    (|at| touch(at, "implied", 5, 0), "implied", What::Mtime),
    (|at| touch(at, "link", 5, 0), "link", What::Mtime),
    (|at| append(&at.join("other")), "other", What::Size),
    (
        |at| File::options().write(true).open(at.join("other")).unwrap().set_len(0).unwrap(),
        "other",
        What::Size,
    ),
    (flip, "other", What::Content),
    (flip_in_silence, "other", What::Content),
    (|at| relink(at, "link", "other"), "link", What::Target),
    (|at| attribute(&at.join("file"), "user.a", b"2"), "file", What::Xattrs),
    (|at| attribute(&at.join("other"), "user.new", b""), "other", What::Xattrs),
    (|at| attribute(&at.join("dir"), "trusted.overlay.opaque", b"y"), "dir", What::Xattrs),
    (|at| attribute(&at.join("fifo"), "trusted.x", b"y"), "fifo", What::Xattrs),
    (|at| rustix::fs::removexattr(at.join("dir"), "user.d").unwrap(), "dir", What::Xattrs),
    (part, "hard", What::Identity),
    (join, "other", What::Identity),
];

#[gate::root_test]
fn every_kind_of_damage_is_found() {
    for (number, (damage, path, what)) in DAMAGES.iter().enumerate() {
        let ground = Ground::new();
        ground.accept(&tree());
        damage(&ground.at(""));
        let path = format!("rootfs/{path}");
        let path = path.trim_end_matches('/');
        let found = ground.differences().unwrap();
        let named = found.iter().any(|one| one.path() == path.as_bytes() && one.what() == *what);
        assert!(named, "damage {number}: expected {what:?} of {path:?} in {found:#?}");
        for difference in found {
            let line = difference.to_string();
            assert!(line.contains("expected") && !line.contains(|c: char| c.is_control()), "{line:?}");
        }
    }
}

#[gate::root_test]
fn damage_alone_is_found() {
    let ground = Ground::new();
    ground.accept(&tree());
    flip_in_silence(&ground.at(""));
    let found: Vec<_> = ground.differences().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(r#""rootfs/other": content: found "#), "{found:?}");
}

#[gate::root_test]
fn names_outside_of_the_tree_are_no_difference() {
    let ground = Ground::new();
    ground.accept(&tree());
    fs::hard_link(ground.at("other"), ground.outer.path().join("root.link")).unwrap();
    assert_eq!(ground.differences().unwrap(), []);
}

#[gate::root_test]
fn records_that_are_cut_altered_or_missing_are_refused() {
    let ground = Ground::new();
    ground.accept(&tree());
    let record = fs::read(ground.record()).unwrap();
    let digit = record.iter().position(u8::is_ascii_digit).unwrap();
    let mut altered = record.clone();
    altered[digit + 40] ^= 1;
    let seal = record.windows(5).position(|bytes| bytes == b"\nend ").unwrap();
    for (bad, why) in [
        (&record[..record.len() - 1], "cut"),
        (&record[..=seal], "cut"),
        (&record[..record.len() / 2], "cut"),
        (b"", "cut"),
        (b"\n", "not a record"),
        (&altered, "record"),
        (&[&record[..], &record[..]].concat(), "after its seal"),
    ] {
        fs::write(ground.record(), bad).unwrap();
        let error = format!("{:#}", ground.differences().unwrap_err());
        assert!(error.contains(why), "{error}");
    }
}

/// What the kernel does with metadata is in the record, not what the archive asked for.
#[gate::root_test]
fn what_the_file_system_keeps_is_what_is_recorded() {
    let ground = Ground::new();
    // posix_acl_xattr.h: version 2; tag, permissions, id. The mask takes the group's write bit from the mode.
    let entry = |tag: u16, bits: u16, id: u32| {
        [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let acl = |mask| {
        let entries = [(0x01, 7, 0), (0x02, 7, 12), (0x04, 7, 0), (0x10, mask, 0), (0x20, 5, 0)];
        let entries = entries.map(|(tag, bits, id)| entry(tag, bits, id)).concat();
        [&2_u32.to_le_bytes()[..], &entries].concat()
    };
    let minimal = [&2_u32.to_le_bytes()[..], &entry(1, 6, 0), &entry(4, 4, 0), &entry(0x20, 4, 0)].concat();
    let tar = Tar::image()
        .pax(&[("SCHILY.xattr.system.posix_acl_access", &acl(5)), ("mtime", b"99999999999999")])
        .entry(b"rootfs/file", b'0', b"x", |header| header.set_mode(0o777))
        .pax(&[("SCHILY.xattr.system.posix_acl_access", &minimal)])
        .file("rootfs/plain", b"")
        .pax(&[("SCHILY.xattr.system.posix_acl_default", &acl(7)), ("mtime", b"-99999999999.5")])
        .entry(b"rootfs/dir/", b'5', b"", |header| {
            header.set_mode(0o2777);
            header.set_gid(12);
        })
        .file("rootfs/dir/below", b"")
        .directory("rootfs/dir/sub/", 0o755)
        .pax(&[("mtime", b"-99999999999.5")])
        .symlink("rootfs/link", "file");
    // `accept` compares the tree with its record.
    ground.accept(&tar.end());
    assert_eq!(fs::metadata(ground.at("file")).unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::metadata(ground.at("dir/sub")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(ground.at("dir/below")).unwrap().gid(), 0, "it has no group from above");
}

fn replace(at: &Path, name: &str, file_type: FileType, device: u64) {
    let path = at.join(name);
    let before = fs::symlink_metadata(&path).unwrap();
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, file_type, Mode::from_raw_mode(before.mode() & 0o7777), device).unwrap();
}

fn relink(at: &Path, name: &str, target: &str) {
    fs::remove_file(at.join(name)).unwrap();
    symlink(target, at.join(name)).unwrap();
}

/// The same tree by way of a link.
fn to_link(at: &Path) {
    fs::rename(at.join("dir"), at.join("moved")).unwrap();
    symlink("moved", at.join("dir")).unwrap();
}

fn mode(at: &Path, name: &str, mode: u32) {
    fs::set_permissions(at.join(name), Permissions::from_mode(mode)).unwrap();
}

fn touch(at: &Path, name: &str, seconds: i64, nanoseconds: i64) {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times =
        Timestamps { last_access, last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds } };
    utimensat(CWD, at.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"!").unwrap();
}

fn flip(at: &Path) {
    File::options().write(true).open(at.join("other")).unwrap().write_all_at(b"C", 0).unwrap();
}

/// As a disk does it.
fn flip_in_silence(at: &Path) {
    flip(at);
    let mtime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    File::open(at.join("other")).unwrap().set_times(FileTimes::new().set_modified(mtime)).unwrap();
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, OsStr::from_bytes(name.as_bytes()), value, XattrFlags::empty()).unwrap();
}

/// Two names of one file become two files of the same content.
fn part(at: &Path) {
    fs::copy(at.join("hard"), at.join("copy")).unwrap();
    fs::rename(at.join("copy"), at.join("hard")).unwrap();
}

/// Two files of the same content become one.
fn join(at: &Path) {
    fs::remove_file(at.join("other")).unwrap();
    fs::hard_link(at.join("file"), at.join("other")).unwrap();
}
