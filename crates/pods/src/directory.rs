// SPDX-License-Identifier: Apache-2.0
//! Pod directories, opened by their ids.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use pod::PodName;
use pod::id::PodId;
use pod::layout;
use rustix::fs::{Dir, FileType, OFlags, Stat, fstat, stat};
use rustix::io::Errno;
use store::DataDir;
use sys::open_beneath;

/// The maximum length of a name, with its newline.
const NAME_MAX: u64 = 65;

/// A pod's directory. It may be removed at any moment, unless a process has locked it.
#[derive(Debug)]
pub struct Pod {
    id: PodId,
    path: PathBuf,
    pub(crate) directory: OwnedFd,
}

impl Pod {
    /// Opens the directory of the pod `id`; returns `None` if there is none.
    pub fn open(data_dir: &DataDir, id: PodId) -> Result<Option<Self>> {
        let directory =
            match open_beneath(&data_dir.containers, id.to_string(), OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(Errno::from)
            {
                Err(Errno::NOENT) => return Ok(None),
                opened => opened.with_context(|| format!("cannot open the directory of pod {id}"))?,
            };
        let path = data_dir.path().join(layout::CONTAINERS).join(id.to_string());
        Ok(Some(Self { id, path, directory }))
    }

    /// Returns the pod's id.
    pub fn id(&self) -> PodId {
        self.id
    }

    /// Returns the directory's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether the directory is still where it was found: another command may have removed the pod since.
    pub fn is_there(&self) -> bool {
        let own = fstat(&self.directory).map(|own| (own.st_dev, own.st_ino));
        own.is_ok() && own.ok() == stat(&self.path).map(|found| (found.st_dev, found.st_ino)).ok()
    }

    /// Reads a regular file of at most `max` bytes; returns `None` if there is none.
    pub(crate) fn read(&self, path: &str, max: u64) -> Result<Option<(Vec<u8>, Stat)>> {
        let Some(file) = self.open_file(path, OFlags::RDONLY)? else { return Ok(None) };
        let stat = fstat(&file)?;
        // With room for one more byte, the end is found without growing the buffer. That saves half of the system calls
        // of a list.
        let size = u64::try_from(stat.st_size).unwrap_or_default().min(max);
        let mut content = Vec::with_capacity(usize::try_from(size + 1)?);
        File::from(file)
            .take(max + 1)
            .read_to_end(&mut content)
            .with_context(|| format!("cannot read {path}"))?;
        ensure!(content.len() as u64 <= max, "{path} is too long: expected at most {max} bytes");
        Ok(Some((content, stat)))
    }

    /// Opens a regular file; returns `None` if there is none.
    pub(crate) fn open_file(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
        // Opening a FIFO in a file's place must not wait.
        let file = match open_beneath(&self.directory, path, flags | OFlags::NONBLOCK).map_err(Errno::from) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened.with_context(|| format!("cannot open {path}"))?,
        };
        let is_file = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
        ensure!(is_file, "{path} is no regular file");
        Ok(Some(file))
    }

    /// Returns the pod's name, if it has one.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn name(&self) -> Result<Option<PodName>> {
        let Some((text, _)) = self.read(layout::NAME, NAME_MAX)? else { return Ok(None) };
        let name = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok());
        name.map(Some).with_context(|| format!("pod {}: its name is damaged", self.id))
    }

    /// Tells whether the pod is removed when it has ended.
    ///
    /// # Errors
    /// If that can't be looked up.
    pub fn is_removed_at_end(&self) -> Result<bool> {
        self.has(layout::REMOVED_AT_END)
    }

    /// Tells whether there is something at this path.
    pub(crate) fn has(&self, path: &str) -> Result<bool> {
        match open_beneath(&self.directory, path, OFlags::PATH).map_err(Errno::from) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            opened => opened.map(|_| true).with_context(|| format!("cannot open {path}")),
        }
    }
}

/// Lists the ids of all pods that are complete, in order.
pub fn ids(data_dir: &DataDir) -> Result<Vec<PodId>> {
    let mut all: Vec<_> =
        entries(&data_dir.containers)?.iter().filter_map(|name| name.parse().ok()).collect();
    all.sort_unstable();
    Ok(all)
}

/// Lists the names of pods. A pod whose name can't be read has none here.
pub fn names(data_dir: &DataDir) -> Result<Vec<(PodName, PodId)>> {
    let mut all = Vec::new();
    for id in ids(data_dir)? {
        if let Some(pod) = Pod::open(data_dir, id)?
            && let Ok(Some(name)) = pod.name()
        {
            all.push((name, id));
        }
    }
    Ok(all)
}

/// Lists the names among the pods' that are no pod's.
pub fn strangers(data_dir: &DataDir) -> Result<Vec<String>> {
    let mut all = entries(&data_dir.containers)?;
    all.retain(|name| name.parse::<PodId>().is_err());
    Ok(all)
}

pub(crate) fn entries(directory: &OwnedFd) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(directory).context("cannot list the pods")? {
        let entry = entry.context("cannot list the pods")?;
        let name = entry.file_name().to_string_lossy();
        if name != "." && name != ".." {
            all.push(name.into_owned());
        }
    }
    Ok(all)
}
