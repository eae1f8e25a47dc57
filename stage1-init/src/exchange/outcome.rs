// SPDX-License-Identifier: Apache-2.0
//! A pod's outcome: what the pod records about its own end, kept in memory where no app can reach, fill or remove it.
//!
//! The outcome is a directory of the private root's tmpfs, mounted in the pod as well. What is in it is listed in
//! [`crate::names`], with its writer and its reader.
//!
//! Invariant: a pod's exit code is one that is recorded here. nspawn's own exit code is no substitute: it is 1 if
//! nspawn fails, and 0 if an app makes systemd end at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use pod::layout;
use pod::name::AppName;
use rustix::fs::{Mode, OFlags, fchown, open};
use rustix::process::{Gid, Uid};
use sys::InRoot;
use sys::mounts::{Depth, MountAttrFlags, Submounts, clone_tree, set_attributes};

use crate::failure::{Failure, Step};
use crate::names;

/// The outcome as `/init` sees it, in the private root.
pub(crate) const OURS: Outcome = Outcome(names::OUTCOME_OF_INIT);
/// The outcome as the helpers see it, in the pod ([`pod::layout::OUTCOME`]).
pub(crate) const PODS: Outcome = Outcome(names::OUTCOME_OF_HELPERS);

/// How much of a file is read at most.
const FILE_MAX: u64 = 64 << 10;

/// The message of a pod whose directory is gone, so that no app decides its exit code.
pub(crate) const REMOVED: &str = "the pod directory was removed while the pod ran";

/// An outcome, by the path of its directory.
#[derive(Debug)]
pub(crate) struct Outcome(&'static str);

/// Makes an outcome for these apps in the current directory, and returns the mount of it that goes into the pod.
///
/// The host's user `root` is root in the pod.
pub(crate) fn make<'a>(apps: impl Iterator<Item = &'a AppName>, root: u32) -> Result<OwnedFd> {
    fs::create_dir(names::OUTCOME)?;
    chown(names::OUTCOME, Some(root), Some(root))?;
    let apps: String = apps.map(|app| format!("{app}\n")).collect();
    fs::write(format!("{}/{}", names::OUTCOME, names::APPS), apps)?;
    let mount = clone_tree(names::OUTCOME, Submounts::No)?;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    set_attributes(&mount, safe, Depth::One)?;
    Ok(mount)
}

/// Tells whether the pod directory was removed, judging by the directory of statuses in it.
///
/// `root` is the path of stage1.
pub(crate) fn is_removed(root: &str) -> bool {
    match fs::metadata(format!("{root}/{}", layout::STATUS)) {
        Ok(status) => status.nlink() == 0,
        // A mount disappears with the directory that it is on.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

impl Outcome {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.0).join(name)
    }

    /// Reads a file. The pod's root may have put anything in its place.
    fn read_text(&self, name: &str) -> io::Result<String> {
        let directory = InRoot::below(File::open(self.0)?, ".")?;
        String::from_utf8(directory.read_file(name, FILE_MAX)?).map_err(io::Error::other)
    }

    /// Opens a file to be written, making it if it is missing. A link there is not followed, nor a FIFO waited for.
    fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(open(self.path(name), flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?.into())
    }

    /// Keeps the pod's key for signatures, for the pod's root alone, which is the host's user `root`.
    pub(crate) fn keep_key(&self, key: &[u8], root: u32) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(open(self.path(names::METADATA_KEY), flags, Mode::RUSR | Mode::WUSR)?);
        fchown(&file, Some(Uid::from_raw(root)), Some(Gid::from_raw(root)))?;
        file.write_all(key)
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> io::Result<Vec<u8>> {
        InRoot::below(File::open(self.0)?, ".")?.read_file(names::METADATA_KEY, FILE_MAX)
    }

    /// Makes the file of marks (`exchange::timing`), for the pod's root alone, which is the host's user `root`.
    pub(crate) fn make_marks(&self, root: u32) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = open(self.path(names::TIMING), flags, Mode::RUSR | Mode::WUSR)?;
        Ok(fchown(&file, Some(Uid::from_raw(root)), Some(Gid::from_raw(root)))?)
    }

    /// Opens that file to add to it, if it is there.
    pub(crate) fn marks(&self) -> io::Result<File> {
        let flags = OFlags::APPEND | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(open(self.path(names::TIMING), flags, Mode::empty())?.into())
    }

    /// Reads that file.
    pub(crate) fn read_marks(&self) -> io::Result<String> {
        self.read_text(names::TIMING)
    }

    /// Lists the pod's apps.
    pub(crate) fn apps(&self) -> Result<Vec<AppName>> {
        let apps = self.read_text(names::APPS).context("cannot list the apps")?;
        apps.lines().map(|app| Ok(app.parse()?)).collect()
    }

    /// Notes that the pod was asked to stop.
    pub(crate) fn ask(&self) -> io::Result<()> {
        self.create(names::ASKED).map(drop)
    }

    /// Tells when the pod was asked to stop, if it was.
    pub(crate) fn asked(&self) -> io::Result<Option<SystemTime>> {
        match fs::metadata(self.path(names::ASKED)) {
            Ok(asked) => asked.modified().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes that an app's status could not be written.
    pub(crate) fn lose(&self, app: &AppName, why: &anyhow::Error) -> io::Result<()> {
        fs::write(self.path(&names::lost(app)), pod::text::one_line(&format!("{why:#}")))
    }

    /// Removes the note that an app's status could not be written, once a later status was written.
    pub(crate) fn forget_lost(&self, app: &AppName) -> io::Result<()> {
        match fs::remove_file(self.path(&names::lost(app))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Returns why an app's status could not be written, if that is noted.
    pub(crate) fn lost(&self, app: &AppName) -> io::Result<Option<String>> {
        match self.read_text(&names::lost(app)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Notes that apps may start from here on.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.create(names::BEGAN).map(drop)
    }

    /// Tells whether an app may have started, or the pod has recorded how it ended.
    pub(crate) fn has_begun(&self) -> io::Result<bool> {
        Ok(fs::exists(self.path(names::BEGAN))?
            || fs::exists(self.path(names::CODE))?
            || self.has_failed()?)
    }

    /// Records the pod's exit code.
    pub(crate) fn decide(&self, code: u8) -> io::Result<()> {
        self.create(names::CODE)?.write_all(format!("{code}\n").as_bytes())
    }

    /// Records why no app decides the pod's exit code. The first reason is kept.
    pub(crate) fn fail(&self, step: Step, error: &anyhow::Error) -> io::Result<()> {
        match File::create_new(self.path(names::FAILURE)) {
            Ok(mut file) => {
                let text = format!("{}\n{}\n", step as u8, pod::text::one_line(&format!("{error:#}")));
                file.write_all(text.as_bytes())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells whether a reason is recorded why no app decides the exit code.
    pub(crate) fn has_failed(&self) -> io::Result<bool> {
        fs::exists(self.path(names::FAILURE))
    }

    /// Reads the pod's exit code after its processes have ended; `None` if they recorded nothing.
    pub(crate) fn read(&self) -> Result<Option<u8>, Failure> {
        let text = |name| self.read_text(name).ok();
        if let Some(failure) = text(names::FAILURE) {
            return Err(parse_failure(&failure));
        }
        Ok(text(names::CODE).as_deref().and_then(parse_code))
    }
}

/// Parses an exit code. One without its newline was not written completely and doesn't count.
fn parse_code(text: &str) -> Option<u8> {
    text.strip_suffix('\n')?.parse().ok()
}

fn parse_failure(text: &str) -> Failure {
    let (step, error) = text.split_once('\n').unwrap_or_default();
    let step = step.parse().ok().and_then(Step::of_number).unwrap_or(Step::Exec);
    Failure { step, error: anyhow!("{}", error.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_whole_or_none() {
        assert_eq!(parse_code("143\n"), Some(143));
        for bad in ["", "1", "14", "256\n", "-1\n", "7\n7\n"] {
            assert_eq!(parse_code(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn failures_have_their_step() {
        let Failure { step, error } = parse_failure("3\ncannot mount\n");
        assert_eq!((step, error.to_string().as_str()), (Step::Namespace, "cannot mount"));
        assert_eq!(parse_failure("").step, Step::Exec);
    }
}
