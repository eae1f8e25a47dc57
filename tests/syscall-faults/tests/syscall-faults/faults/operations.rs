// SPDX-License-Identifier: Apache-2.0
//! The operations, each a test of its own. In their words, `NAME.aci` is an image, `NAME.id` its id.

use gate::root_test;
use testing::tiny;

use super::sweep::sweep;
use Again::Succeeds;

/// How DIR comes to be what it is before the operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A command succeeds.
    Run(&'static [&'static str]),
    /// A command is killed when it would publish the first it has made.
    Killed(&'static [&'static str]),
    /// A file of the image of this name is another in the store.
    Damaged(&'static str),
    /// Every pod has another `init` than its stage1.
    OtherInits,
}

/// What the same command comes to once it has done its work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    /// It succeeds once more.
    Succeeds,
    /// What it was to remove is not there: code 1, and this is the line, in which `TINY` is the image's id.
    Refused(&'static str),
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// What was done before.
    pub(super) before: &'static [Step],
    /// The command.
    pub(super) command: &'static [&'static str],
    /// How it ends when it has been done already.
    pub(super) again: Again,
    /// Fewer calls that change something can't do it.
    pub(super) least: usize,
}

const PREPARE: &[&str] = &["prepare", "--image", "tiny.aci"];
const PREPARE_OTHER: &[&str] = &["prepare", "--image", "other.aci"];
const IMPORT: &[&str] = &["image", "import", "tiny.aci"];
const PREPARE_COPY: &[&str] = &["prepare", "--image", "tiny.aci", "--layout", "copy"];
const PREPARE_BOTH: &[&str] = &["prepare", "--image", "tiny.aci", "--image", "other.aci"];
const REMOVE: &[&str] = &["image", "rm", "tiny.id"];

const REPAIR: &[&str] = &["verify", "--repair", "tiny.id"];
const REPAIR_ALL: &[&str] = &["verify", "--repair"];

const NO_SUCH_IMAGE: Again =
    Again::Refused("error: no such image in the store: TINY (installer image list shows what there is)\n");

macro_rules! operations {
    ($($name:ident: $before:expr, $command:expr, $again:expr, $least:expr;)*) => {
        $(#[root_test]
        fn $name() {
            let operation = Operation { before: &$before, command: $command, again: $again, least: $least };
            sweep(stringify!($name), &operation);
        })*
    };
}

operations! {
    // A container, the names in staging and containers, and each object of the archives.
    the_first_prepare: [], PREPARE, Succeeds, tiny::OBJECTS;
    a_prepare_beside_another_pod: [Step::Run(PREPARE_OTHER)], PREPARE, Succeeds, tiny::OBJECTS;
    // What the dead one left is removed, object by object.
    a_prepare_after_one_that_was_killed: [Step::Killed(PREPARE_BOTH)], PREPARE, Succeeds, 2 * tiny::OBJECTS;
    a_prepare_of_two_images: [], PREPARE_BOTH, Succeeds, 3 * tiny::OBJECTS / 2;
    // Nothing is unpacked: a pod directory, an upper layer, two files, and their syncs.
    a_prepare_of_what_is_known: [Step::Run(PREPARE)], PREPARE, Succeeds, 10;
    // Both trees again, object by object.
    a_prepare_of_copies: [Step::Run(PREPARE)], PREPARE_COPY, Succeeds, 2 * tiny::OBJECTS;
    an_import: [], IMPORT, Succeeds, tiny::OBJECTS / 2;
    // The imported image goes, object by object, and its name; the pod's stays.
    a_gc_beside_a_pod: [Step::Run(PREPARE_OTHER), Step::Run(IMPORT)], &["gc"], Succeeds, tiny::OBJECTS / 2;
    an_image_rm: [Step::Run(IMPORT)], REMOVE, NO_SUCH_IMAGE, tiny::OBJECTS / 2;
    an_image_rm_beside_a_pod:
        [Step::Run(PREPARE_OTHER), Step::Run(IMPORT)], REMOVE, NO_SUCH_IMAGE, tiny::OBJECTS / 2;
    // A tree comes, object by object, and the damaged one goes.
    a_repair: [Step::Run(IMPORT), Step::Damaged("tiny")], REPAIR, Succeeds, tiny::OBJECTS;
    // A directory, a link in it, a rename and a sync.
    a_repair_of_a_pods_init: [Step::Run(PREPARE), Step::OtherInits], REPAIR_ALL, Succeeds, 6;
}
