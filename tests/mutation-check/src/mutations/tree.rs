// SPDX-License-Identifier: Apache-2.0
//! A tree is what its archive says, and nothing outside of it is touched.

use super::{HOSTILE, Mutation};

const DIRECTORIES: &str = "crates/store/src/extract/directories.rs";
const METADATA: &str = "crates/store/src/extract/metadata.rs";
const OPEN: &str = "crates/sys/src/open.rs";
const TREE: &str = "crates/store/src/extract/tree_writer.rs";

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a file that is there is opened",
        file: TREE,
        find: "OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY",
        replace: "OFlags::CREATE | OFlags::WRONLY",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "links lead out of the tree",
        file: OPEN,
        find: "ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS)",
        replace: "ResolveFlags::empty()",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "links lead elsewhere in the tree",
        file: OPEN,
        find: "ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS)",
        replace: "ResolveFlags::BENEATH",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a hard link is another file",
        file: TREE,
        find: "match linkat(source, source_name, parent, name, AtFlags::empty()) {",
        replace: "let flags = OFlags::CREATE | OFlags::EXCL;
        match openat(parent, name, flags, Mode::RUSR).map(drop).and_then(|()| {
            rustix::fs::statat(source, source_name, AtFlags::SYMLINK_NOFOLLOW).map(drop)
        }) {",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a hard link follows a link",
        file: TREE,
        find: "linkat(source, source_name, parent, name, AtFlags::empty())",
        replace: "linkat(source, source_name, parent, name, AtFlags::SYMLINK_FOLLOW)",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "the owner is set last",
        file: METADATA,
        find: "    futimens(&file, &times(metadata.mtime)).context(\"cannot set the times\")?;\n",
        replace: "    set_owner(&file, metadata)?;
    futimens(&file, &times(metadata.mtime)).context(\"cannot set the times\")?;\n",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "set-user-id bits are not set again",
        file: METADATA,
        find: "if modes == Modes::Set || metadata.mode & !PLAIN != 0 {",
        replace: "if modes == Modes::Set && metadata.mode & !PLAIN == 0 {",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "files have no attributes",
        file: METADATA,
        find: "    metadata.xattrs.iter().try_for_each(|xattr| set_xattr(&file, xattr))?;\n",
        replace: "",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a link's owner is set on what it leads to",
        file: METADATA,
        find: "chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)",
        replace: "chownat(&parent, name, Some(uid), Some(gid), AtFlags::empty())",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a link's time is set on what it leads to",
        file: METADATA,
        find: "utimensat(&parent, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)",
        replace: "utimensat(&parent, name, &times(metadata.mtime), AtFlags::empty())",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "directories have the times of their last change",
        file: METADATA,
        find: "    futimens(&directory, &times(last.mtime)).context(\"cannot set the times\")?;\n",
        replace: "",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a set-group-id bit goes on into what is below",
        file: DIRECTORIES,
        find: "        now.mode &= !SET_GROUP_ID;\n",
        replace: "",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "a default ACL goes on into what is below",
        file: DIRECTORIES,
        find: "        now.xattrs.retain(|xattr| xattr.name() != DEFAULT_ACL);\n",
        replace: "",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "overlayfs's attributes are set",
        file: "crates/archive/src/entry.rs",
        find: "name.starts_with(\"user.\") && !name.starts_with(\"user.overlay.\")",
        replace: "name.starts_with(\"user.\")",
        suites: &[HOSTILE],
    },
    Mutation {
        name: "what follows an archive's end is not looked at",
        file: "crates/archive/src/tar/reader.rs",
        find: "                self.end()?;\n",
        replace: "                let _ = Self::end;\n",
        suites: &[HOSTILE],
    },
];
