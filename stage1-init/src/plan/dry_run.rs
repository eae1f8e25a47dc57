// SPDX-License-Identifier: Apache-2.0
//! A plan as text, for people and for tests.
//!
//! What comes from a manifest is JSON or a name. In addition, characters that would control a terminal are escaped.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use pod::manifest::Ownership;
use pod::text::one_line;
use pod::{Mount, Socket, Source, layout};

use crate::exchange::view::{COPIED, Copied, DEV, DEVICES, MASKED, READ_ONLY, SHARED, TMP};
use crate::load::trees::{Lower, Tree};
use crate::plan::{Plan, Root, Supplied};

/// Writes text to stdout; fails unless all of it is written.
pub(crate) fn print(text: &str) -> Result<()> {
    // Bypasses the buffer of Rust's runtime, which ignores an unwritable stdout as if it were closed.
    let write = || File::from(io::stdout().as_fd().try_clone_to_owned()?).write_all(text.as_bytes());
    write().context("cannot write to stdout")
}

/// Renders the plan as lines.
pub fn text(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for (path, content) in &plan.files {
        lines.push(format!("== file {path} =="));
        lines.extend(content.lines().map(str::to_owned));
    }
    lines.push("== links ==".into());
    lines.extend(plan.links.iter().map(|(path, target)| format!("{path} -> {target}")));
    lines.push("== mounts ==".into());
    lines.extend(plan.stage1.iter().map(|tree| {
        format!("stage1: {}/{tree}/{} with changes in {}", layout::TREES, layout::TREE, layout::STAGE1)
    }));
    lines.extend(plan.roots.iter().flat_map(of_root));
    lines.extend(in_pod());
    lines.extend(plan.roots.iter().flat_map(copied));
    lines.push("== sockets ==".into());
    let sockets = plan.sockets.iter();
    lines.extend(sockets.map(|Socket { name, protocol, port }| format!("{name}: {protocol} {port}")));
    lines.push("== limits ==".into());
    lines.extend(plan.limits.iter().map(|(file, value)| format!("{file}: {value}")));
    lines.push("== stdin ==".into());
    lines.push(if plan.stdin { "the caller's" } else { "/dev/null" }.into());
    lines.push("== command ==".into());
    lines.extend(plan.nspawn.iter().cloned());
    lines.push("== warnings ==".into());
    lines.extend(plan.warnings.iter().cloned());
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

/// Describes what `/init` mounts for an app.
fn of_root(root: &Root) -> Vec<String> {
    let Root { at, tree, read_only, tmp_in_memory, supplied, mounts } = root;
    let tree = match tree {
        Tree::Own(path) => path.clone(),
        Tree::Shared { lower, upper } => format!("{} with changes in {upper}", lower_path(lower)),
    };
    let mut lines = vec![format!("{at}: {tree}{}", writable(*read_only))];
    lines.extend(tmp_in_memory.then(|| format!("  \"{TMP}\": in memory")));
    let supplied = supplied.iter();
    lines.extend(supplied.map(|Supplied { at, source }| {
        format!("  \"{at}\": {source}, where the tree has none{}", writable(true))
    }));
    lines.extend(mounts.iter().map(|Mount { source, target, read_only }| {
        let source = match source {
            Source::Host { path, recursive: true } => path.to_string(),
            Source::Host { path, recursive: false } => format!("{path} without what is mounted below it"),
            Source::Empty { volume, app, ownership: Ownership { mode, uid, gid } } => {
                let own = if app.is_some() { " of its own" } else { "" };
                format!("empty volume {volume}{own}, {mode:04o} {uid}:{gid}")
            }
        };
        format!("  {target}: {source}{}", writable(*read_only))
    }));
    lines
}

/// Describes what is mounted in the pod for all apps, once its namespaces exist.
fn in_pod() -> Vec<String> {
    let devices = DEVICES.map(|(name, ..)| name).join(" ");
    let dev = format!("  \"{DEV}\": {devices}, in memory{}", writable(true));
    let mut lines = vec!["in the pod:".to_owned(), dev];
    lines.extend(SHARED.map(|name| format!("  \"{DEV}/{name}\": \"/dev/{name}\"")));
    lines.extend(MASKED.map(|path| format!("  \"{path}\": nothing, where the kernel has it")));
    lines.extend(
        READ_ONLY.map(|path| format!("  \"{path}\": itself, where the kernel has it{}", writable(true))),
    );
    lines
}

/// Describes which of these mounts are copied into an app's root last.
fn copied(root: &Root) -> Vec<String> {
    let mut lines = vec![format!("in the pod's {}:", root.at)];
    lines.extend(COPIED.map(|Copied { at, source, read_only }| {
        format!("  \"{at}\": \"{source}\" with what is mounted in it{}", writable(read_only))
    }));
    lines
}

fn lower_path(lower: &Lower) -> String {
    match lower {
        Lower::Stage1(path) => path.clone(),
        Lower::Store(tree) => {
            format!("{}/{tree}/{}/{}", layout::TREES, layout::TREE, layout::IMAGE_ROOTFS)
        }
    }
}

fn writable(read_only: bool) -> &'static str {
    if read_only { ", read-only" } else { "" }
}
