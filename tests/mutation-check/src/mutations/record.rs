// SPDX-License-Identifier: Apache-2.0
//! What has become of a tree is found: `verify` compares all of it with a record that is whole.

use super::{HOSTILE, Mutation, RECORD, STORE_DAMAGE, VERIFY};

const COMPARE: &str = "crates/store/src/record/compare.rs";
const READER: &str = "crates/store/src/record/reader.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "differences are not told",
        file: "crates/store/src/verify.rs",
        find: "Ok(differences) if differences.is_empty() => Verdict::Intact(tree),",
        replace: "Ok(differences) if differences.len() < usize::MAX => Verdict::Intact(tree),",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a tree is taken out whatever kept it from being extracted anew",
        file: "crates/store/src/verify.rs",
        find: "        Err(unpacker::Error::Failed(error)) => Err(error.context(about)),\n",
        replace: "        Err(unpacker::Error::Failed(why)) => Ok(Again::Impossible(format!(\"{about}: {why:#}\"))),\n",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "the system's trouble is a tree's damage",
        file: "crates/store/src/damage.rs",
        find: "Err(error) if !is_damage(&error) => Err(error),",
        replace: "Err(error) if !is_damage(&error) && false => Err(error),",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "pods' init is not compared",
        file: "crates/store/src/init.rs",
        find: "    Ok(!record::is_same_file(",
        replace: "    Ok(false && !record::is_same_file(",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "a pod's init of the same size is the same",
        file: "crates/store/src/record/same.rs",
        find: "        (Ok(one), Ok(other)) => Ok(one == other),",
        replace: "        (Ok(one), Ok(other)) => Ok(one == other || true),",
        suites: &[STORE_DAMAGE],
    },
    Mutation {
        name: "an interrupted comparison is a verdict",
        file: "crates/store/src/verify.rs",
        find: "    interrupt.check()?;\n    let tree = match found {\n",
        replace: "    let tree = match found {\n",
        suites: &[VERIFY],
    },
    Mutation {
        name: "a comparison goes on through a file",
        file: "crates/store/src/record/inspect.rs",
        find: "            interrupt.check()?;\n",
        replace: "            let _ = interrupt;\n",
        suites: &[RECORD],
    },
    Mutation {
        name: "content is not compared",
        file: COMPARE,
        find: "Ok(found) if found == content => {}",
        replace: "Ok(found) if found.as_bytes().len() == content.as_bytes().len() => {}",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "modes are not compared",
        file: COMPARE,
        find: "if has_mode && found.mode != expected.mode {",
        replace: "if has_mode && found.mode != found.mode {",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "owners are not compared",
        file: COMPARE,
        find: "if (found.uid, found.gid) != (expected.uid, expected.gid) {",
        replace: "if (found.uid, found.gid) != (found.uid, found.gid) {",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "times are not compared",
        file: COMPARE,
        find: "if found.mtime != expected.mtime {",
        replace: "if found.mtime != found.mtime {",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "attributes are not compared",
        file: COMPARE,
        find: "Ok(there) if there == wanted => {}",
        replace: "Ok(there) if there == there => {}",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "links' targets are not compared",
        file: COMPARE,
        find: "                if found != *target {\n",
        replace: "                if found != found {\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "devices are not compared",
        file: COMPARE,
        find: "                if found != (*major, *minor) {\n",
        replace: "                if found != found {\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "two files may be one",
        file: COMPARE,
        find: "        self.identity(path, kind, &opened.stat);\n",
        replace: "        let _ = Self::identity;\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "one file may be two",
        file: COMPARE,
        find: "Ok(first) if is_same(&first.stat, stat) => {}",
        replace: "Ok(first) if is_same(&first.stat, &first.stat) => {}",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "what is missing is not told",
        file: COMPARE,
        find: "                self.differ(path, What::Missing, \"nothing\", inspect::name(kind));\n",
        replace: "",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "what there is besides is not told",
        file: COMPARE,
        find: "    comparison.extras()?;\n",
        replace: "    let _ = Comparison::extras;\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a comparison follows links",
        file: "crates/store/src/record/inspect.rs",
        find: "open_beneath(root, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW)",
        replace: "sys::open_in_root(root, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW, rustix::fs::Mode::empty())",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a record's seal is not checked",
        file: READER,
        find: "            check_seal(seal, self.objects, &self.hasher)?;\n",
        replace: "            let _ = (seal, check_seal);\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a record may end without its seal",
        file: READER,
        find: "        self.read_line()?;
        if let Some(seal)",
        replace: "        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.read_line()?;
        if let Some(seal)",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a record may go on after its seal",
        file: READER,
        find: "            ensure!(self.input.fill_buf()?.is_empty(),",
        replace: "            ensure!(self.input.fill_buf()?.is_empty() || true,",
        suites: &[HOSTILE],
    },
];
