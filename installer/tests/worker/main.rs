// SPDX-License-Identifier: Apache-2.0
//! Workers, looked at from outside while they wait for more of an archive; and what becomes of the installer when its
//! worker ends early, and the other way round.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "the harness takes what a test says")]
#![expect(clippy::unwrap_used, reason = "the lint's exception for tests does not see a test's fixtures")]

mod fixture;
mod memory;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use fixture::{Waiting, ended, slow_image, worker_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use store::TreeKind;
use store::unpacker::{Descriptors, is_at_work, spawn};

/// Set where this test program plays an installer that is killed.
const ROLE: &str = "GANTRY_TEST_ROLE";

#[gate::root_test]
fn a_worker_sees_the_tree_and_nothing_else() {
    let waiting = Waiting::begin();
    let of = |file: &str| format!("/proc/{}/{file}", waiting.pid());
    let status = fs::read_to_string(of("status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    // linux/seccomp.h, SECCOMP_MODE_FILTER.
    assert_eq!(field("Seccomp"), "2");
    // linux/capability.h: CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, MKNOD 27, SETFCAP 31.
    let six: u64 = [0, 1, 3, 4, 27, 31].iter().map(|number| 1 << number).sum();
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(set), format!("{six:016x}"), "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(field(set), format!("{:016x}", 0), "{set}");
    }
    assert_eq!(field("Umask"), "0000");
    let limits = fs::read_to_string(of("limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(|word| word.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max core file size"), [Some(0); 2]);
    // 12 MiB for names and 66 MiB for decoders by default, and as much again as it all takes.
    assert_eq!(limit("Max data size"), [Some((12 + 66 + 64) << 20); 2]);

    let root = fs::metadata(of("root/.")).unwrap();
    let tree = fs::metadata(waiting.tree()).unwrap();
    assert_eq!((root.dev(), root.ino()), (tree.dev(), tree.ino()));
    let mounts = fs::read_to_string(of("mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    for option in ["nosuid", "nodev", "noexec"] {
        assert!(mounts.contains(option), "{mounts}");
    }
    for namespace in ["mnt", "net", "ipc"] {
        let link = format!("ns/{namespace}");
        let own = fs::read_link(format!("/proc/self/{link}")).unwrap();
        assert_ne!(fs::read_link(of(&link)).unwrap(), own, "{namespace}");
    }
    assert_eq!(fs::read(of("environ")).unwrap(), b"");
}

#[gate::root_test]
fn a_worker_has_no_descriptor_that_leads_out() {
    // As a caller may have left it open: a duplicate survives exec.
    let leaked = rustix::io::dup(File::open("/").unwrap()).unwrap();
    let waiting = Waiting::begin();
    drop(leaked);
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).unwrap();
    let expected: BTreeSet<_> = waiting.descriptors().into_iter().collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", waiting.pid())).unwrap() {
        let path = entry.unwrap().path();
        // Files of the tree itself.
        if !fs::read_link(&path).unwrap().starts_with("/rootfs") {
            found.insert(id(&path));
        }
        if fs::metadata(&path).unwrap().is_dir() {
            let above = id(&path.join(".."));
            assert!(above == id(&path) || above == id(&waiting.tree()), "{} leads out", path.display());
        }
    }
    assert_eq!(found, expected);
}

#[gate::root_test]
fn a_worker_that_can_not_be_confined_reads_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let mut archive = slow_image(outer.path());
    let (mut message, result) = std::io::pipe().unwrap();
    // Nothing can be mounted on what is gone.
    let tree = outer.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let root = File::open(&tree).unwrap();
    fs::remove_dir(tree).unwrap();
    let descriptors = Descriptors {
        archive: archive.try_clone().unwrap().into(),
        record: File::create(outer.path().join("record")).unwrap().into(),
        result: result.into(),
        root: std::os::fd::AsFd::as_fd(&root),
    };
    let mut child =
        spawn(fixture::INSTALLER.as_ref(), TreeKind::Image, &fixture::job(), descriptors).unwrap();
    let mut text = String::new();
    message.read_to_string(&mut text).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(text.contains("cannot confine") && text.contains("the new tree the root"), "{text}");
    assert_eq!(archive.stream_position().unwrap(), 0);
}

/// Not a test of its own: the installer that [`a_worker_ends_with_its_installer`] kills.
#[test]
fn an_installer() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut waiting =
        Waiting::reading(std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap());
    println!("\nworker {} {}", waiting.pid(), waiting.place().display());
    waiting.wait();
}

#[gate::root_test]
fn a_worker_ends_with_its_installer() {
    let mut installer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_installer", "--nocapture"])
        .env(ROLE, "installer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Held to the end, so that the worker waits for more of it.
    let mut archive = installer.stdin.take().unwrap();
    archive.write_all(&fixture::beginning()).unwrap();
    let lines = BufReader::new(installer.stdout.take().unwrap()).lines();
    let line = lines.map(|line| line.unwrap()).find(|line| line.starts_with("worker ")).unwrap();
    let mut words = line.split(' ').skip(1);
    let worker = ended(words.next().unwrap().parse().unwrap());
    let place = Path::new(words.next().unwrap());
    let is_at_work = || is_at_work(File::open(place).unwrap()).unwrap();
    assert!(is_at_work(), "the worker has the record locked");
    installer.kill().unwrap();
    installer.wait().unwrap();
    worker.wait();
    assert!(!is_at_work(), "the lock goes with the worker");
    fs::remove_dir_all(place).unwrap();
}

#[gate::root_test]
fn an_installer_whose_worker_is_killed_fails() {
    let outer = tempfile::tempdir().unwrap();
    let mut installer = fixture::prepare(outer.path());
    kill(worker_of(&mut installer), Signal::SIGKILL).unwrap();
    let (code, said) = fixture::end(&mut installer);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("unpacking process was ended by signal 9"), "{said}");
    assert!(!outer.path().join("dir").exists(), "something is left");
}

#[gate::root_test]
fn an_interrupt_ends_the_worker() {
    let outer = tempfile::tempdir().unwrap();
    let mut installer = fixture::prepare(outer.path());
    let worker = ended(worker_of(&mut installer).as_raw());
    kill(Pid::from_raw(installer.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let (code, said) = fixture::end(&mut installer);
    worker.wait();
    assert_eq!((code, said.trim()), (Some(143), "interrupted"));
    assert!(!outer.path().join("dir").exists(), "something is left");
}
