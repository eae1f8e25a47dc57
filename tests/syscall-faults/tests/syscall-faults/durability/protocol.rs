// SPDX-License-Identifier: Apache-2.0
//! The order of calls that publishing requires, whichever process makes them. Objects are identified by device and
//! inode number, so that processes in other mount namespaces are covered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pod::layout;
use syscall_faults::trace::{Done, Event, Id};

/// The directories in DIR that published objects are in.
const DIRECTORIES: &[&str] = &["containers", "store/tree-v1"];

/// A published directory: a pod or a tree.
#[derive(Debug)]
pub(crate) struct Published {
    path: PathBuf,
    root: Id,
    /// The directory and everything below it. Each is on disk together with the object it maps to: itself, or the
    /// directory above.
    objects: BTreeMap<Id, Id>,
    /// The directory that contains it.
    parent: Id,
    /// The directories that lead to it, beginning with the one that contains DIR.
    above: BTreeSet<Id>,
}

impl Published {
    /// Tells whether an event changed something in it. Its publication doesn't count.
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

    /// Tells whether an event is its publication.
    pub(crate) fn is_published_by(&self, event: &Event) -> bool {
        matches!(event.done(), Some(Done::Renamed { to, object, .. }) if (*to, *object) == (self.parent, self.root))
    }
}

/// Returns what is published in DIR.
pub(crate) fn entries(dir: &Path) -> BTreeMap<PathBuf, Id> {
    let read = |directory: &&str| fs::read_dir(dir.join(directory)).into_iter().flatten();
    let paths = DIRECTORIES.iter().flat_map(read).map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), id(&path))).collect()
}

/// Returns what is published in DIR and was not, or was another object, before.
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

/// An empty directory is on disk as soon as its parent is, since journals hold a new object together with its name. The
/// contents of a pod's `work` directory belong to overlayfs, which discards them at each mount.
fn collect(path: &Path, above: Id, into: &mut BTreeMap<Id, Id>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let own = Id::from(&metadata);
    let has_content = metadata.is_dir() && !path.ends_with(layout::WORK);
    let below: Vec<_> = has_content.then(|| fs::read_dir(path).unwrap()).into_iter().flatten().collect();
    into.insert(own, if metadata.is_dir() && below.is_empty() { above } else { own });
    below.into_iter().for_each(|entry| collect(&entry.unwrap().path(), own, into));
}

/// When a call began, and when it had ended.
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
/// Says what was not done, or too late.
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

/// Returns the objects that an event changed.
fn changed(event: &Event) -> impl Iterator<Item = Id> {
    let changed = match event.done() {
        Some(Done::Changed(objects)) => objects.clone(),
        Some(Done::Renamed { from, to, .. }) => vec![*from, *to],
        _ => Vec::new(),
    };
    changed.into_iter()
}

/// Checks that each object is synced after its change and before `until`. The error names one that is not.
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
