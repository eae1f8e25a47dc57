// SPDX-License-Identifier: Apache-2.0
//! Types, numbers and metadata: kept exactly, or refused.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{getxattr, major, minor};

use crate::fixture::Ground;
use crate::writer::Tar;

fn attribute(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; 256];
    let length = getxattr(path, name, &mut value[..]).unwrap();
    value.truncate(length);
    value
}

#[gate::root_test]
fn case_12_devices_and_fifos_are_what_they_say() {
    let ground = Ground::new();
    let tar = Tar::image().special("rootfs/null", b'3', 1, 3).special("rootfs/disk", b'4', 8, 1);
    ground.accept(&tar.special("rootfs/fifo", b'6', 0, 0).end());
    let null = fs::metadata(ground.at("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((major(null.rdev()), minor(null.rdev()), null.mode() & 0o7777), (1, 3, 0o644));
    assert!(fs::metadata(ground.at("disk")).unwrap().file_type().is_block_device());
    assert!(fs::metadata(ground.at("fifo")).unwrap().file_type().is_fifo());

    let ground = Ground::new();
    ground.refuse(&Tar::image().special("rootfs/w", b'3', 0, 0).end(), "0:0");
    ground.refuse(&Tar::image().special("rootfs/d", b'3', 1 << 12, 0).end(), "expected at most");
    for unknown in [b's', b'M', b'N', b'X', b'A', 0xff] {
        ground.refuse(&Tar::image().entry(b"rootfs/x", unknown, b"", |_| {}).end(), "expected");
    }
    ground.refuse(&Tar::image().entry(b"rootfs/d", b'5', b"content", |_| {}).end(), "no regular file");
}

/// Its owner and time, not those of what it leads to.
#[gate::root_test]
fn case_12_a_links_metadata_is_its_own() {
    let ground = Ground::new();
    let target = ground.canary("canary");
    let link = Tar::image().entry(b"rootfs/link", b'2', b"", |header| {
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(5);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    });
    ground.accept(&link.end());
    let link = fs::symlink_metadata(ground.at("link")).unwrap();
    assert_eq!((link.uid(), link.gid(), link.mtime()), (7, 8, 5));
}

#[gate::root_test]
fn case_13_pax_size_beats_the_header() {
    let ground = Ground::new();
    let content = [b'x'; 2000];
    let tar =
        Tar::image().pax(&[("size", b"2000")]).entry(b"rootfs/a", b'0', b"", |header| header.set_size(100));
    ground.accept(&tar.raw(&content).file("rootfs/b", b"after").end());
    assert_eq!(fs::read(ground.at("a")).unwrap(), content);
    assert_eq!(fs::read(ground.at("b")).unwrap(), b"after");
}

#[gate::root_test]
fn case_13_sparse_files_are_what_they_claim() {
    let ground = Ground::new();
    let version: [(&str, &[u8]); 2] = [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0")];
    let tar = Tar::image().pax(&version);
    ground.refuse(&tar.file("rootfs/GNUSparseFile.1/x", b"").end(), "GNU.sparse");
    let named = |size: &'static [u8], content: &[u8]| {
        let more: [(&str, &[u8]); 2] = [("GNU.sparse.name", b"rootfs/x"), ("GNU.sparse.realsize", size)];
        Tar::image().pax(&[version, more].concat()).file("rootfs/GNUSparseFile.1/x", content)
    };
    let mut map = b"1\n100000\n3\n".to_vec();
    map.resize(512, 0);
    map.extend(b"end");
    ground.refuse(&named(b"100002", &map).end(), "sparse map");
    ground.refuse(&named(b"99999999999999", &map).end(), "too large");
    ground.refuse(&named(b"100003", &map[..300]).end(), "sparse map");
    ground.accept(&named(b"100003", &map).file("rootfs/after", b"after").end());
    let found = fs::read(ground.at("x")).unwrap();
    assert!(
        found.len() == 100_003 && found.ends_with(b"end") && found[..100_000].iter().all(|byte| *byte == 0)
    );
    assert_eq!(fs::read(ground.at("after")).unwrap(), b"after");
}

#[gate::root_test]
fn case_14_huge_extended_headers() {
    let ground = Ground::new();
    ground.refuse(
        &Tar::image().pax(&[("comment", &vec![b'x'; 2 << 20])]).file("rootfs/a", b"").end(),
        "1048576",
    );
    let half = vec![b'a'; 600 << 10];
    let two = Tar::image().entry(b"l", b'K', &half, |_| {}).entry(b"l", b'L', &half, |_| {});
    ground.refuse(&two.file("rootfs/a", b"").end(), "1048576");
    // A size that nobody has, in a header of 512 bytes.
    let huge = Tar::image().entry(b"l", b'x', b"", |header| header.set_size(1 << 60));
    ground.refuse(&huge.end(), "1048576");
}

#[gate::root_test]
fn case_14_ambiguous_extended_headers() {
    let ground = Ground::new();
    let twice = Tar::image().pax(&[("path", b"rootfs/a")]).pax(&[("path", b"rootfs/b")]).file("x", b"");
    ground.refuse(&twice.end(), "two pax headers");
    let both =
        Tar::image().pax(&[("path", b"rootfs/a")]).entry(b"l", b'L', b"rootfs/b\0", |_| {}).file("x", b"");
    ground.refuse(&both.end(), "two names");
    ground.refuse(&Tar::image().pax(&[("path", b"rootfs/a")]).end(), "expected its entry");
    ground.refuse(&Tar::image().entry(b"p", b'x', b"99 path=a\n", |_| {}).file("x", b"").end(), "malformed");
    ground.refuse(&Tar::image().entry(b"p", b'g', b"10 path=a\n", |_| {}).file("x", b"").end(), "global");
    ground.accept(&Tar::image().entry(b"p", b'g', b"13 comment=x\n", |_| {}).end());
}

#[gate::root_test]
fn case_19_set_user_id_and_capabilities_survive_the_owner() {
    let ground = Ground::new();
    // vfs_cap_data, revision 2: effective, CAP_NET_RAW permitted (linux/capability.h).
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let records: &[(&str, &[u8])] =
        &[("SCHILY.xattr.security.capability", &capability), ("SCHILY.xattr.user.a", b"1\n2=3\0")];
    ground.accept(
        &Tar::image()
            .pax(records)
            .entry(b"rootfs/ping", b'0', b"elf", |header| {
                header.set_mode(0o4755);
                header.set_uid(1000);
                header.set_gid(3_000_000);
            })
            .end(),
    );
    let ping = fs::metadata(ground.at("ping")).unwrap();
    assert_eq!((ping.mode() & 0o7777, ping.uid(), ping.gid()), (0o4755, 1000, 3_000_000));
    assert_eq!(attribute(&ground.at("ping"), "security.capability"), capability);
    assert_eq!(attribute(&ground.at("ping"), "user.a"), b"1\n2=3\0");
}

#[gate::root_test]
fn case_20_attributes_that_steer_the_host() {
    let ground = Ground::new();
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque"] {
        let key = format!("SCHILY.xattr.{name}");
        ground.refuse(
            &Tar::image().pax(&[(&key, b"y")]).directory("rootfs/d", 0o755).end(),
            "extended attribute",
        );
    }
    let named = Tar::image().entry(b"PaxHeaders/\x1bd", b'x', b"26 SCHILY.xattr.user.=abcd\n", |_| {});
    ground.refuse(&named.file("rootfs/d", b"").end(), "extended header \"PaxHeaders/\\u{1b}d\"");
    let on_link = Tar::image().pax(&[("SCHILY.xattr.user.a", b"y")]).symlink("rootfs/l", "x");
    ground.refuse(&on_link.end(), "files and directories alone");
    // What only the host gives is skipped.
    let ground = Ground::new();
    let mut tar = Tar::image();
    for (number, name) in ["security.ima", "security.evm", "security.selinux", "trusted.a"].iter().enumerate()
    {
        tar = tar.pax(&[(&format!("SCHILY.xattr.{name}"), b"y")]).file(&format!("rootfs/{number}"), b"");
    }
    assert_eq!(ground.accept(&tar.end()).skipped().count, 4);
}

#[gate::root_test]
fn case_21_directories_and_times_are_exact() {
    let ground = Ground::new();
    let minus_one = |header: &mut tar::Header| header.as_old_mut().mtime = [0xff; 12];
    let tar = Tar::image()
        .entry(b"rootfs/d/", b'5', b"", |header| {
            header.set_mode(0o500);
            header.set_uid(7);
            minus_one(header);
        })
        .file("rootfs/d/child", b"x")
        .symlink("rootfs/d/link", "child")
        .entry(b"rootfs/zero", b'0', b"", |header| header.set_mtime(0))
        .pax(&[("mtime", b"-1.25"), ("uid", b"4294967294"), ("atime", b"1.5")])
        .file("rootfs/exact", b"")
        .file("rootfs/implied/file", b"")
        .directory("rootfs/late/sub/", 0o755)
        .directory("rootfs/late/", 0o1777);
    ground.accept(&tar.end());
    let at = |path: &str| fs::symlink_metadata(ground.at(path)).unwrap();
    assert_eq!((at("d").mode() & 0o7777, at("d").uid(), at("d").mtime()), (0o500, 7, -1));
    assert_eq!((at("d/child").mtime(), at("d/link").mtime()), (1_600_000_000, 1_600_000_000));
    assert_eq!(at("zero").mtime(), 0);
    let exact = at("exact");
    assert_eq!((exact.mtime(), exact.mtime_nsec(), exact.uid()), (-2, 750_000_000, u32::MAX - 1));
    assert_eq!(at("implied").mode() & 0o7777, 0o755);
    assert_eq!((at("late").mode() & 0o7777, at("late").mtime()), (0o1777, 1_600_000_000));
    assert_eq!(at("").mtime(), 1_600_000_000);
}

#[gate::root_test]
fn case_21_ids_that_mean_unchanged() {
    let ground = Ground::new();
    let header_id = Tar::image().entry(b"rootfs/a", b'0', b"", |header| header.set_uid(u64::from(u32::MAX)));
    ground.refuse(&header_id.end(), "4294967294");
    ground.refuse(&Tar::image().pax(&[("gid", b"4294967296")]).file("rootfs/a", b"").end(), "4294967294");
}
