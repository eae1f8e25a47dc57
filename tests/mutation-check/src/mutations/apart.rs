// SPDX-License-Identifier: Apache-2.0
//! The living are left alone: what somebody works with, or a pod needs, does not vanish.

use super::{
    ATTACKS_ON_PLACES, GUARDED_PATHS, INTERLEAVING, INTERLEAVING_WITH_GC, LOCKS, Mutation, STAGING,
    STORE_DAMAGE, STORE_GC,
};

const GC: &str = "crates/store/src/gc.rs";
const GUARDED: &str = "crates/store/src/guarded.rs";
const HOME: &str = "crates/store/src/data_dir.rs";
const SWEEP: &str = "crates/store/src/staging/sweep.rs";
const SYS_LOCKS: &str = "crates/sys/src/locks.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a sweep that asks for no lock",
        file: SYS_LOCKS,
        find: "    if !is_locked_alone(&directory)? {\n",
        replace: "    if !is_locked_alone(&directory)? && false {\n",
        suites: &[STAGING],
    },
    Mutation {
        name: "a sweep that takes what a worker is at work in",
        file: SWEEP,
        find: "        Some(locked) if unpacker::is_at_work(&locked.directory).map_err(Fault::from)? => Ok(()),\n",
        replace: "        Some(locked) if unpacker::is_at_work(&locked.directory).map_err(Fault::from)? && false => Ok(()),\n",
        suites: &[STAGING],
    },
    Mutation {
        name: "a lock on what has another name by now",
        file: SYS_LOCKS,
        find: "Ok(is_called(parent, name, &directory)?.then_some(directory))",
        replace: "Ok(Some(directory))",
        suites: &[INTERLEAVING],
    },
    Mutation {
        name: "a directory in use is unmade",
        file: HOME,
        find: "            && flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()\n",
        replace: "            && flock(lock, FlockOperation::Unlock).is_err()\n",
        suites: &[STAGING],
    },
    Mutation {
        name: "a lock on a directory that is gone",
        file: HOME,
        find: "            Ok(there) if (there.dev(), there.ino()) == (locked.st_dev, locked.st_ino) => {\n",
        replace: "            there if there.is_ok() || locked.st_dev > 0 => {\n",
        suites: &[INTERLEAVING],
    },
    Mutation {
        name: "gc takes no lock",
        file: GC,
        find: "match staging::lock(&data_dir.trees, &name).with_context(",
        replace: "match staging::open_below(&data_dir.trees, name.to_str()?)
            .map(|directory| Some(Locked { directory })).with_context(",
        suites: &[STORE_GC],
    },
    Mutation {
        name: "gc takes what pods refer to",
        file: GC,
        find: "let pods = references.to(id);",
        replace: "let pods = &references.to(id)[..0];",
        suites: &[STORE_GC],
    },
    Mutation {
        name: "gc asks pods before it locks trees",
        file: GC,
        find: "    let mut alone: Vec<(TreeId, Locked)> = Vec::new();
    for id in trees {
        let name = tree::name(*id);
        match staging::lock(&data_dir.trees, &name).with_context(|| format!(\"cannot lock tree {id}\"))? {
            Some(locked) => alone.push((*id, locked)),
            None if is_missing(data_dir, *id) => outcomes.push((*id, Outcome::Kept(Kept::Missing))),
            None => outcomes.push((*id, Outcome::Kept(Kept::InUse))),
        }
    }
    // Only now that the trees are locked: see the module's documentation.
    let references = References::read(data_dir)?;\n",
        replace: "    let references = References::read(data_dir)?;
    let mut alone: Vec<(TreeId, Locked)> = Vec::new();
    for id in trees {
        let name = tree::name(*id);
        match staging::lock(&data_dir.trees, &name).with_context(|| format!(\"cannot lock tree {id}\"))? {
            Some(locked) => alone.push((*id, locked)),
            None if is_missing(data_dir, *id) => outcomes.push((*id, Outcome::Kept(Kept::Missing))),
            None => outcomes.push((*id, Outcome::Kept(Kept::InUse))),
        }
    }\n",
        suites: &[INTERLEAVING_WITH_GC],
    },
    Mutation {
        name: "gc skips a pod that it can't understand",
        file: "crates/store/src/references.rs",
        find: "Ok(Some(Layers::parse(&text)?))",
        replace: "Ok(Layers::parse(&text).ok())",
        suites: &[STORE_GC],
    },
    Mutation {
        name: "a prepare does not lock the trees that it finds",
        file: SYS_LOCKS,
        find: "        share(&directory, interrupt).map_err(Unlocked::Lock)?;\n",
        replace: "        let _ = interrupt;\n",
        suites: &[INTERLEAVING_WITH_GC],
    },
    Mutation {
        name: "a prepare takes a tree that is gone once it is locked",
        file: SYS_LOCKS,
        find: "        if is_called(&parent, name, &directory).map_err(|error| Unlocked::Open(error.errno))? {",
        replace: "        if is_called(&parent, name, &directory).map_err(|error| Unlocked::Open(error.errno))? || true {",
        suites: &[INTERLEAVING_WITH_GC],
    },
    Mutation {
        name: "a prepare lets go of the trees that it has published",
        file: SYS_LOCKS,
        find: "    flock(file, FlockOperation::LockShared).called_on(",
        replace: "    flock(file, FlockOperation::Unlock).called_on(",
        suites: &[INTERLEAVING_WITH_GC],
    },
    Mutation {
        name: "a tree is repaired under a running pod",
        file: "crates/store/src/verify.rs",
        find: "staging::lock(&data_dir.trees, &name).context(\"cannot lock it\")? else {",
        replace: "Some(staging::Locked {
        directory: staging::open_below(&data_dir.trees, &id.to_string())?,
    }) else {",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a lock is waited for that others can have",
        file: HOME,
        find: "        ensure!(mode & 0o077 == 0,",
        replace: "        ensure!(mode > 0,",
        suites: &[LOCKS],
    },
    Mutation {
        name: "no signal ends the wait for a lock",
        file: SYS_LOCKS,
        find: "Err(RecvTimeoutError::Timeout) => interrupt.check()?,",
        replace: "Err(RecvTimeoutError::Timeout) => {}",
        suites: &[LOCKS],
    },
    Mutation {
        name: "a directory that others can write to is taken",
        file: HOME,
        find: "if stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0 {",
        replace: "if stat.st_uid == geteuid().as_raw() {",
        suites: &[STAGING],
    },
    Mutation {
        name: "a directory above that others can write to is taken",
        file: GUARDED,
        find: "if !self.is_roots() || others_write && !is_sticky {",
        replace: "if !self.is_roots() {",
        suites: &[GUARDED_PATHS],
    },
    Mutation {
        name: "a directory above that is another's is taken",
        file: GUARDED,
        find: "if !self.is_roots() || others_write && !is_sticky {",
        replace: "if others_write && !is_sticky {",
        suites: &[ATTACKS_ON_PLACES],
    },
    Mutation {
        name: "another's entry of a sticky directory is taken",
        file: GUARDED,
        find: "if others_write && !entry.is_roots() {",
        replace: "if others_write && entry.stat.st_mode == 0 {",
        suites: &[ATTACKS_ON_PLACES],
    },
    Mutation {
        name: "a pod's program that is another's is executed",
        file: "installer/src/pod_process.rs",
        find: "        owner == geteuid().as_raw() && mode & 0o022 == 0,\n",
        replace: "        owner < u32::MAX && mode < u32::MAX,\n",
        suites: &[ATTACKS_ON_PLACES],
    },
];
