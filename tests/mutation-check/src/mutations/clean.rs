// SPDX-License-Identifier: Apache-2.0
//! Nothing is left of what failed, nor of what died.

use super::{
    FAULTS, FAULTS_AFTER_A_KILL, FAULTS_OF_AN_IMPORT, MOUNTED, Mutation, STORE_AFTER_A_FAILURE, STORE_GC,
    STORE_WHERE_NONE_IS,
};

const APPLY: &str = "crates/prepare/src/apply.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a pod whose directory above can't be synced stays",
        file: "crates/store/src/staging/mod.rs",
        find: "            self.withdraw(parent, name);
            return Err(error).context(\"cannot sync the directory above\");\n",
        replace: "            return Err(error).context(\"cannot sync the directory above\");\n",
        suites: &[FAULTS],
    },
    Mutation {
        name: "a pod that nobody was told of stays",
        file: APPLY,
        find: "            staging.withdraw(&data_dir.containers, &name);\n",
        replace: "",
        suites: &[STORE_AFTER_A_FAILURE],
    },
    Mutation {
        name: "a pod's staging directory is not removed after a failure",
        file: "crates/store/src/staging/removal.rs",
        find: "        if self.is_due.get()\n",
        replace: "        if self.is_due.get() && false\n",
        suites: &[FAULTS],
    },
    Mutation {
        name: "trees that came for a pod stay after it has failed",
        file: APPLY,
        find: "        if self.trees.is_empty() {\n",
        replace: "        if self.trees.len() < usize::MAX {\n",
        suites: &[STORE_AFTER_A_FAILURE],
    },
    Mutation {
        name: "trees that are unpacked stay in staging after another is refused",
        file: APPLY,
        find: "    Ok(AcquiredTrees { stage1: AcquiredTree { tree, shown }, images: of_images? })\n",
        replace: "    let tree = std::mem::ManuallyDrop::new(tree);
    let images = of_images?;
    let tree = std::mem::ManuallyDrop::into_inner(tree);
    Ok(AcquiredTrees { stage1: AcquiredTree { tree, shown }, images })\n",
        suites: &[STORE_AFTER_A_FAILURE],
    },
    Mutation {
        name: "a tree that is not whole stays in staging",
        file: "crates/store/src/import.rs",
        find: "        let verified = self.unpack(&staging, source, kind, &job)?;\n",
        replace: "        let unpacked = self.unpack(&staging, source, kind, &job);
        let staging = std::mem::ManuallyDrop::new(staging);
        let verified = unpacked?;
        let staging = std::mem::ManuallyDrop::into_inner(staging);\n",
        suites: &[FAULTS_OF_AN_IMPORT],
    },
    Mutation {
        name: "a tree that can't have its other names stays",
        file: "crates/store/src/new.rs",
        find: "        let _ = self.staging.try_withdraw(&self.data_dir.trees, &tree::name(self.verified.id()));\n",
        replace: "",
        suites: &[FAULTS_OF_AN_IMPORT],
    },
    Mutation {
        name: "directories that were made are not removed after a failure",
        file: APPLY,
        find: "    let prepared = in_data_dir(inputs, &data_dir, interrupt, announce)?;\n    data_dir.keep();\n",
        replace: "    let prepared = in_data_dir(inputs, &data_dir, interrupt, announce);
    data_dir.keep();
    let prepared = prepared?;\n",
        suites: &[FAULTS],
    },
    Mutation {
        name: "directories that were made are not removed when the next can't be",
        file: "crates/store/src/data_dir.rs",
        find: "        if self.directories.is_empty() {\n",
        replace: "        if self.directories.len() < usize::MAX {\n",
        suites: &[FAULTS],
    },
    Mutation {
        name: "an error that is swallowed",
        file: "crates/store/src/extract/metadata.rs",
        find: "    futimens(&file, &times(metadata.mtime)).context(\"cannot set the times\")?;\n",
        replace: "    let _ = futimens(&file, &times(metadata.mtime));\n",
        suites: &[FAULTS_OF_AN_IMPORT],
    },
    Mutation {
        name: "what a dead run left is not swept by a prepare",
        file: APPLY,
        find: "    Staging::sweep_or_warn(data_dir).with_context(about)?;\n",
        replace: "    let _ = about;\n",
        suites: &[FAULTS_AFTER_A_KILL],
    },
    Mutation {
        name: "what a dead run left is not swept by gc",
        file: "installer/src/commands/gc.rs",
        find: "= (sweep(data_dir)?, Ui.lines());",
        replace: "= (Exit::Done, Ui.lines());",
        suites: &[STORE_GC],
    },
    Mutation {
        name: "a tree is removed up to what is mounted in it",
        file: "crates/sys/src/remove.rs",
        find: "    check(&parent, name)?;\n    if is_removed",
        replace: "    if is_removed",
        suites: &[MOUNTED],
    },
    Mutation {
        name: "a tree is taken out with what is mounted in it",
        file: "crates/store/src/staging/mod.rs",
        find: "    mounted::check_tree(data_dir, name)?;\n    for _ in",
        replace: "    for _ in",
        suites: &[MOUNTED],
    },
    Mutation {
        name: "a store is made to look into",
        file: "crates/store/src/data_dir.rs",
        find: "        if has_store { Self::open(path, interrupt, listener).map(Some) } else { Ok(None) }\n",
        replace: "        let _ = has_store;\n        Self::open(path, interrupt, listener).map(Some)\n",
        suites: &[STORE_WHERE_NONE_IS],
    },
    Mutation {
        name: "names of trees that are gone stay",
        file: "crates/store/src/gc.rs",
        find: "    alias::sweep(data_dir)?;\n",
        replace: "",
        suites: &[STORE_GC],
    },
];
