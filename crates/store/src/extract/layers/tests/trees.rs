// SPDX-License-Identifier: Apache-2.0
//! Trees over each other: each rule, and random trees against a model of the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use pod::path::RelativePath;

use super::{Unpacked, frame};
use crate::extract::layers::{Paths, Source, stack};
use crate::fault::Result;
use crate::record::Sealed;
use archive::Limits;
use sys::Interrupt;

/// What a tree has at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Object {
    /// With this mode; without one, it has the metadata of one that no entry names.
    Directory(Option<u32>),
    /// With this content and mode.
    File(String, u32),
    Link(String),
}

/// A tree: its objects by their paths. What is above a path is a directory, and stands there, too.
type Tree = BTreeMap<String, Object>;

fn named(mode: u32) -> Object {
    Object::Directory(Some(mode))
}

fn file(content: &str) -> Object {
    Object::File(content.into(), 0o640)
}

fn link(target: &str) -> Object {
    Object::Link(target.into())
}

fn tree<const N: usize>(objects: [(&str, Object); N]) -> Tree {
    objects.into_iter().map(|(path, object)| (path.to_owned(), object)).collect()
}

fn write(tree: &Tree, root: &Path) {
    for (path, object) in tree {
        let path = root.join(path);
        match object {
            Object::Directory(_) => fs::create_dir(&path).unwrap(),
            Object::File(content, mode) => {
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Object::Link(target) => symlink(target, &path).unwrap(),
        }
    }
    // Deepest first: making an object changes the times of the directory above.
    for (path, object) in tree.iter().rev() {
        if let Object::Directory(mode) = object {
            finish(&root.join(path), *mode);
        }
    }
    finish(root, None);
}

fn finish(directory: &Path, mode: Option<u32>) {
    fs::set_permissions(directory, fs::Permissions::from_mode(mode.unwrap_or(0o755))).unwrap();
    let seconds = if mode.is_some() { 1_000_000_000 } else { 0 };
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    File::open(directory).unwrap().set_modified(time).unwrap();
}

/// Reads a tree as the model has it.
fn read(root: &Path) -> Tree {
    let (mut objects, mut ahead) = (Tree::new(), vec![String::new()]);
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{directory}{}", entry.file_name().to_string_lossy());
            let (kind, metadata) = (entry.file_type().unwrap(), entry.metadata().unwrap());
            let mode = metadata.permissions().mode() & 0o7777;
            let object = if kind.is_dir() {
                ahead.push(format!("{path}/"));
                Object::Directory((metadata.mtime() != 0).then_some(mode))
            } else if kind.is_symlink() {
                Object::Link(fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned())
            } else {
                Object::File(fs::read_to_string(entry.path()).unwrap(), mode)
            };
            objects.insert(path, object);
        }
    }
    objects
}

/// The model: the specification's rules, on maps.
fn model(trees: &[(Tree, Option<Vec<String>>)]) -> Tree {
    let mut all = Tree::new();
    for (tree, paths) in trees {
        for (path, object) in tree {
            let leads = |listed: &String| {
                let below = listed.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
                below && matches!(object, Object::Directory(_)) && tree.contains_key(listed)
            };
            if paths.as_ref().is_some_and(|paths| !paths.iter().any(|listed| listed == path || leads(listed)))
            {
                continue;
            }
            match (all.get(path), object) {
                (Some(Object::Directory(_)), Object::Directory(None)) => {}
                (Some(Object::Directory(_)), Object::Directory(_)) => {
                    drop(all.insert(path.clone(), object.clone()))
                }
                _ => {
                    let below = format!("{path}/");
                    all.retain(|other, _| !other.starts_with(&below));
                    all.insert(path.clone(), object.clone());
                }
            }
        }
    }
    all
}

fn paths(listed: &[String]) -> Paths {
    Arc::new(
        listed.iter().map(|path| RelativePath::from_bytes(path.as_bytes()).unwrap()).collect::<BTreeSet<_>>(),
    )
}

fn stacked(limits: Limits, trees: &[(Tree, Option<Vec<String>>)]) -> Unpacked {
    let roots: Vec<_> = trees
        .iter()
        .map(|(tree, _)| {
            let directory = tempfile::tempdir().unwrap();
            write(tree, directory.path());
            directory
        })
        .collect();
    let opened: Vec<OwnedFd> = roots.iter().map(|root| File::open(root.path()).unwrap().into()).collect();
    let listed = trees.iter().map(|(_, listed)| listed.as_deref().map(paths));
    let sources: Vec<_> = opened.iter().zip(listed).map(|(root, paths)| Source { root, paths }).collect();
    stacked_of(limits, &sources)
}

fn stacked_of(limits: Limits, sources: &[Source<'_>]) -> Unpacked {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("tree")).unwrap();
    let root = File::open(directory.path().join("tree")).unwrap().into();
    let record = File::create(directory.path().join("record")).unwrap();
    let result: Result<Sealed> = stack(sources, &frame(&[]), limits, &root, record, &Interrupt::default());
    Unpacked { directory, result }
}

/// Checks that trees over each other make what the model says, and that the record is of it.
#[track_caller]
fn check(trees: &[(Tree, Option<Vec<String>>)]) -> Tree {
    let unpacked = stacked(Limits::default(), trees);
    unpacked.result.as_ref().unwrap();
    assert_eq!(unpacked.differences(), Vec::<String>::new());
    let found = read(&unpacked.root());
    assert_eq!(found, model(trees), "of {trees:#?}");
    found
}

/// Checks what whole trees over each other make.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "the tree is made where it is compared")]
fn whole<const N: usize>(trees: [Tree; N], expected: Tree) {
    assert_eq!(check(&trees.map(|tree| (tree, None))), expected);
}

#[gate::root_test]
fn a_later_object_replaces_what_is_there() {
    whole(
        [tree([("a", file("1")), ("b", file("1"))]), tree([("a", file("2"))])],
        tree([("a", file("2")), ("b", file("1"))]),
    );
    whole(
        [tree([("d", named(0o755)), ("d/x", file("1"))]), tree([("d", file("2"))])],
        tree([("d", file("2"))]),
    );
    whole([tree([("d", file("1"))]), tree([("d", named(0o700))])], tree([("d", named(0o700))]));
    whole(
        [tree([("d", named(0o755)), ("d/x", file("1"))]), tree([("d", named(0o700)), ("d/y", file("2"))])],
        tree([("d", named(0o700)), ("d/x", file("1")), ("d/y", file("2"))]),
    );
}

#[gate::root_test]
fn a_link_to_a_directory_is_replaced_and_not_followed() {
    let lower = || tree([("lib", named(0o755)), ("lib/x", file("1")), ("lib64", link("lib"))]);
    whole(
        [lower(), tree([("lib64", named(0o711)), ("lib64/y", file("2"))])],
        tree([("lib", named(0o755)), ("lib/x", file("1")), ("lib64", named(0o711)), ("lib64/y", file("2"))]),
    );
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("canary"), "alive").unwrap();
    let to_outside = tree([("l", link(outside.path().to_str().unwrap()))]);
    whole(
        [to_outside, tree([("l", named(0o755)), ("l/canary", file("dead"))])],
        tree([("l", named(0o755)), ("l/canary", file("dead"))]),
    );
    assert_eq!(fs::read_to_string(outside.path().join("canary")).unwrap(), "alive");
    // A link replaces a directory as a whole.
    whole([lower(), tree([("lib", link("/"))])], tree([("lib", link("/")), ("lib64", link("lib"))]));
}

#[gate::root_test]
fn a_directory_that_no_entry_names_leaves_the_metadata_of_the_one_that_is_there() {
    whole(
        [tree([("tmp", named(0o1777))]), tree([("tmp", Object::Directory(None)), ("tmp/x", file("1"))])],
        tree([("tmp", named(0o1777)), ("tmp/x", file("1"))]),
    );
}

#[gate::root_test]
fn of_a_whitelist_only_what_is_listed_and_what_leads_there_is_taken() {
    let all = || {
        tree([
            ("bin", named(0o755)),
            ("bin/a", file("a")),
            ("bin/b", file("b")),
            ("d", named(0o700)),
            ("d/e", named(0o750)),
            ("d/e/f", file("f")),
            ("l", link("d")),
        ])
    };
    for (listed, expected) in [
        (vec!["bin/a"], tree([("bin", named(0o755)), ("bin/a", file("a"))])),
        (vec!["d"], tree([("d", named(0o700))])),
        (vec!["d/e"], tree([("d", named(0o700)), ("d/e", named(0o750))])),
        (vec!["d/e/f", "d"], tree([("d", named(0o700)), ("d/e", named(0o750)), ("d/e/f", file("f"))])),
        (vec!["l"], tree([("l", link("d"))])),
        // What a link leads to is another path.
        (vec!["l/e/f", "l/e"], tree([])),
        (vec!["none", "bin/none/x", "bin/a/x"], tree([])),
        (vec![""], tree([])),
    ] {
        let listed: Vec<_> = listed.into_iter().map(str::to_owned).collect();
        assert_eq!(check(&[(all(), Some(listed.clone()))]), expected, "{listed:?}");
    }
    // What is not listed doesn't replace anything either.
    let lower = tree([("bin", named(0o755)), ("bin/a", file("lower"))]);
    assert_eq!(check(&[(lower.clone(), None), (all(), Some(vec!["bin/b".into()]))])["bin/a"], file("lower"));
}

#[gate::root_test]
fn names_of_one_file_stay_names_of_one_file() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    fs::write(one.path().join("a"), "one").unwrap();
    fs::hard_link(one.path().join("a"), one.path().join("b")).unwrap();
    fs::hard_link(one.path().join("a"), one.path().join("c")).unwrap();
    fs::write(two.path().join("b"), "two").unwrap();
    let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
    let [one, two] = [open(one.path()), open(two.path())];
    let source = |root| Source { root, paths: None };
    let sources = [source(&one), source(&two), Source { root: &one, paths: Some(paths(&["c".into()])) }];
    let unpacked = stacked_of(Limits::default(), &sources);
    assert_eq!(unpacked.tree(), ["a = one", "b = two", "c = one"]);
    let sources = [source(&two), source(&one)];
    let unpacked = stacked_of(Limits::default(), &sources);
    assert_eq!(unpacked.tree(), ["a = one ×3", "b = one ×3", "c = one ×3"]);
}

#[gate::root_test]
fn all_that_is_looked_at_counts_against_the_limits() {
    let trees: Vec<_> =
        (0..10).map(|number| (tree([("a", file(&number.to_string().repeat(100)))]), None)).collect();
    let with = |limits: Limits| stacked(limits, &trees);
    with(Limits { bytes: 1000, entries: 20, ..Limits::default() }).result.unwrap();
    let error = with(Limits { bytes: 999, ..Limits::default() }).error();
    assert!(error.contains("tree 10 of 10") && error.contains("at most 999 bytes"), "{error}");
    let error = with(Limits { entries: 19, ..Limits::default() }).error();
    assert!(error.contains("at most 19"), "{error}");
    let listed = Some((0..30).map(|number| format!("none-{number}")).collect());
    let error = stacked(Limits { entries: 20, ..Limits::default() }, &[(Tree::new(), listed)]).error();
    assert!(error.contains("at most 20"), "{error}");
}

/// Random trees with few names, so that they meet in all ways.
#[gate::root_test]
fn random_trees_over_each_other_are_what_the_model_says() {
    let mut random =
        Random(std::env::var("GANTRY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7));
    for round in 0..200 {
        let count = 1 + random.below(4);
        let trees: Vec<_> = (0..count)
            .map(|_| {
                let tree = random.tree(&format!("{round}"));
                let listed = (random.below(3) == 0).then(|| (0..4).map(|_| random.path()).collect());
                (tree, listed)
            })
            .collect();
        check(&trees);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        // Knuth's MMIX generator: its high bits are good enough.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn path(&mut self) -> String {
        let names: Vec<_> =
            (0..=self.below(3)).map(|_| ["a", "b", "c"][usize::try_from(self.below(3)).unwrap()]).collect();
        names.join("/")
    }

    fn tree(&mut self, content: &str) -> Tree {
        let mut tree = Tree::new();
        for number in 0..self.below(8) {
            let path = self.path();
            let above: Vec<_> = path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect();
            let is_free = |path: &String| matches!(tree.get(path), None | Some(Object::Directory(_)));
            if tree.contains_key(&path) || !above.iter().all(is_free) {
                continue;
            }
            for path in above {
                tree.entry(path).or_insert(Object::Directory(None));
            }
            let object = match self.below(5) {
                0 => named(0o700 + u32::try_from(self.below(8)).unwrap()),
                1 => link(["a", "/b", "../c", ".", "/none"][usize::try_from(self.below(5)).unwrap()]),
                _ => file(&format!("{content}-{number}")),
            };
            tree.insert(path, object);
        }
        tree
    }
}
