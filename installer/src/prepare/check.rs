// SPDX-License-Identifier: Apache-2.0
//! What would fail when an app is started, found in its tree beforehand.
//!
//! What lies in a volume is not looked at: it may change until then.

use anyhow::{Context, Result, bail, ensure};
use pod::exec::{Exec, Word, search};
use pod::path::AbsolutePath;
use pod::text::{escape, escape_bytes};
use pod::user::{resolve_group, resolve_user};
use pod::{App, Mount, Source, check_targets};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::image_root::InRoot;

/// Where a program that is a name is looked for, unless the app says otherwise (appc spec, execution environment).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Checks an app against its image's tree.
///
/// # Errors
/// Where it could not be started.
pub(super) fn check(app: &App, root: &InRoot) -> Result<()> {
    resolve_user(&app.user, root)?;
    resolve_group(&app.group, root)?;
    check_places(root)?;
    check_mounts(app, root)?;
    check_directory(app, root)?;
    let calls = app.isolators.seccomp.iter().flat_map(|filter| &filter.calls);
    for call in calls {
        ensure!(call.is_known(), "unknown system call {call}: expected a name such as mount");
    }
    let handlers = [("pre-start handler", &app.pre_start), ("post-stop handler", &app.post_stop)];
    for (what, handler) in handlers {
        if let Some(handler) = handler {
            check_program(app, handler, root).context(what)?;
        }
    }
    check_program(app, &app.exec, root)
}

/// What the executor makes or mounts on has to be a directory, or to be missing; the kernel's own not even by a link.
fn check_places(root: &InRoot) -> Result<()> {
    for name in ["/dev", "/proc", "/sys", "/etc", "/tmp"] {
        let place = root.resolve(&name.parse()?).with_context(|| name.to_owned())?;
        let may_be_elsewhere = matches!(name, "/etc" | "/tmp");
        let is_elsewhere = place.through_nothing || place.path != name.as_bytes() && !may_be_elsewhere;
        ensure!(!is_elsewhere, "{name} is a link: expected a directory, or nothing");
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

fn is_directory(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Two names may lead to one place, and what is there may be of another kind.
fn check_mounts(app: &App, root: &InRoot) -> Result<()> {
    let (mut places, mut through_nothing) = (Vec::new(), Vec::new());
    for mount in &app.mounts {
        check_kind(mount, root).with_context(|| format!("mount at {}", mount.target))?;
        let place = root.resolve(&mount.target).with_context(|| format!("mount at {}", mount.target))?;
        let text = String::from_utf8(if place.path.is_empty() { b"/".to_vec() } else { place.path });
        let text = text.map_err(|error| {
            anyhow::anyhow!(
                "mount at {} leads to {}: expected UTF-8",
                mount.target,
                escape_bytes(error.as_bytes())
            )
        })?;
        places.push(text.parse::<AbsolutePath>().with_context(|| format!("mount at {}", mount.target))?);
        through_nothing.extend(place.through_nothing.then_some(&mount.target));
    }
    check_targets(&places)?;
    match through_nothing.first() {
        None => Ok(()),
        Some(target) => bail!("mount at {target} leads through a link to nothing: expected what it leads to"),
    }
}

/// A directory can be mounted on a directory alone, a file on a file; where nothing is, either is made.
fn check_kind(mount: &Mount, root: &InRoot) -> Result<()> {
    let source_is_directory = match &mount.source {
        Source::Host { path, .. } => {
            std::fs::metadata(path.as_str()).with_context(|| format!("source {path}"))?.is_dir()
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

fn check_directory(app: &App, root: &InRoot) -> Result<()> {
    let directory = &app.working_directory;
    if is_in_volume(app, directory) || is_supplied(directory) {
        return Ok(());
    }
    match root.stat(directory.as_str()) {
        Ok(stat) if is_directory(&stat) => Ok(()),
        Ok(_) => bail!("working directory {directory}: expected a directory"),
        Err(error) => Err(error).with_context(|| format!("working directory {directory}")),
    }
}

/// What the executor makes where the image does not have it.
fn is_supplied(directory: &AbsolutePath) -> bool {
    ["/dev", "/proc", "/sys", "/tmp"].contains(&directory.as_str())
}

fn check_program(app: &App, exec: &Exec, root: &InRoot) -> Result<()> {
    let program = exec.program();
    let own_path = app.environment.iter().rev().find(|(name, _)| name.as_str() == "PATH");
    let path = own_path.map_or(PATH, |(_, value)| Word::as_str(value));
    let candidates: Vec<String> = match program.contains('/') {
        true => vec![program.into()],
        false => search(path, program).collect(),
    };
    let mut found = false;
    for candidate in &candidates {
        // Paths that are no `AbsolutePath`, for a `..` in them, can't be told to be in a volume.
        if candidate.parse().is_ok_and(|path| is_in_volume(app, &path)) {
            return Ok(());
        }
        match root.stat(candidate) {
            Ok(stat) if is_executable(&stat) => return check_is_seen(candidate, root),
            Ok(_) => found = true,
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("program {}", escape(candidate))),
        }
    }
    let shown = escape(program);
    ensure!(!found, "program {shown}: expected a file that can be executed");
    match program.contains('/') {
        true => bail!("program {shown} is not in the image"),
        false => {
            bail!("program {shown} is not in the image: expected it in a directory of PATH, {}", escape(path))
        }
    }
}

fn is_executable(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o111 != 0
}

fn is_missing(error: &std::io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR))
}

/// What an image has where the pod's own are mounted is not what the app finds there.
fn check_is_seen(program: &str, root: &InRoot) -> Result<()> {
    let path = root.real_path(program)?;
    for name in ["/proc/", "/sys/", "/dev/"] {
        ensure!(
            !path.starts_with(name.as_bytes()),
            "program {} is in {name}: expected it elsewhere",
            escape(program)
        );
    }
    Ok(())
}

fn is_in_volume(app: &App, path: &AbsolutePath) -> bool {
    app.mounts.iter().any(|mount| mount.target.contains(path))
}
