// SPDX-License-Identifier: Apache-2.0
//! The operations, each a test of its own. In their words, `NAME.aci` is an image.

use tests::host::can_run;
use tests::tiny;

use super::sweep::sweep;

/// How DIR comes to be what it is before the operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A command succeeds.
    Run(&'static [&'static str]),
    /// A command is killed when it would publish the first it has made.
    Killed(&'static [&'static str]),
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// What was done before.
    pub(super) before: &'static [Step],
    /// The command.
    pub(super) command: &'static [&'static str],
    /// Fewer calls that change something can't do it.
    pub(super) least: usize,
}

const PREPARE: &[&str] = &["prepare", "--image", "tiny.aci"];
const PREPARE_OTHER: &[&str] = &["prepare", "--image", "other.aci"];
const IMPORT: &[&str] = &["image", "import", "tiny.aci"];
const PREPARE_BOTH: &[&str] = &["prepare", "--image", "tiny.aci", "--image", "other.aci"];

macro_rules! operations {
    ($($name:ident: $before:expr, $command:expr, $least:expr;)*) => {
        $(#[test]
        fn $name() {
            if can_run(stringify!($name)) {
                sweep(stringify!($name), &Operation { before: &$before, command: $command, least: $least });
            }
        })*
    };
}

operations! {
    // A container, the names in staging and containers, and each object of the archives.
    the_first_prepare: [], PREPARE, tiny::OBJECTS;
    a_prepare_beside_another_pod: [Step::Run(PREPARE_OTHER)], PREPARE, tiny::OBJECTS;
    // What the dead one left is removed, object by object.
    a_prepare_after_one_that_was_killed: [Step::Killed(PREPARE_BOTH)], PREPARE, 2 * tiny::OBJECTS;
    a_prepare_of_two_images: [], PREPARE_BOTH, 3 * tiny::OBJECTS / 2;
    // Nothing is unpacked: a pod directory, an upper layer, two files, and their syncs.
    a_prepare_of_what_is_known: [Step::Run(PREPARE)], PREPARE, 10;
    an_import: [], IMPORT, tiny::OBJECTS / 2;
    // The imported image goes, object by object, and its name; the pod's stays.
    a_gc_beside_a_pod: [Step::Run(PREPARE_OTHER), Step::Run(IMPORT)], &["gc"], tiny::OBJECTS / 2;
}
