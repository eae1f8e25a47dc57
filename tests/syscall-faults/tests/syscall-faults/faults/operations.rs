// SPDX-License-Identifier: Apache-2.0
//! The operations, each a test of its own. In a command, `NAME.aci` is an image and `NAME.id` its id.

use gate::root_test;
use testing::tiny;

use super::place::PULLED;
use super::sweep::sweep;
use Again::Succeeds;

/// A step that brings DIR into its state before the operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A command succeeds.
    Run(&'static [&'static str]),
    /// A command is killed when it would publish for the first time.
    Killed(&'static [&'static str]),
    /// A file of the image with this name is changed in the store.
    Damaged(&'static str),
    /// Every pod's `init` differs from the one in its stage1.
    OtherInits,
    /// Every pod has been started and has ended, as its history says.
    Ended,
}

/// What the same command does once it has done its work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Again {
    /// It succeeds once more.
    Succeeds,
    /// Its object no longer exists: it exits with 1 and this line, in which `TINY` is the image's id.
    Refused(&'static str),
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// What is done before.
    pub(super) before: &'static [Step],
    /// The command.
    pub(super) command: &'static [&'static str],
    /// How it ends when it has been done already.
    pub(super) again: Again,
    /// The least number of calls that change something.
    pub(super) least: usize,
}

const PREPARE: &[&str] = &["prepare", "--image", "tiny.aci"];
const PREPARE_OTHER: &[&str] = &["prepare", "--image", "other.aci"];
const IMPORT: &[&str] = &["image", "import", "tiny.aci"];
const PREPARE_COPY: &[&str] = &["prepare", "--image", "tiny.aci", "--layout", "copy"];
const PREPARE_BOTH: &[&str] = &["prepare", "--image", "tiny.aci", "--image", "other.aci"];
const PREPARE_WITH_OPTIONS: &[&str] = &["prepare", "tiny.aci", "-e", "A=1", "-l", "a=b", "--rm"];
const PREPARE_DEPENDING: &[&str] = &["prepare", "--image", "on-tiny.aci"];
const REMOVE: &[&str] = &["image", "rm", "tiny.id"];

const PREPARE_NAMED: &[&str] = &["prepare", "--image", "tiny.aci", "--name", "web"];

const REPAIR: &[&str] = &["verify", "--repair", "tiny.id"];
const REPAIR_ALL: &[&str] = &["verify", "--repair"];

const NO_SUCH_IMAGE: Again =
    Again::Refused("error: no such image in the store: TINY (installer image list shows what there is)\n");

const NO_SUCH_POD: Again = Again::Refused("error: no pod \"web\" (installer list shows what there is)\n");

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
    // It removes what the killed command left, object by object.
    a_prepare_after_one_that_was_killed: [Step::Killed(PREPARE_BOTH)], PREPARE, Succeeds, 2 * tiny::OBJECTS;
    a_prepare_of_two_images: [], PREPARE_BOTH, Succeeds, 3 * tiny::OBJECTS / 2;
    // Nothing is unpacked: a pod directory, an upper layer, two files, and their syncs.
    a_prepare_of_what_is_known: [Step::Run(PREPARE)], PREPARE, Succeeds, 10;
    // One file more: what says that the pod is removed at its end.
    a_prepare_with_options: [Step::Run(PREPARE)], PREPARE_WITH_OPTIONS, Succeeds, 12;
    // It copies both trees, object by object.
    a_prepare_of_copies: [Step::Run(PREPARE)], PREPARE_COPY, Succeeds, 2 * tiny::OBJECTS;
    // The image, and the tree that is rendered of both.
    a_prepare_with_a_dependency: [Step::Run(PREPARE)], PREPARE_DEPENDING, Succeeds, 2 * tiny::OBJECTS;
    a_prepare_with_a_dependency_that_is_given:
        [], &["prepare", "--image", "on-tiny.aci", "--image", "tiny.aci"], Succeeds, 3 * tiny::OBJECTS;
    an_import: [], IMPORT, Succeeds, tiny::OBJECTS / 2;
    // Two layers, and the image's name.
    an_import_of_layers: [], &["image", "import", "tiny.oci"], Succeeds, 10;
    // Two layers, a configuration and a manifest are fetched, kept and extracted. A pull that fails keeps what is complete.
    a_pull: [], &["image", "pull", PULLED], Succeeds, 18;
    // It removes what the killed pull left, and goes on with the blobs that are complete.
    a_pull_after_one_that_was_killed:
        [Step::Killed(&["image", "pull", PULLED])], &["image", "pull", PULLED], Succeeds, 18;
    a_gc_of_a_pulled_image: [Step::Run(&["image", "pull", PULLED])], &["gc"], Succeeds, 10;
    // A file in staging, its names, and syncs.
    a_name_for_an_image: [Step::Run(IMPORT)], &["image", "tag", "tiny.id", "web"], Succeeds, 5;
    a_name_that_moves:
        [Step::Run(IMPORT), Step::Run(&["image", "import", "other.oci"]), Step::Run(&["image", "tag", "tiny.id", "web"])],
        &["image", "tag", "registry.example/hello:1", "web"], Succeeds, 5;
    // The imported image is removed, object by object, and its name; the pod's image stays.
    a_gc_beside_a_pod: [Step::Run(PREPARE_OTHER), Step::Run(IMPORT)], &["gc"], Succeeds, tiny::OBJECTS / 2;
    // The pod is removed, and then everything that it was made of. Few of the calls take space.
    a_gc_of_an_ended_pod:
        [Step::Run(PREPARE), Step::Ended], &["gc", "--grace", "0"], Succeeds, tiny::OBJECTS / 2;
    // It is moved away by one rename, and removed object by object: some directories, and four files.
    a_pod_rm: [Step::Run(PREPARE_NAMED)], &["rm", "web"], NO_SUCH_POD, 10;
    a_pod_rm_beside_another_pod:
        [Step::Run(PREPARE), Step::Run(PREPARE_NAMED)], &["rm", "web"], NO_SUCH_POD, 10;
    an_image_rm: [Step::Run(IMPORT)], REMOVE, NO_SUCH_IMAGE, tiny::OBJECTS / 2;
    an_image_rm_beside_a_pod:
        [Step::Run(PREPARE_OTHER), Step::Run(IMPORT)], REMOVE, NO_SUCH_IMAGE, tiny::OBJECTS / 2;
    // It makes a tree, object by object, and removes the damaged one.
    a_repair: [Step::Run(IMPORT), Step::Damaged("tiny")], REPAIR, Succeeds, tiny::OBJECTS;
    // A directory, a link in it, a rename and a sync.
    a_repair_of_a_pods_init: [Step::Run(PREPARE), Step::OtherInits], REPAIR_ALL, Succeeds, 6;
}
