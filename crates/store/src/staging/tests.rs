// SPDX-License-Identifier: Apache-2.0
//! Tests in real directories: DIR is made, swept, published into, and removed again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::CWD;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;
use crate::listener::Silent;
use sys::Interrupt;

const DEAD: &str = "6733c088-a507-4694-aabf-ae0bc1ccaaff";

/// Held exclusively by tests that start processes: until it executes its program, a new process has all locks of this
/// one.
pub static STARTING: RwLock<()> = RwLock::new(());

/// Waits until no other test starts processes that would share this test's locks.
pub fn nobody_starts() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

fn data_dir_in(dir: &Path) -> Result<DataDir> {
    DataDir::open(dir, &Interrupt::default(), &Silent)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[gate::root_test]
fn a_pod_directory_appears_whole() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/b");
    let data_dir = data_dir_in(&dir).unwrap();
    let staging = Staging::create(&data_dir).unwrap();
    drop(staging.make_directory("stage1").unwrap());
    staging.write_file("container", b"manifest").unwrap();
    let name = CString::new(staging.id().to_string()).unwrap();
    assert_eq!(names(&dir.join("containers")), [""; 0]);
    assert_eq!(staging.publish(&data_dir.containers, &name, Sync::Files).unwrap(), Published::New);

    let pod = dir.join("containers").join(staging.id().to_string());
    assert_eq!(names(&dir.join("staging")), [""; 0]);
    assert_eq!(names(&pod), ["container", "stage1"]);
    assert_eq!(fs::read(pod.join("container")).unwrap(), b"manifest");
    for private in [&dir, &dir.join("containers"), &dir.join("staging"), &dir.join("store"), &pod] {
        assert_eq!(mode(private), 0o700, "{}", private.display());
    }
    staging.withdraw(&data_dir.containers, &name);
    drop(staging);
    drop(data_dir);
    assert_eq!(names(outer.path()), [""; 0], "nothing of it is left, nor what was made for it");
}

#[gate::root_test]
fn what_is_there_stays_unless_it_is_to_be_replaced() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    let data_dir = data_dir_in(outer.path()).unwrap();
    let publish = |content: &[u8], replace: bool| {
        let staging = Staging::create(&data_dir).unwrap();
        staging.write_file("file", content).unwrap();
        let published = staging.publish(&data_dir.trees, c"tree", Sync::FileSystem).unwrap();
        if replace {
            let replaced = lock(&data_dir.trees, c"tree").unwrap().unwrap();
            staging.replace(c"tree").unwrap();
            staging.remove().unwrap();
            drop(replaced);
        }
        (published, fs::read(outer.path().join("store/tree-v1/tree/file")).unwrap())
    };
    let first = Staging::create(&data_dir).unwrap();
    first.write_file("file", b"first").unwrap();
    assert_eq!(first.publish(&data_dir.trees, c"tree", Sync::FileSystem).unwrap(), Published::New);
    drop(first);
    assert_eq!(publish(b"second", false), (Published::Taken, b"first".to_vec()));
    assert_eq!(publish(b"third", true), (Published::Taken, b"third".to_vec()));
    assert_eq!(names(&outer.path().join("staging")), [""; 0]);
    // Another process may be using the directory that it was exchanged with.
    let last = Staging::create(&data_dir).unwrap();
    last.replace(c"tree").unwrap();
    drop(last);
    assert_eq!(names(&outer.path().join("staging")).len(), 1);
}

#[gate::root_test]
fn the_dead_are_swept_and_the_living_stay() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    let canary = outer.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "alive").unwrap();
    let data_dir = data_dir_in(&outer.path().join("dir")).unwrap();
    let entries = outer.path().join("dir/staging");
    let alive = Staging::create(&data_dir).unwrap();
    fs::create_dir_all(entries.join(DEAD).join("d/e")).unwrap();
    fs::write(entries.join(DEAD).join("d/e/f"), "x").unwrap();
    fs::set_permissions(entries.join(DEAD).join("d"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink(&canary, entries.join(DEAD).join("d/link")).unwrap();
    fs::create_dir(entries.join("not-ours")).unwrap();

    Staging::sweep(&data_dir).unwrap();
    let second = Staging::create(&data_dir).unwrap();
    let mut expected = vec![alive.id().to_string(), second.id().to_string(), "not-ours".to_owned()];
    expected.sort();
    assert_eq!(names(&entries), expected);
    assert_eq!(fs::read(canary.join("file")).unwrap(), b"alive");
    drop(alive);
    drop(second);
    assert_eq!(names(&entries), ["not-ours"]);
}

/// Makes nested directories, each with a file and an empty directory on both sides of the way down.
fn deep_tree(top: &Path, depth: usize) {
    let mut directory = openat(CWD, top, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        for name in ["a", "b", "c"] {
            mkdirat(&directory, name, Mode::RWXU).unwrap();
        }
        openat(&directory, "file", OFlags::CREATE | OFlags::WRONLY, FILE_MODE).unwrap();
        directory = openat(&directory, "b", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

/// Runs in a process of its own, with a descriptor limit that is a small part of the tree's depth.
#[gate::root_test]
fn a_dead_tree_of_any_depth_is_swept() {
    const CHILD: &str = "GANTRY_TEST_SWEEP_IN";
    if let Some(dir) = std::env::var_os(CHILD) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(32), maximum: Some(32) }).unwrap();
        return drop(Staging::sweep(&data_dir_in(Path::new(&dir)).unwrap()).unwrap());
    }
    let nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    data_dir_in(outer.path()).unwrap().keep();
    let entries = outer.path().join("staging");
    fs::create_dir(entries.join(DEAD)).unwrap();
    deep_tree(&entries.join(DEAD), 1000);
    drop(nobody_starts);
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "staging::tests::a_dead_tree_of_any_depth_is_swept"]).env(CHILD, outer.path());
    let alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let child = test.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    drop(alone);
    let output = child.unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(names(&entries), [""; 0]);
}

#[gate::root_test]
fn what_a_worker_is_at_work_in_is_not_swept() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    let data_dir = data_dir_in(outer.path()).unwrap();
    let entries = outer.path().join("staging");
    fs::create_dir(entries.join(DEAD)).unwrap();
    let record = File::create(entries.join(DEAD).join(pod::layout::TREE_RECORD)).unwrap();
    assert!(sys::locks::try_lock_alone(&record).unwrap());
    Staging::sweep(&data_dir).unwrap();
    assert_eq!(names(&entries), [DEAD]);
    drop(record);
    Staging::sweep(&data_dir).unwrap();
    assert_eq!(names(&entries), [""; 0]);
}

#[gate::root_test]
fn a_sweep_does_not_take_what_was_published_meanwhile() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    let data_dir = data_dir_in(outer.path()).unwrap();
    let staging = Staging::create(&data_dir).unwrap();
    let name = staging.name.clone();
    assert!(lock(&data_dir.staging, &name).unwrap().is_none(), "its builder has it");
    let DataDir { staging: from, containers, .. } = &data_dir;
    renameat_with(from, &name, containers, &name, RenameFlags::NOREPLACE).unwrap();
    drop(staging);
    assert!(lock(&data_dir.staging, &name).unwrap().is_none(), "it is no longer there");
    assert_eq!(names(&outer.path().join("containers")).len(), 1);
}

#[gate::root_test]
fn a_directory_in_use_is_not_unmade() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("dir");
    let first = data_dir_in(&dir).unwrap();
    let second = data_dir_in(&dir).unwrap();
    drop(first);
    assert_eq!(names(&dir), ["containers", "staging", "store"]);
    Staging::create(&second).unwrap();
}

#[gate::root_test]
fn directories_that_others_can_write_to_are_refused() {
    let _nobody_starts = nobody_starts();
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(format!("{:#}", data_dir_in(outer.path()).unwrap_err()).contains("others can write"));
    assert_eq!(names(outer.path()), [""; 0]);
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused() {
    for path in ["/proc/gantry", "/dev/null/gantry"] {
        data_dir_in(Path::new(path)).unwrap_err();
    }
}
