// SPDX-License-Identifier: Apache-2.0
//! A plan as text, for people and for tests.
//!
//! What comes from a manifest is JSON or a name. In addition, characters that would control a terminal are escaped.

use pod::isolators::Capacity;
use pod::manifest::{Links, Ownership};
use pod::text::one_line;
use pod::{Mount, Socket, Source, layout};

use crate::exchange::statuses::Writes;
use crate::exchange::view::{
    COPIED, Copied, DEV, DEVICES, MASKED, NOTIFY, NOTIFY_OF_POD, OWN_RUN, READ_ONLY, TMP,
};
use crate::load::ids::BLOCK;
use crate::load::trees::{Lower, Tree};
use crate::load::zone::Zone;
use crate::names::LOCALTIME;
use crate::plan::{Directory, File, Fresh, Plan, Root, Supplied};

/// Renders the plan as lines.
pub fn text(plan: &Plan) -> String {
    let mut lines = Vec::new();
    lines.push("== directories ==".into());
    lines.extend(plan.directories.iter().map(|(path, kind)| match kind {
        Directory::Emptied => format!("{path}: emptied"),
        Directory::Kept => path.clone(),
    }));
    for (path, File { mode, content }) in &plan.files {
        lines.push(format!("== file {path}, {mode:04o} =="));
        lines.extend(content.lines().map(str::to_owned));
    }
    lines.push("== links ==".into());
    lines.extend(plan.links.iter().map(|(path, target)| format!("{path} -> {target}")));
    lines.push("== time zone ==".into());
    lines.extend(zone(plan.zone.as_ref()));
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
    lines.push("== network ==".into());
    lines.push(plan.network_mode.to_string());
    lines.extend(
        plan.network.iter().flat_map(|plan| plan.to_string().lines().map(str::to_owned).collect::<Vec<_>>()),
    );
    lines.push("== limits ==".into());
    lines.extend(plan.limits.iter().map(|(file, value)| format!("{file}: {value}")));
    lines.extend(plan.sysctls.iter().map(|sysctl| format!("sysctl {sysctl}: {}", sysctl.value())));
    lines.push("== statuses ==".into());
    lines.extend(plan.statuses.iter().map(|(app, writes)| match writes {
        Writes::Once => layout::status(app),
        Writes::Again => format!("{}, at each end", layout::status(app)),
    }));
    lines.push("== users ==".into());
    lines.push(plan.ids.map_or("the host's".into(), |ids| {
        format!("the pod's own: {} ids from the host's {} on", ids.count(), ids.first())
    }));
    lines.extend(plan.oom_score_least.map(|least| format!("oom_score_adj may be {least} at the least")));
    lines.extend(plan.terminal_user.map(|user| format!("a terminal belongs to the host's {user} meanwhile")));
    lines.push("== stdin ==".into());
    lines.push(match &plan.terminal {
        Some(app) => format!("a terminal of the pod's, for app {app}"),
        None if plan.stdin => "the caller's".into(),
        None => "/dev/null".into(),
    });
    lines.push("== command ==".into());
    lines.extend(plan.nspawn.iter().cloned());
    lines.push("== exit code if the pod can't be started ==".into());
    lines.push(plan.failure_code.map_or("that of the step that failed".into(), |code| code.to_string()));
    lines.push("== warnings ==".into());
    lines.extend(plan.warnings.iter().cloned());
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

/// Describes the time zone that stage1 and each app's root get.
fn zone(zone: Option<&Zone>) -> Vec<String> {
    let Some(Zone { content, link }) = zone else { return vec![format!("no {LOCALTIME}: UTC")] };
    let length = content.len();
    match link {
        None => vec![format!("{LOCALTIME}: {length} bytes")],
        Some(link) => {
            let file = link.file.as_path().display();
            vec![format!("{LOCALTIME} -> {}", link.target), format!("{file}: {length} bytes")]
        }
    }
}

/// Describes what `/init` mounts for an app.
fn of_root(root: &Root) -> Vec<String> {
    let Root { at, tree, first_id, read_only, tmp, fresh, notifies: _, supplied, mounts } = root;
    let tree = match tree {
        Tree::Own(path) => path.clone(),
        Tree::Shared { lower, upper } => format!("{} with changes in {upper}", lower_path(lower)),
    };
    let mut lines = vec![format!("{at}: {tree}{}", writable(*read_only))];
    lines
        .extend(first_id.map(|first| format!("  its ids are the host's {first} to {}", first + (BLOCK - 1))));
    lines.push(format!(
        "  \"{DEV}\": {}, in memory{}",
        DEVICES.map(|(name, ..)| name).join(" "),
        writable(true)
    ));
    lines.extend(tmp.map(|tmp| format!("  \"{TMP}\": {}", in_memory(tmp))));
    lines.extend(fresh.iter().map(|Fresh { at, capacity, place }| {
        let again = place.as_ref().map(|place| format!(", and in {place}")).unwrap_or_default();
        let when = if *at == OWN_RUN { ", where the tree has a directory of its own" } else { "" };
        format!("  \"{at}\": what the tree has, {}{when}{again}", in_memory(*capacity))
    }));
    let supplied = supplied.iter();
    lines.extend(supplied.map(|Supplied { at, source, completes }| {
        let when = if *completes { "with what the tree's says" } else { "where the tree has none" };
        format!("  \"{at}\": {source}, {when}{}", writable(true))
    }));
    lines.extend(mounts.iter().map(|Mount { source, target, read_only }| {
        let source = match source {
            Source::Host { path, recursive, links } => {
                let alone = if *recursive { "" } else { " without what is mounted below it" };
                let links = if *links == Links::Followed { ", by links" } else { "" };
                format!("{path}{links}{alone}")
            }
            Source::Empty { volume, app, ownership: Ownership { mode, uid, gid }, capacity, .. } => {
                let own = if app.is_some() { " of its own" } else { "" };
                let memory = capacity.map(|capacity| format!(", {}", in_memory(capacity)));
                format!("empty volume {volume}{own}, {mode:04o} {uid}:{gid}{}", memory.unwrap_or_default())
            }
        };
        format!("  {target}: {source}{}", writable(*read_only))
    }));
    lines
}

/// Describes what is mounted in the pod for all apps, once its namespaces exist.
fn in_pod() -> Vec<String> {
    let mut lines = vec!["in the pod:".to_owned()];
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
    lines.extend(root.notifies.then(|| format!("  \"{NOTIFY}\": \"{NOTIFY_OF_POD}\"")));
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

fn in_memory(capacity: Capacity) -> String {
    format!("in memory, at most {} bytes and {} inodes", capacity.bytes(), capacity.inodes())
}

fn writable(read_only: bool) -> &'static str {
    if read_only { ", read-only" } else { "" }
}
