// SPDX-License-Identifier: Apache-2.0
//! A copy of a tree is that tree.

use super::{Mutation, STORE_LAYOUTS};

const COPY: &str = "crates/store/src/copy.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a copy has two files for one",
        file: COPY,
        find: "        if stat.st_nlink > 1 {\n",
        replace: "        if stat.st_nlink > u32::MAX.into() {\n",
        suites: &[STORE_LAYOUTS],
    },
    Mutation {
        name: "a copy has no attributes",
        file: COPY,
        find: "Metadata { xattrs: record::typed_xattrs(&object)?, ..record::of_stat(stat) }",
        replace: "Metadata { xattrs: record::typed_xattrs(&object).map(|_| Vec::new())?, ..record::of_stat(stat) }",
        suites: &[STORE_LAYOUTS],
    },
    Mutation {
        name: "a copy's directories have no metadata",
        file: COPY,
        find: "    for path in directories.iter().rev() {\n",
        replace: "    for path in directories.iter().rev().take(0) {\n",
        suites: &[STORE_LAYOUTS],
    },
];
