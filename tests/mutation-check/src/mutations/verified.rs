// SPDX-License-Identifier: Apache-2.0
//! Nothing is taken for what it is not: archives for those that were asked for, trees for those that are whole.

use super::{BAD_INPUT, HOSTILE, Mutation, STORE_BY_CONTENT, STORE_DAMAGE};

const EXTRACT: &str = "crates/store/src/extract/mod.rs";
const IMPORT: &str = "crates/store/src/import.rs";
const TREE: &str = "crates/store/src/tree.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "digests are not compared",
        file: EXTRACT,
        find: "    ensure!(found == expected, \"{whose} digest is {found}: expected {expected}\");\n",
        replace: "    let _ = (whose, found, expected);\n",
        suites: &[BAD_INPUT],
    },
    Mutation {
        name: "a tar's digest is not asked for",
        file: EXTRACT,
        find: "                check_digest(\"the tar's\", found, digest)\n",
        replace: "                let _ = (found, digest);\n                Ok(())\n",
        suites: &[BAD_INPUT],
    },
    Mutation {
        name: "a file's digest is not asked for",
        file: EXTRACT,
        find: "Self::File(digest) => check_file(file, digest),",
        replace: "Self::File(_) => Ok(()),",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "stage1 is decoded before its digest is known",
        file: IMPORT,
        find: "            source.check(digest, self.interrupt)?;\n",
        replace: "            let _ = (stage1::check, digest);\n",
        suites: &[BAD_INPUT],
    },
    Mutation {
        name: "an archive file is known by its length",
        file: "crates/store/src/alias.rs",
        find: "format!(\"{}{digest}\", of_length(length))",
        replace: "format!(\"{}{}\", of_length(length), &digest.to_string()[..7])",
        suites: &[STORE_BY_CONTENT],
    },
    Mutation {
        name: "a stage1 is taken for an image",
        file: TREE,
        find: "        ensure!(found == kind, \"{id} is no {}: it is in the store as {}\", kind.shown(), found.shown());\n",
        replace: "        let _ = (found, kind);\n",
        suites: &[STORE_BY_CONTENT],
    },
    Mutation {
        name: "a tree with a part of its record is taken",
        file: TREE,
        find: "    ensure!(found == info.record, \"its record has {found} bytes: expected {}\", info.record);\n",
        replace: "    let _ = found;\n",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a tree is taken that others can write to",
        file: TREE,
        find: "    check_owner(directory)?;\n",
        replace: "    let _ = check_owner;\n",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a tree is taken for another",
        file: TREE,
        find: "    ensure!(info.id == id, ",
        replace: "    ensure!(info.id == id || true, ",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a tree without its objects is taken",
        file: TREE,
        find: "    open(layout::TREE, flags | OFlags::DIRECTORY)?;\n",
        replace: "",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a tree that is there already is not verified",
        file: "crates/store/src/new.rs",
        find: "match verify::verify(data_dir, id, self.interrupt)? {",
        replace: "match Tree::open_any(data_dir, id)?.map_or(Verdict::Missing, |tree| Verdict::Intact(Box::new(tree))) {",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "an image without a rootfs is taken",
        file: "crates/image/src/lib.rs",
        find: "        ensure!(self.has_rootfs,",
        replace: "        ensure!(self.has_rootfs || true,",
        suites: &[HOSTILE],
    },
];
