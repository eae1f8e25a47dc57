// SPDX-License-Identifier: Apache-2.0
//! The changes, each the removal of one thing that makes the installer durable, contained or clean, and the suites
//! that have to notice: the quickest that does, first.

mod apart;
mod clean;
mod confined;
mod copy;
mod durable;
mod limits;
mod record;
mod tree;
mod verified;

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
    /// The file, from the repository's root.
    pub(super) file: &'static str,
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
    pub(super) suites: &'static [Suite],
}

/// All of them, by what they are about.
pub(super) const MUTATIONS: &[&[Mutation]] = &[
    durable::MUTATIONS,
    clean::MUTATIONS,
    apart::MUTATIONS,
    verified::MUTATIONS,
    record::MUTATIONS,
    tree::MUTATIONS,
    copy::MUTATIONS,
    limits::MUTATIONS,
    confined::MUTATIONS,
];

const DURABILITY: Suite =
    Suite::EndToEnd(&["-p", "syscall-faults", "--test", "syscall-faults", "--", "durability::"]);
const FAULTS: Suite = Suite::EndToEnd(&[
    "-p",
    "syscall-faults",
    "--test",
    "syscall-faults",
    "--",
    "faults::operations::the_first_prepare",
]);
const FAULTS_AFTER_A_KILL: Suite = Suite::EndToEnd(&[
    "-p",
    "syscall-faults",
    "--test",
    "syscall-faults",
    "--",
    "faults::operations::a_prepare_after_one_that_was_killed",
]);
const FAULTS_OF_AN_IMPORT: Suite = Suite::EndToEnd(&[
    "-p",
    "syscall-faults",
    "--test",
    "syscall-faults",
    "--",
    "faults::operations::an_import",
]);
const INTERLEAVING: Suite = Suite::EndToEnd(&[
    "-p",
    "syscall-faults",
    "--test",
    "syscall-faults",
    "--",
    "interleaving::a_prepare_comes_in",
    "interleaving::a_directory_that_vanishes",
]);
const INTERLEAVING_WITH_GC: Suite = Suite::EndToEnd(&[
    "-p",
    "syscall-faults",
    "--test",
    "syscall-faults",
    "--",
    "interleaving::a_gc",
    "interleaving::a_prepare_of_what_is_known_comes_into_a_gc",
]);
const LOCKS: Suite =
    Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "concurrency::locks::"]);
const BAD_INPUT: Suite =
    Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "bad_input::digests_that_do_not_match"]);
const CALLERS_LIMITS: Suite = Suite::EndToEnd(&[
    "-p",
    "e2e",
    "--test",
    "data-directory",
    "--",
    "hostile_archives::limits::",
    "hostile_archives::size::limits_are",
]);
const STORE_AFTER_A_FAILURE: Suite = Suite::EndToEnd(&[
    "-p",
    "e2e",
    "--test",
    "data-directory",
    "--",
    "store::a_failed_prepare",
    "store::a_pod_that_nobody_is_told_of",
]);
const STORE_BY_CONTENT: Suite = Suite::EndToEnd(&[
    "-p",
    "e2e",
    "--test",
    "data-directory",
    "--",
    "store::a_file_is_known_by_its_content_alone",
    "store::a_stage1_is_no_image",
]);
const MOUNTED: Suite = Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "mounted::"]);
const STORE_WHERE_NONE_IS: Suite =
    Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "store::where_no_store_is"]);
const STORE_DAMAGE: Suite =
    Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "store::damage::"]);
const STORE_LAYOUTS: Suite =
    Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "store::layouts::a_copy_is"]);
const STORE_GC: Suite = Suite::EndToEnd(&["-p", "e2e", "--test", "data-directory", "--", "store::gc::"]);
const ATTACKS_ON_PLACES: Suite = Suite::EndToEnd(&["-p", "attacks", "--test", "attacks", "--", "places::"]);
const GUARDED_PATHS: Suite = Suite::Own(&["--lib", "guarded"]);
const STAGING: Suite = Suite::Own(&["--lib", "staging"]);
const RECORD: Suite = Suite::Own(&["--lib", "record"]);
const VERIFY: Suite = Suite::Own(&["--lib", "verify"]);
const HOSTILE: Suite = Suite::Own(&["--test", "hostile"]);
/// How much memory workers take is no matter of what they are allowed.
const WORKER: Suite = Suite::Own(&["--test", "worker", "--", "--skip", "memory"]);
