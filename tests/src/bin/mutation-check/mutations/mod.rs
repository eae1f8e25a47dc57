// SPDX-License-Identifier: Apache-2.0
//! The changes, each the removal of one thing that makes prepare durable, contained or clean, and the suites that
//! have to notice.

use std::fmt;

/// A suite, as cargo test is told of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suite {
    /// One of the tests of the installer's crate.
    Own(&'static [&'static str]),
    /// One of the end-to-end tests.
    EndToEnd(&'static [&'static str]),
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Own(arguments) | Self::EndToEnd(arguments)) = self;
        write!(f, "{}", arguments.join(" "))
    }
}

/// A change to a file's text, which is in it once.
#[derive(Debug)]
pub(super) struct Mutation {
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
    pub(super) suites: &'static [Suite],
}

const DURABILITY: Suite = Suite::EndToEnd(&["--test", "durability"]);
const FAULTS: Suite = Suite::EndToEnd(&["--test", "faults", "the_first_prepare"]);
const FAULTS_AFTER_A_KILL: Suite = Suite::EndToEnd(&["--test", "faults", "after_one_that_was_killed"]);
const INTERLEAVING: Suite = Suite::EndToEnd(&["--test", "interleaving"]);
const CONCURRENCY: Suite = Suite::EndToEnd(&["--test", "concurrency"]);
const BAD_INPUT: Suite = Suite::EndToEnd(&["--test", "bad_input", "digests_that_do_not_match"]);
const HOSTILE: Suite = Suite::Own(&["--test", "hostile"]);
const STAGING: Suite = Suite::Own(&["--lib", "staging"]);

const STAGING_FILE: &str = "installer/src/staging/mod.rs";
const HOME_FILE: &str = "installer/src/staging/home.rs";
const SWEEP_FILE: &str = "installer/src/staging/sweep.rs";
const APPLY_FILE: &str = "installer/src/prepare/apply.rs";
const EXTRACT_FILE: &str = "installer/src/extract/mod.rs";
const TREE_FILE: &str = "installer/src/extract/tree.rs";
const METADATA_FILE: &str = "installer/src/extract/metadata.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    // On disk before it is seen, and seen before success is told.
    Mutation {
        name: "no sync before the rename",
        file: STAGING_FILE,
        find: "        syncfs(&self.directory).context(\"cannot sync the pod directory\")?;\n",
        replace: "",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "no sync of the directory after the rename",
        file: STAGING_FILE,
        find: "= fsync(containers)",
        replace: "= Ok::<(), Errno>(())",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "the staging directory is synced in place of containers",
        file: STAGING_FILE,
        find: "= fsync(containers)",
        replace: "= fsync(staging)",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "the manifest is written after the sync",
        file: STAGING_FILE,
        find: "        self.write_manifest(manifest).context(\"cannot write the pod's manifest\")?;
        syncfs(&self.directory).context(\"cannot sync the pod directory\")?;\n",
        replace: "        syncfs(&self.directory).context(\"cannot sync the pod directory\")?;
        self.write_manifest(manifest).context(\"cannot write the pod's manifest\")?;\n",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "the rename may replace",
        file: STAGING_FILE,
        find: "renameat_with(staging, &self.name, containers, &self.name, RenameFlags::NOREPLACE)",
        replace: "renameat_with(staging, &self.name, containers, &self.name, RenameFlags::empty())",
        suites: &[DURABILITY],
    },
    // Nothing is left of what failed.
    Mutation {
        name: "a pod whose directory can't be synced stays",
        file: STAGING_FILE,
        find: "            self.withdraw();\n            return Err(error).context(\"cannot sync containers\")",
        replace: "            return Err(error).context(\"cannot sync containers\")",
        suites: &[FAULTS],
    },
    Mutation {
        name: "staging is not removed after a failure",
        file: APPLY_FILE,
        find: "        staging.discard();\n",
        replace: "",
        suites: &[FAULTS],
    },
    Mutation {
        name: "directories that were made are not removed after a failure",
        file: APPLY_FILE,
        find: "        home.abandon();\n",
        replace: "",
        suites: &[FAULTS],
    },
    Mutation {
        name: "directories that were made are not removed when the next can't be",
        file: HOME_FILE,
        find: "                unmake(path, &made);\n",
        replace: "",
        suites: &[FAULTS],
    },
    Mutation {
        name: "an error that is swallowed",
        file: METADATA_FILE,
        find: "    futimens(&object, &times(metadata)).context(\"cannot set the times\")\n",
        replace: "    let _ = futimens(&object, &times(metadata));\n    Ok(())\n",
        suites: &[FAULTS],
    },
    Mutation {
        name: "what a dead run left is not swept",
        file: STAGING_FILE,
        find: "        sweep::sweep(&home.staging)?;\n",
        replace: "",
        suites: &[FAULTS_AFTER_A_KILL],
    },
    // The living are left alone.
    Mutation {
        name: "a sweep that asks for no lock",
        file: SWEEP_FILE,
        find: "        Err(Errno::WOULDBLOCK) => return Ok(None),\n",
        replace: "        Err(Errno::WOULDBLOCK) => {}\n",
        suites: &[INTERLEAVING, STAGING, CONCURRENCY],
    },
    Mutation {
        name: "a lock on what has another name by now",
        file: SWEEP_FILE,
        find: "Ok(is_called(staging, name, &directory)?.then_some(directory))",
        replace: "Ok(Some(directory))",
        suites: &[INTERLEAVING, STAGING, CONCURRENCY],
    },
    Mutation {
        name: "a directory in use is unmade",
        file: HOME_FILE,
        find: "        && flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()\n",
        replace: "        && flock(lock, FlockOperation::Unlock).is_err()\n",
        suites: &[INTERLEAVING, STAGING, CONCURRENCY],
    },
    Mutation {
        name: "a lock on a directory that is gone",
        file: HOME_FILE,
        find: "            Ok(there) if (there.dev(), there.ino()) == (locked.st_dev, locked.st_ino) => {\n",
        replace: "            there if there.is_ok() || locked.st_dev > 0 => {\n",
        suites: &[INTERLEAVING, STAGING, CONCURRENCY],
    },
    // Nothing unverified, nothing outside.
    Mutation {
        name: "digests are not compared",
        file: EXTRACT_FILE,
        find: "    ensure!(found == expected, \"{whose} digest is {found}: expected {expected}\");\n",
        replace: "    let _ = (whose, found, expected);\n",
        suites: &[BAD_INPUT],
    },
    Mutation {
        name: "a tar's digest is not asked for",
        file: EXTRACT_FILE,
        find: "                check_digest(\"the tar's\", found, digest)?;\n",
        replace: "                let _ = found;\n",
        suites: &[BAD_INPUT],
    },
    Mutation {
        name: "a file that is there is opened",
        file: TREE_FILE,
        find: "OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY",
        replace: "OFlags::CREATE | OFlags::WRONLY",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "links lead out of the tree",
        file: TREE_FILE,
        find: "ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS",
        replace: "ResolveFlags::empty()",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "the owner is set last",
        file: METADATA_FILE,
        find: "    futimens(&object, &times(metadata)).context(\"cannot set the times\")\n",
        replace: "    if let Some((uid, gid)) = owner(metadata) {
        fchown(&object, Some(uid), Some(gid)).context(\"cannot set the owner\")?;
    }
    futimens(&object, &times(metadata)).context(\"cannot set the times\")\n",
        suites: &[HOSTILE],
    },
];
