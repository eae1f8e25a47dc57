// SPDX-License-Identifier: Apache-2.0
//! A worker has nothing but the archive and the tree, and ends with its installer.

use super::{Mutation, WORKER};

const CONFINE: &str = "crates/store/src/unpacker/confine.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a worker that is not confined goes on",
        file: "crates/store/src/unpacker/child.rs",
        find: "    confine::enter(&order).context(\"cannot confine the unpacking process\")?;\n",
        replace: "    let _ = confine::enter(&order);\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker keeps its capabilities",
        file: CONFINE,
        find: "    drop_capabilities().context(\"cannot drop capabilities\")?;\n",
        replace: "    let _ = drop_capabilities;\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker keeps the bounding set",
        file: CONFINE,
        find: "                    remove_capability_from_bounding_set(capability)?;\n",
        replace: "",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker can gain privileges",
        file: CONFINE,
        find: "    set_no_new_privs(true).context(\"cannot give up new privileges\")?;\n",
        replace: "    let _ = set_no_new_privs;\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker keeps the host's root",
        file: CONFINE,
        find: "    enter_tree().context(\"cannot make the new tree the root\")?;\n",
        replace: "    let _ = enter_tree;\n    rustix::process::chroot(\".\")?;\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker's tree may have devices and programs",
        file: CONFINE,
        find: "root::enter_current_directory(safe)",
        replace: "root::enter_current_directory(safe & MountFlags::NOSUID)",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker has the host's network",
        file: "crates/sys/src/namespaces.rs",
        find: "CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC",
        replace: "CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker has its caller's descriptors",
        file: CONFINE,
        find: "    close_others(|_| false).context(\"cannot close descriptors\")?;\n",
        replace: "    let _ = close_others::<fn(i32) -> bool>;\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker has its caller's environment",
        file: "crates/store/src/unpacker/parent.rs",
        find: "        .env_clear()\n",
        replace: "",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker lives on",
        file: CONFINE,
        find: "    die_with(order.parent)?;\n",
        replace: "    let _ = die_with;\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker can make any system call",
        file: CONFINE,
        find: "    calls::permit_only_what_unpacking_takes().context(\"cannot give up system calls\")\n",
        replace: "    let _ = calls::permit_only_what_unpacking_takes;\n    Ok(())\n",
        suites: &[WORKER],
    },
    Mutation {
        name: "a worker has no lock",
        file: "crates/store/src/unpacker/parent.rs",
        find: "    ensure!(is_locked_alone(&record).context(\"cannot lock the record\")?, \"another worker has the record\");\n",
        replace: "",
        suites: &[WORKER],
    },
];
