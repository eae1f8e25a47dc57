// SPDX-License-Identifier: Apache-2.0
//! What an archive may ask for at most.

use super::{CALLERS_LIMITS, HOSTILE, Mutation, WORKER};

const READER: &str = "crates/archive/src/tar/reader.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a caller's limits are not heard",
        file: "crates/store/src/import.rs",
        find: "let job = Job { expected, with_sha512, limits: self.limits };",
        replace: "let job = Job { expected, with_sha512, limits: Limits::default() };",
        suites: &[CALLERS_LIMITS],
    },
    Mutation {
        name: "a caller's limit of depth is not heard",
        file: "installer/src/options.rs",
        find: "            depth: self.max_depth,\n",
        replace: "",
        suites: &[CALLERS_LIMITS],
    },
    Mutation {
        name: "no limit of bytes",
        file: READER,
        find: "        ensure!(within, ",
        replace: "        ensure!(within || true, ",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of bytes after the end",
        file: READER,
        find: "            self.check_bytes(0)?;\n",
        replace: "",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of entries",
        file: READER,
        find: "ensure!(self.headers <= most, ",
        replace: "ensure!(self.headers <= most || true, ",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of depth",
        file: READER,
        find: "ensure!(depth <= most, ",
        replace: "ensure!(depth <= most || true, ",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of extended headers",
        file: READER,
        find: "*budget = budget.checked_sub(size).ok_or_else(",
        replace: "*budget = budget.checked_sub(size).or(Some(0)).ok_or_else(",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of directories' names",
        file: "crates/store/src/extract/directories.rs",
        find: "        self.budget = left.ok_or_else(too_many)?;\n",
        replace: "        self.budget = left.or(Some(0)).ok_or_else(too_many)?;\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of decoders' memory",
        file: "crates/store/src/extract/mod.rs",
        find: "decoder_memory: self.limits.decoder_memory,",
        replace: "decoder_memory: u64::MAX,",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "no limit of a worker's memory",
        file: "crates/store/src/unpacker/confine.rs",
        find: "    limit(Resource::Data, memory(&order.job.limits))?;\n",
        replace: "    let _ = memory;\n",
        suites: &[WORKER],
    },
];
