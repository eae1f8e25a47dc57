// SPDX-License-Identifier: Apache-2.0
//! Checks that everything that is mounted in an app's tree has a place there, and finds what the app sees in these
//! places.

use anyhow::{Context, Result, anyhow, bail, ensure};
use pod::path::AbsolutePath;
use pod::text::escape_bytes;
use pod::{App, Mount, Source, check_targets};
use rustix::fs::{FileType, Stat, fstat};

use super::access::Permissions;
use super::view::{Cover, View, What};
use crate::host_volume::open_source;
use sys::in_root::{InRoot, is_missing};

/// The directories of an app's /dev, with their modes. Nothing else in /dev leads anywhere, apart from the link
/// /dev/fd.
const DEV: [(&str, u32); 4] =
    [("/dev", 0o755), ("/dev/pts", 0o755), ("/dev/shm", 0o1777), ("/dev/mqueue", 0o1777)];

/// Returns the app's file system, after checking that its mounts are possible.
pub(super) fn view<'a>(app: &App, root: &'a InRoot) -> Result<View<'a>> {
    check_places(root)?;
    let targets = check_mounts(app, root)?;
    let place = |path: &str, what| Cover { path: path.into(), what };
    let mut places = vec![place("/proc", What::Kernel), place("/sys", What::Kernel)];
    let own = |mode| What::Empty(Permissions::roots(mode), "the pod's own");
    places.extend(DEV.map(|(path, mode)| place(path, own(mode))));
    places.push(place("/dev/fd", What::Link("/proc/self/fd")));
    let tmp = root.resolve(&"/tmp".parse()?).context("/tmp")?;
    let is_missing = root.stat("/tmp").is_err_and(|error| is_missing(&error));
    if app.tmp().is_some() || is_missing {
        let what = match (app.read_only_root, app.tmp()) {
            (true, _) => "in memory where the root is read-only",
            (false, Some(_)) => "in memory, as isolator resource/tmp has it",
            (false, None) => "made by the executor",
        };
        places.push(Cover { path: tmp.path, what: What::Empty(Permissions::roots(0o1777), what) });
    }
    let run = root.resolve(&"/run".parse()?).context("/run")?;
    if root.stat("/run").is_err_and(|error| sys::in_root::is_missing(&error)) {
        places.push(Cover {
            path: run.path,
            what: What::Empty(Permissions::roots(0o755), "made by the executor"),
        });
    }
    let volumes = targets.into_iter().zip(&app.mounts);
    places.extend(volumes.map(|(path, mount)| Cover { path, what: seen(mount) }));
    Ok(View::new(root, places))
}

fn seen(mount: &Mount) -> What {
    match &mount.source {
        Source::Host { .. } => What::Host,
        Source::Empty { ownership, .. } => {
            let (mode, uid, gid) = (ownership.mode, ownership.uid, ownership.gid);
            What::Empty(Permissions { mode, uid, gid, acl: None }, "a volume of kind empty")
        }
    }
}

/// Checks the places where the executor makes or mounts something: each has to be a directory, or to be missing. The
/// places of the kernel's own file systems must not be reached through a link.
fn check_places(root: &InRoot) -> Result<()> {
    for name in ["/dev", "/proc", "/sys", "/etc", "/tmp", "/run"] {
        let place = root.resolve(&name.parse()?).with_context(|| name.to_owned())?;
        let may_be_elsewhere = matches!(name, "/etc" | "/tmp");
        let is_elsewhere = place.through_nothing || place.path != name.as_bytes() && !may_be_elsewhere;
        ensure!(!is_elsewhere || name == "/run", "{name} is a link: expected a directory, or nothing");
        match root.stat(name) {
            Ok(stat) => ensure!(is_directory(&stat), "{name} is no directory: expected one, or nothing"),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error).with_context(|| name.to_owned()),
        }
    }
    let localtime = root.stat("/etc/localtime");
    ensure!(
        !localtime.is_ok_and(|stat| is_directory(&stat)),
        "/etc/localtime is a directory: expected a file"
    );
    Ok(())
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Returns the mounts' targets without links. Two names may lead to the same place, and a target may be of another type
/// than its source.
fn check_mounts(app: &App, root: &InRoot) -> Result<Vec<Vec<u8>>> {
    let (mut places, mut through_nothing) = (Vec::new(), Vec::new());
    for mount in &app.mounts {
        let at = || format!("mount at {}", mount.target);
        check_kind(mount, root).with_context(at)?;
        let place = root.resolve(&mount.target).with_context(at)?;
        let text = String::from_utf8(if place.path.is_empty() { b"/".to_vec() } else { place.path });
        let text = text.map_err(|error| {
            anyhow!("{} leads to {}: expected UTF-8", at(), escape_bytes(error.as_bytes()))
        })?;
        places.push(text.parse::<AbsolutePath>().with_context(at)?);
        through_nothing.extend(place.through_nothing.then_some(&mount.target));
    }
    check_targets(&places)?;
    match through_nothing.first() {
        None => Ok(places.into_iter().map(|place| place.as_str().into()).collect()),
        Some(target) => bail!("mount at {target} leads through a link to nothing: expected what it leads to"),
    }
}

/// Checks that the types of source and target match: a directory can be mounted only on a directory, a file only on a
/// file. A missing target is made.
fn check_kind(mount: &Mount, root: &InRoot) -> Result<()> {
    let source_is_directory = match &mount.source {
        Source::Host { path, links, .. } => {
            let source = open_source(path, *links).with_context(|| format!("source {path}"))?;
            is_directory(&fstat(source)?)
        }
        Source::Empty { .. } => true,
    };
    match root.stat(mount.target.as_str()) {
        Ok(stat) => {
            let is_directory = is_directory(&stat);
            let kind = |is_directory| if is_directory { "a directory" } else { "a file" };
            ensure!(
                source_is_directory == is_directory,
                "the volume is {}, and the image has {} there: expected the same of both",
                kind(source_is_directory),
                kind(is_directory)
            );
            Ok(())
        }
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
