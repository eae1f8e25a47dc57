// SPDX-License-Identifier: Apache-2.0
//! On disk before it is seen, and seen before success is told.

use super::{DURABILITY, FAULTS_OF_AN_IMPORT, Mutation};

const APPLY: &str = "crates/prepare/src/apply.rs";
const LAYOUT: &str = "crates/prepare/src/layout.rs";
const STAGING: &str = "crates/store/src/staging/mod.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a tree is not synced before the rename",
        file: STAGING,
        find: "Sync::FileSystem => syncfs(&self.directory),",
        replace: "Sync::FileSystem => Ok(()),",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "a tree's own directory alone is synced before the rename",
        file: STAGING,
        find: "Sync::FileSystem => syncfs(&self.directory),",
        replace: "Sync::FileSystem => fsync(&self.directory),",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "a pod directory is not synced before the rename",
        file: STAGING,
        find: "Sync::Files => fsync(&self.directory),",
        replace: "Sync::Files => Ok(()),",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "a pod's files are not synced",
        file: STAGING,
        find: "            Ok(fsync(&file)?)\n",
        replace: "            Ok(())\n",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "an upper layer is not synced",
        file: LAYOUT,
        find: "    fsync(upper)?;\n",
        replace: "",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "a copy of init is not synced",
        file: "crates/store/src/copy.rs",
        find: "    Ok(rustix::fs::fsync(written)?)\n",
        replace: "    drop(written);\n    Ok(())\n",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "copies are synced as the few files of an upper layer are",
        file: LAYOUT,
        find: "layers: Layers::Copy, sync: Sync::FileSystem",
        replace: "layers: Layers::Copy, sync: Sync::Files",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "no sync of the directory after the rename",
        file: STAGING,
        find: "if let Err(error) = fsync(parent) {",
        replace: "if let Err(error) = Ok::<(), Errno>(()) {",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "the staging directory is synced in place of the one above",
        file: STAGING,
        find: "if let Err(error) = fsync(parent) {",
        replace: "if let Err(error) = fsync(&self.data_dir.staging) {",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "the manifest is written after the rename",
        file: APPLY,
        find: "    staging.write_file(names::MANIFEST, manifest)?;
    staging.write_file(names::LAYERS, laid.layers.to_json().as_bytes())?;
    let name = std::ffi::CString::new(staging.id().to_string())?;
    let published = staging.publish(&data_dir.containers, &name, laid.sync)?;\n",
        replace: "    staging.write_file(names::LAYERS, laid.layers.to_json().as_bytes())?;
    let name = std::ffi::CString::new(staging.id().to_string())?;
    let published = staging.publish(&data_dir.containers, &name, laid.sync)?;
    staging.write_file(names::MANIFEST, manifest)?;\n",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "the rename may replace",
        file: STAGING,
        find: "match renameat_with(&self.data_dir.staging, &self.name, parent, name, RenameFlags::NOREPLACE)",
        replace: "match renameat_with(&self.data_dir.staging, &self.name, parent, name, RenameFlags::empty())",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "a tree that replaces another is not synced",
        file: STAGING,
        find: "        syncfs(&self.directory).context(\"cannot sync the staging directory\")?;\n",
        replace: "",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "no sync of the store after one tree has replaced another",
        file: STAGING,
        find: "        let synced = fsync(parent);\n",
        replace: "        let synced = Ok::<(), Errno>(());\n",
        suites: &[DURABILITY],
    },
    Mutation {
        name: "a tree has another name before it is there",
        file: "crates/store/src/new.rs",
        find: "        let info = self.describe()?;\n        let is_new = match self.enter()? {\n",
        replace: "        let info = self.describe()?;
        name(self.data_dir, &self.verified)?;
        let is_new = match self.enter()? {\n",
        suites: &[FAULTS_OF_AN_IMPORT],
    },
];
