// SPDX-License-Identifier: Apache-2.0
//! The order of calls that publishing asks for, whoever makes them: objects are known by device and inode number, so
//! a process with mounts of its own is no exception.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pod::layout;
use syscall_faults::trace::{Done, Event, Id};

/// Where published things are, in DIR.
const DIRECTORIES: &[&str] = &["containers", "store/tree-v1"];

/// A published thing.
#[derive(Debug)]
pub(crate) struct Published {
    path: PathBuf,
    root: Id,
    /// It and everything below it, with what it is on disk with: itself, or the directory above.
    objects: BTreeMap<Id, Id>,
    /// The directory it is in.
    parent: Id,
    /// The directories that lead to it, from the one DIR is in.
    above: BTreeSet<Id>,
}

impl Published {
    /// Whether an event changed something of it; its publication does not.
    pub(crate) fn is_changed_by(&self, event: &Event) -> bool {
        match event.done() {
            Some(Done::Changed(objects)) => objects.iter().any(|object| self.objects.contains_key(object)),
            Some(Done::Renamed { from, to, object, .. }) => {
                let within = [from, to].into_iter().any(|object| self.objects.contains_key(object));
                within || (self.objects.contains_key(object) && *object != self.root)
            }
            _ => false,
        }
    }

    /// Whether an event is its publication.
    pub(crate) fn is_published_by(&self, event: &Event) -> bool {
        matches!(event.done(), Some(Done::Renamed { to, object, .. }) if (*to, *object) == (self.parent, self.root))
    }
}

/// What is published in DIR.
pub(crate) fn entries(dir: &Path) -> BTreeMap<PathBuf, Id> {
    let read = |directory: &&str| fs::read_dir(dir.join(directory)).into_iter().flatten();
    let paths = DIRECTORIES.iter().flat_map(read).map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), id(&path))).collect()
}

/// What is published in DIR, and was not before, or was another.
pub(crate) fn published(dir: &Path, before: &BTreeMap<PathBuf, Id>) -> Vec<Published> {
    let new = entries(dir).into_iter().filter(|(path, id)| before.get(path) != Some(id));
    new.map(|(path, _)| {
        let mut objects = BTreeMap::new();
        collect(&path, id(&path), &mut objects);
        let parent = id(path.parent().unwrap());
        let above = path.ancestors().skip(1).take_while(|above| above.starts_with(dir.parent().unwrap()));
        Published { root: id(&path), objects, parent, above: above.map(id).collect(), path }
    })
    .collect()
}

fn id(path: &Path) -> Id {
    Id::from(&fs::symlink_metadata(path).unwrap())
}

/// A directory without content is on disk once the one above is: journals have a new object beside its name. What is
/// in a pod's `work` is overlayfs's, which throws it away at each mount.
fn collect(path: &Path, above: Id, into: &mut BTreeMap<Id, Id>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let own = Id::from(&metadata);
    let has_content = metadata.is_dir() && !path.ends_with(layout::WORK);
    let below: Vec<_> = has_content.then(|| fs::read_dir(path).unwrap()).into_iter().flatten().collect();
    into.insert(own, if metadata.is_dir() && below.is_empty() { above } else { own });
    below.into_iter().for_each(|entry| collect(&entry.unwrap().path(), own, into));
}

/// When a call began, and had ended.
#[derive(Clone, Copy)]
struct Span {
    began: usize,
    ended: usize,
}

fn span(event: &Event) -> Span {
    Span { began: event.began, ended: event.end.as_ref().map_or(usize::MAX, |end| end.at) }
}

/// Checks the events of a run that has published something.
///
/// # Errors
/// What was not done, or too late.
pub(crate) fn check(events: &[Event], published: &Published) -> Result<(), String> {
    let path = published.path.display();
    let mut renames = events.iter().filter(|event| published.is_published_by(event));
    let (Some(rename), None) = (renames.next(), renames.next()) else {
        return Err(format!("{path}: not published by one rename"));
    };
    if !matches!(rename.done(), Some(Done::Renamed { no_replace: true, .. })) {
        return Err(format!("{path}: the rename could have replaced another"));
    }
    let rename = span(rename);
    let told = events.iter().filter(|event| event.done() == Some(&Done::Said)).map(span);
    let told = told.filter(|told| told.began > rename.began).min_by_key(|told| told.began);
    let told = told.ok_or_else(|| format!("{path}: success is not told afterwards"))?;
    for event in events {
        let change = span(event);
        if published.is_changed_by(event) {
            let objects = changed(event).filter_map(|id| published.objects.get(&id).copied());
            synced(events, change, objects, rename)
                .map_err(|id| format!("{path}: {event}: {id:?} is not synced between that and the rename"))?;
        }
        let objects = changed(event).filter(|id| published.above.contains(id));
        let is_other_rename =
            matches!(event.done(), Some(Done::Renamed { .. })) && change.began != rename.began;
        if !is_other_rename {
            synced(events, change, objects, told)
                .map_err(|id| format!("{path}: {event}: {id:?} is not synced before success is told"))?;
        }
    }
    Ok(())
}

/// The objects that an event changed.
fn changed(event: &Event) -> impl Iterator<Item = Id> {
    let changed = match event.done() {
        Some(Done::Changed(objects)) => objects.clone(),
        Some(Done::Renamed { from, to, .. }) => vec![*from, *to],
        _ => Vec::new(),
    };
    changed.into_iter()
}

/// Whether each object is synced after the change and before `until`; an error is one that is not.
fn synced(
    events: &[Event],
    change: Span,
    mut objects: impl Iterator<Item = Id>,
    until: Span,
) -> Result<(), Id> {
    let is_synced = |object: &Id| {
        events.iter().any(|event| {
            let sync = span(event);
            let in_time = change.ended < sync.began && sync.ended < until.began;
            let covers = match event.done() {
                Some(Done::SyncedObject(synced)) => synced == object,
                Some(Done::SyncedFileSystem(device)) => *device == object.device,
                _ => false,
            };
            in_time && covers
        })
    };
    objects.find(|object| !is_synced(object)).map_or(Ok(()), Err)
}
