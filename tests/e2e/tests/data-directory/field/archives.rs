// SPDX-License-Identifier: Apache-2.0
//! Archives as tar(1) and others write them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::path::Path;

use gate::root_test;
use testing::image::manifest;

use super::super::hostile_archives::writer::Tar;
use super::{Source, verify};

const MEBIBYTE: u64 = 1 << 20;

/// Returns an attribute's value, if the file has it.
fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    sys::xattrs::get(File::open(path).unwrap(), name.as_bytes()).unwrap()
}

/// Returns the stream of an image with a manifest and a program, which more entries can follow.
fn image() -> Tar {
    Tar::default()
        .file("manifest", manifest("field", &["/a"]).to_string().as_bytes())
        .directory("rootfs/", 0o755)
}

/// Writes an image's file.
fn written(source: &Source, bytes: &[u8]) -> std::path::PathBuf {
    let path = source.gantry.beside("image.aci");
    fs::write(&path, bytes).unwrap();
    path
}

/// Labels of SELinux are the host's to give, and those of other systems mean nothing here.
#[root_test]
fn foreign_attributes_are_skipped_and_counted_in_one_warning() {
    let source = Source::new();
    let mut tar = image();
    for number in 0..40_000 {
        tar = tar
            .pax(&[
                ("SCHILY.xattr.security.selinux", b"system_u:object_r:bin_t:s0\0"),
                ("RHT.security.selinux", b"system_u:object_r:bin_t:s0\0"),
            ])
            .file(&format!("rootfs/{number}"), b"");
    }
    // A link can't have others, but a label.
    tar = tar.pax(&[("SCHILY.xattr.security.selinux", b"x\0")]).symlink("rootfs/link", "a");
    tar = tar.pax(&[("SCHILY.xattr.com.apple.quarantine", b"q"), ("SCHILY.xattr.user.kept", b"yes")]);
    let image = written(&source, &tar.file("rootfs/kept", b"").end());
    let imported = source.import(&image);
    let warnings: Vec<_> = imported.said.lines().filter(|line| line.contains("attribute")).collect();
    assert_eq!(warnings.len(), 1, "{}", imported.said);
    for part in ["80002", "security.selinux", "com.apple.quarantine"] {
        assert!(warnings[0].contains(part), "{part}: {}", warnings[0]);
    }
    assert_eq!(attribute(&imported.root.join("kept"), "user.kept").as_deref(), Some(&b"yes"[..]));
    verify(&source.gantry);
}

/// Bsdtar writes attributes under keys of its own, in base64, and often under both.
#[root_test]
fn attributes_are_kept_under_the_keys_of_other_tars() {
    let source = Source::new();
    let tar = image()
        .pax(&[("LIBARCHIVE.xattr.user.one", b"eWVz")])
        .file("rootfs/one", b"")
        .pax(&[("LIBARCHIVE.xattr.user.tw%6F", b"eWVz"), ("SCHILY.xattr.user.two", b"yes")])
        .file("rootfs/two", b"");
    let imported = source.import(&written(&source, &tar.end()));
    for name in ["one", "two"] {
        let found = attribute(&imported.root.join(name), &format!("user.{name}"));
        assert_eq!(found.as_deref(), Some(&b"yes"[..]), "{name}");
    }
    verify(&source.gantry);
}

/// What steers overlays would make another tree of it.
#[root_test]
fn attributes_that_change_a_trees_meaning_are_refused_under_each_key() {
    let source = Source::new();
    for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
        for (key, value) in [("SCHILY", b"y".as_slice()), ("LIBARCHIVE", b"eQ==")] {
            let key = format!("{key}.xattr.{name}");
            let tar = image().pax(&[(&key, value)]).directory("rootfs/d/", 0o755);
            source.refuse(&written(&source, &tar.end()), &[name, "extended attribute"]);
        }
    }
}

/// Makes a sparse file: a byte, a hole, four bytes, and a hole at the end.
fn make_sparse(path: &Path) -> Vec<u8> {
    let file = File::create(path).unwrap();
    file.set_len(48 * MEBIBYTE).unwrap();
    file.write_all_at(b"a", 0).unwrap();
    file.write_all_at(b"data", 24 * MEBIBYTE + 17).unwrap();
    fs::read(path).unwrap()
}

/// Each form that GNU tar knows, some of which it writes by default.
#[root_test]
fn sparse_files_stay_sparse_in_every_form() {
    for form in [
        &["--format=oldgnu", "-S"][..],
        &["--format=gnu", "-S"],
        &["--format=posix", "-S", "--sparse-version=0.0"],
        &["--format=posix", "-S", "--sparse-version=0.1"],
        &["--format=posix", "-S", "--sparse-version=1.0"],
        // Written whole.
        &["--format=posix"],
    ] {
        let source = Source::new();
        let content = make_sparse(&source.at("rootfs/sparse"));
        fs::write(source.at("rootfs/z-after"), "after").unwrap();
        // More extents than one header has.
        let many = File::create(source.at("rootfs/many")).unwrap();
        for number in 0..100 {
            many.write_all_at(b"x", number * MEBIBYTE / 4).unwrap();
        }
        let imported = source.import(&source.tar(form));
        for (name, expected) in [("sparse", content), ("many", fs::read(source.at("rootfs/many")).unwrap())] {
            let path = imported.root.join(name);
            assert!(fs::read(&path).unwrap() == expected, "{form:?}: {name}");
            let allocated = fs::metadata(&path).unwrap().blocks() * 512;
            assert!(allocated < MEBIBYTE, "{form:?}: {name} takes {allocated} bytes");
        }
        assert_eq!(fs::read(imported.root.join("z-after")).unwrap(), b"after", "{form:?}");
        verify(&source.gantry);
    }
}

/// A map says which parts of a file are in the archive.
#[root_test]
fn hostile_sparse_maps_are_refused() {
    let source = Source::new();
    let record = |map: &str, size: &str, content: &[u8]| {
        let records = [
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
            ("GNU.sparse.numblocks", b"1"),
        ];
        image().pax(&records).file("rootfs/s", content).end()
    };
    for (map, size, content, why) in [
        ("4,4,0,4", "100", b"12345678".as_slice(), "sparse"),
        ("0,4,2,4", "100", b"12345678", "sparse"),
        ("0,4", "2", b"1234", "sparse"),
        ("0,4", "100", b"12345678", "sparse"),
        ("0,8", "100", b"1234", "sparse"),
        ("18446744073709551615,4", "100", b"1234", "sparse"),
        ("0", "100", b"", "sparse"),
        ("0,x", "100", b"1", "GNU.sparse.map"),
        // Claims more than may be unpacked at all.
        ("0,4", "99999999999999", b"1234", "too large"),
    ] {
        source.refuse(&written(&source, &record(map, size, content)), &["image.aci", why]);
    }
}

/// What the header of a label, of an old tar or of an incremental dump means.
#[root_test]
fn labels_old_headers_and_dumps_are_read() {
    for form in [
        &["--format=gnu", "-V", "a label"][..],
        &["--format=posix", "-V", "a label"],
        &["--format=v7"],
        &["--format=gnu", "-g", "../dumped"],
        &["--format=posix", "-g", "../dumped"],
    ] {
        let source = Source::new();
        // In an incremental dump, directories come first, with the names that they had.
        let imported = source.import(&source.tar(form));
        assert_eq!(fs::read(imported.root.join("etc/passwd")).unwrap(), b"root:x:0:0:::\n", "{form:?}");
        verify(&source.gantry);
    }
    let source = Source::new();
    let contiguous = image().entry(b"rootfs/c", b'7', b"whole", |_| {});
    let imported = source.import(&written(&source, &contiguous.end()));
    assert_eq!(fs::read(imported.root.join("c")).unwrap(), b"whole");
    // The rest is on another volume.
    let source = Source::new();
    let continued = image().entry(b"rootfs/c", b'M', b"", |_| {});
    source.refuse(&written(&source, &continued.end()), &["rootfs/c", "continued"]);
}

/// `tar -r` is how people replace the manifest of an image.
#[root_test]
fn of_two_entries_with_one_name_the_last_wins() {
    let source = Source::new();
    symlink("etc", source.at("rootfs/link")).unwrap();
    fs::create_dir(source.at("rootfs/empty")).unwrap();
    source.write("rootfs/file", b"first");
    source.tar(&[]);
    source.manifest(&manifest("replaced", &["/a"]));
    source.write("rootfs/file", b"second");
    fs::set_permissions(source.at("rootfs/etc"), PermissionsExt::from_mode(0o700)).unwrap();
    fs::remove_file(source.at("rootfs/link")).unwrap();
    source.write("rootfs/link", b"a file now");
    fs::remove_dir(source.at("rootfs/empty")).unwrap();
    source.write("rootfs/empty", b"a file, too");
    let image =
        source.run_tar(&["-rf", "manifest", "rootfs/file", "rootfs/etc", "rootfs/link", "rootfs/empty"]);
    let imported = source.import(&image);
    let read = |name: &str| fs::read_to_string(imported.root.join(name)).unwrap();
    assert_eq!(
        (read("file"), read("link"), read("empty")),
        ("second".into(), "a file now".into(), "a file, too".into())
    );
    assert_eq!(fs::metadata(imported.root.join("etc")).unwrap().mode() & 0o7777, 0o700);
    let list = source.gantry.installer().args(["image", "list"]).output().unwrap();
    assert!(testing::pods::text(&list.stdout).contains("example.com/replaced"));
    verify(&source.gantry);
}

/// A name through a link would be written somewhere else.
#[root_test]
fn what_would_pass_through_a_link_is_refused_whichever_comes_last() {
    let source = Source::new();
    let through = image().symlink("rootfs/l", "etc").file("rootfs/l/x", b"").end();
    source.refuse(&written(&source, &through), &["rootfs/l"]);
    let replaced =
        image().directory("rootfs/d/", 0o755).symlink("rootfs/d", "/etc").file("rootfs/d/x", b"").end();
    source.refuse(&written(&source, &replaced), &["rootfs/d"]);
    let full =
        image().directory("rootfs/d/", 0o755).file("rootfs/d/x", b"").symlink("rootfs/d", "/etc").end();
    source.refuse(&written(&source, &full), &["rootfs/d", "directory"]);
    // A link that was replaced by a directory leads nowhere.
    let sound =
        image().symlink("rootfs/l", "/etc").directory("rootfs/l/", 0o755).file("rootfs/l/x", b"in").end();
    let imported = source.import(&written(&source, &sound));
    assert_eq!(fs::read(imported.root.join("l/x")).unwrap(), b"in");
    verify(&source.gantry);
}

/// `tar --acls` writes them as text, names without numbers included.
#[root_test]
fn acls_as_text_are_kept() {
    let source = Source::new();
    source.write("rootfs/etc/passwd", b"root:x:0:0:::\nlisa:x:1234:1234:::\n");
    source.write("rootfs/etc/group", b"root:x:0:\nstaff:x:50:\n");
    fs::create_dir(source.at("rootfs/d")).unwrap();
    source.write("rootfs/f", b"");
    // Version 2; tag, permissions, id (linux/posix_acl_xattr.h).
    let entry = |tag: u16, permissions: u16, id: u32| {
        [tag.to_le_bytes().as_slice(), &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let acl: Vec<u8> = [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 7, none),
        entry(2, 5, 54_321),
        entry(4, 4, none),
        entry(8, 6, 43_210),
        entry(16, 7, none),
        entry(32, 0, none),
    ]
    .concat();
    let (access, default) = ("system.posix_acl_access", "system.posix_acl_default");
    sys::xattrs::set(File::open(source.at("rootfs/f")).unwrap(), access.as_bytes(), &acl).unwrap();
    let directory = File::open(source.at("rootfs/d")).unwrap();
    sys::xattrs::set(&directory, access.as_bytes(), &acl).unwrap();
    sys::xattrs::set(&directory, default.as_bytes(), &acl).unwrap();
    let imported = source.import(&source.tar(&["--acls", "--format=posix"]));
    assert_eq!(attribute(&imported.root.join("f"), access).as_ref(), Some(&acl));
    assert_eq!(attribute(&imported.root.join("d"), access).as_ref(), Some(&acl));
    assert_eq!(attribute(&imported.root.join("d"), default).as_ref(), Some(&acl));
    verify(&source.gantry);
    // As star writes it, with the number in a field of its own.
    let star = "user::rwx,user:lisa:r-x:54321,group::r--,group:staff:rw-:43210,mask::rwx,other::---";
    let tar = image().pax(&[("SCHILY.acl.access", star.as_bytes())]).file("rootfs/f", b"");
    let of_star = Source::new();
    let imported = of_star.import(&written(&of_star, &tar.end()));
    assert_eq!(attribute(&imported.root.join("f"), access).as_ref(), Some(&acl));
    let unknown =
        image().pax(&[("SCHILY.acl.access", b"user::rwx,user:who:r--,group::r--,mask::r--,other::---")]);
    let nobody = Source::new();
    nobody.refuse(
        &written(&nobody, &unknown.file("rootfs/f", b"").end()),
        &["SCHILY.acl.access", "who", "--numeric-owner"],
    );
    for bad in
        ["user::rwx", "user::rwx,group::r--,other::r-q", "user::rwx,group::r--,other::---,other::---", "x"]
    {
        let tar = image().pax(&[("SCHILY.acl.access", bad.as_bytes())]).file("rootfs/f", b"");
        nobody.refuse(&written(&nobody, &tar.end()), &["SCHILY.acl.access"]);
    }
}

/// The preset that people use for images.
#[root_test]
fn what_xz_9_compresses_is_read_by_default() {
    let source = Source::new();
    let image = source.tar(&[]);
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 9);
    xz.write_all(&fs::read(&image).unwrap()).unwrap();
    source.import(&written(&source, &xz.finish().unwrap()));
}

/// Nothing says in which order the names of a file stand.
#[root_test]
fn a_hard_link_may_come_before_its_target() {
    let source = Source::new();
    let tar = image()
        .hard_link("rootfs/one", "rootfs/two")
        .hard_link("rootfs/two", "rootfs/d/three")
        .file("rootfs/d/three", b"content");
    let imported = source.import(&written(&source, &tar.end()));
    let inode = |name: &str| fs::metadata(imported.root.join(name)).unwrap().ino();
    assert_eq!((inode("one"), inode("two")), (inode("d/three"), inode("d/three")));
    verify(&source.gantry);
    let source = Source::new();
    for tar in [
        image().hard_link("rootfs/one", "rootfs/none"),
        image().hard_link("rootfs/one", "rootfs/two").hard_link("rootfs/two", "rootfs/one"),
        image().hard_link("rootfs/one", "rootfs/d").directory("rootfs/d/", 0o755),
        image().hard_link("rootfs/one", "rootfs/l/x").symlink("rootfs/l", "/etc"),
    ] {
        source.refuse(&written(&source, &tar.end()), &["rootfs/one", "hard link"]);
    }
}

/// What `tar --pax-option=mtime=…` writes, and git-archive.
#[root_test]
fn a_global_header_may_have_a_time_and_an_owner() {
    let source = Source::new();
    let global =
        |records: &[(&str, &[u8])]| Tar::default().entry(b"g", b'g', &Tar::records(records), |_| {}).stream();
    let start = global(&[("mtime", b"1000000000.5"), ("uid", b"7"), ("comment", b"x")]);
    let middle = global(&[("mtime", b"2000000000")]);
    let tar = image().stream();
    let one = Tar::default().file("rootfs/one", b"").pax(&[("mtime", b"5")]).file("rootfs/own", b"").stream();
    let two = Tar::default().file("rootfs/two", b"").end();
    let imported = source.import(&written(&source, &[start, tar, one, middle, two].concat()));
    let at = |name: &str| {
        let found = fs::metadata(imported.root.join(name)).unwrap();
        (found.mtime(), found.mtime_nsec(), found.uid())
    };
    assert_eq!(at("one"), (1_000_000_000, 500_000_000, 7));
    assert_eq!((at("own"), at("two")), ((5, 0, 7), (2_000_000_000, 0, 7)));
    let source = Source::new();
    for key in ["path", "linkpath", "size", "SCHILY.xattr.user.a", "GNU.sparse.size", "SCHILY.acl.access"] {
        let tar = [global(&[(key, b"1")]), image().end()].concat();
        source.refuse(&written(&source, &tar), &["global", key]);
    }
}

/// `gzip -t` takes padding, as copies from tapes and devices have it.
#[root_test]
fn zeros_after_a_compressed_stream_are_padding() {
    for padding in [1, 511, 70_000] {
        let source = Source::new();
        let image = fs::read(source.tar(&[])).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&image).unwrap();
        let padded = [gzip.finish().unwrap(), vec![0; padding]].concat();
        source.import(&written(&source, &padded));
    }
}

/// An intact entry isn't blamed for what comes after the last one.
#[root_test]
fn garbage_after_a_compressed_stream_is_called_that() {
    let source = Source::new();
    let image = fs::read(source.tar(&[])).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&image).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(image.as_slice(), 1).unwrap();
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&image).unwrap();
    let xz = xz.finish().unwrap();
    for stream in [gzip, zstd, xz] {
        for garbage in [b"garbage".as_slice(), b"\0\0\0\0garbage", &[0x1f]] {
            let file = written(&source, &[stream.as_slice(), garbage].concat());
            let output = source.try_import(&file);
            super::refused(&output, &["image.aci", "stream", "end"]);
            assert!(!testing::pods::text(&output.stderr).contains("entry"), "{output:?}");
        }
    }
}
