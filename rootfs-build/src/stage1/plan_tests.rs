// SPDX-License-Identifier: Apache-2.0

use super::*;
use crate::index::tests::index;

/// Makes an ELF file that needs nothing: this program's header, without program and section headers.
fn plain_elf() -> Vec<u8> {
    let mut bytes = fs::read(std::env::current_exe().unwrap()).unwrap()[..64].to_vec();
    // e_phoff, e_shoff; e_phnum, e_shnum, e_shstrndx
    bytes[32..48].fill(0);
    bytes[56..58].fill(0);
    bytes[60..64].fill(0);
    bytes
}

fn shown(tree: &Tree<'_>) -> String {
    let line = |(path, node): (&Path, &Node<'_>)| match node {
        Node::Directory { mode } => format!("{mode:04o} {}/\n", path.display()),
        Node::File { mode, bytes } => format!("{mode:04o} {} {}\n", path.display(), bytes.len()),
        Node::Symlink(target) => format!("{} -> {}\n", path.display(), target.display()),
    };
    tree.entries().map(line).collect()
}

fn packages(elf: &[u8]) -> Index {
    index(&[
        ("base-files", "usr/lib/os-release", Ok(b"ID=x\n")),
        ("base-files", "usr/share/common-licenses/GPL-2", Ok(b"gpl")),
        ("base-files", "usr/share/common-licenses/GPL-1", Ok(b"old")),
        ("base-files", "usr/share/doc/base-files/copyright", Ok(b"base")),
        ("systemd", "lib/systemd/systemd", Ok(elf)),
        ("systemd", "lib/systemd/systemd-shutdown", Ok(elf)),
        ("systemd", "usr/share/doc/systemd/copyright", Ok(b"/usr/share/common-licenses/GPL-2, GPL-1")),
        ("systemd-container", "usr/bin/systemd-nspawn", Ok(elf)),
        ("systemd-container", "usr/share/doc/systemd-container", Err("systemd")),
        ("unused", "usr/share/doc/unused/copyright", Ok(b"unused")),
    ])
}

#[test]
fn the_layout() {
    let elf = plain_elf();
    let index = packages(&elf);
    let units = tempfile::tempdir().unwrap();
    fs::create_dir(units.path().join("a.target.wants")).unwrap();
    fs::write(units.path().join("b.service"), "b").unwrap();
    std::os::unix::fs::symlink("../b.service", units.path().join("a.target.wants/b.service")).unwrap();
    let plan = plan(&index, &Target::host().unwrap(), Libraries::Called, b"init", units.path()).unwrap();
    assert_eq!((plan.packages, plan.mtime), (3, 64));
    let expected = "\
bin -> usr/bin
0755 dev/
0755 etc/
etc/os-release -> ../usr/lib/os-release
0755 etc/systemd/
0755 etc/systemd/system/
0555 init 4
lib -> usr/lib
lib64 -> usr/lib64
0755 opt/
0755 opt/stage2/
0755 proc/
0755 rkt/
0755 rkt/status/
0700 root/
0755 run/
sbin -> usr/sbin
0755 sys/
1777 tmp/
0755 usr/
0755 usr/bin/
0755 usr/bin/systemd-nspawn 64
0755 usr/lib/
0755 usr/lib/gantry/
usr/lib/gantry/boot -> ../../../init
usr/lib/gantry/exit-code -> ../../../init
usr/lib/gantry/launch -> ../../../init
usr/lib/gantry/metadata -> ../../../init
usr/lib/gantry/status -> ../../../init
0644 usr/lib/os-release 5
0755 usr/lib/systemd/
0755 usr/lib/systemd/system/
0755 usr/lib/systemd/system/a.target.wants/
usr/lib/systemd/system/a.target.wants/b.service -> ../b.service
0644 usr/lib/systemd/system/b.service 1
0755 usr/lib/systemd/systemd 64
0755 usr/lib/systemd/systemd-shutdown 64
0755 usr/lib64/
0755 usr/sbin/
0755 usr/share/
0755 usr/share/common-licenses/
0644 usr/share/common-licenses/GPL-2 3
0755 usr/share/doc/
0755 usr/share/doc/base-files/
0644 usr/share/doc/base-files/copyright 4
0755 usr/share/doc/systemd/
0644 usr/share/doc/systemd/copyright 39
0755 usr/share/doc/systemd-container/
usr/share/doc/systemd-container/copyright -> ../systemd/copyright
0755 usr/share/gantry/
0644 usr/share/gantry/packages.json 665
0755 var/
1777 var/tmp/
";
    assert_eq!(shown(&plan.tree), expected);
}

#[test]
fn the_list_of_packages_is_json_in_order() {
    let elf = plain_elf();
    let json = package_list(&packages(&elf), &BTreeSet::from([1, 0])).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let names: Vec<_> =
        list.as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base-files", "systemd"]);
    assert_eq!(list[0]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn what_is_missing_or_collides_is_named() {
    let elf = plain_elf();
    let (index, target) = (packages(&elf), Target::host().unwrap());
    let units = tempfile::tempdir().unwrap();
    let error = format!(
        "{:#}",
        plan(&index, &target, Libraries::Called, b"", &units.path().join("none")).err().unwrap()
    );
    assert!(error.starts_with("read units in /") && error.contains("none: No such file"), "{error}");
    let empty = crate::index::tests::index(&[]);
    let error = plan(&empty, &target, Libraries::Called, b"", units.path()).err().unwrap().to_string();
    assert_eq!(error, "/usr/bin/systemd-nspawn is in none of the packages");
    std::os::unix::net::UnixListener::bind(units.path().join("socket")).unwrap();
    let error = format!("{:#}", plan(&index, &target, Libraries::Called, b"", units.path()).err().unwrap());
    assert!(error.ends_with("socket: expected files, directories and symbolic links"), "{error}");
}
#[test]
fn only_what_may_be_asked_for_is_kept() {
    let table = [
        ("usr/lib/x86_64-linux-gnu/libc.so.6", true),
        ("usr/lib/systemd/systemd", true),
        ("usr/lib/systemd/systemd-executor", true),
        ("usr/lib/systemd/systemd-journald", false),
        ("usr/share/doc/x/copyright", true),
        ("usr/share/doc/x/changelog.gz", false),
        ("usr/share/common-licenses/GPL-2", true),
        ("usr/bin/bash", false),
    ];
    for (path, expected) in table {
        assert_eq!(wanted(Path::new(path)), expected, "{path}");
    }
}
