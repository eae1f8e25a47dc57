// SPDX-License-Identifier: Apache-2.0
//! Lets a new tree share blocks with other trees that have files of the same content, where the file system can do that.
//!
//! Which files those are is what the records say, by their BLAKE3. What is shared is what the kernel finds equal, byte for
//! byte, while it holds both files: a record that is wrong, or a file that was damaged, shares nothing. Files stay files
//! of their own, with their own metadata; one that is written to gets blocks of its own. Nothing here can fail an import,
//! and no other tree is locked: one that is removed meanwhile is skipped.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

use pod::id::TreeId;
use pod::layout;
use pod::path::RelativePath;
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use sys::shared_blocks::{self, Sharing};
use sys::{Interrupt, open_beneath, proc_path};

use crate::data_dir::DataDir;
use crate::fault::Result;
use crate::record::{ObjectKind, Reader};
use crate::tree::{self, Tree};

/// The smallest file that is looked for: what saves no block costs only time.
const SMALLEST: u64 = 4096;
/// How many files of the tree are looked for at once. They take some 10 MB.
const AT_ONCE: usize = 1 << 16;

/// Files that are looked for, by their content and size.
type Wanted = HashMap<(blake3::Hash, u64), Vec<RelativePath>>;

/// Shares blocks of all other trees with a tree that was just published. Returns how many bytes it shares.
pub(crate) fn share(data_dir: &DataDir, tree: &Tree, interrupt: &Interrupt) -> u64 {
    let Ok(root) = tree.root() else { return 0 };
    if !shared_blocks::may_be(&root) {
        return 0;
    }
    let mut sharer = Sharer { data_dir, root, interrupt, shared: 0, is_supported: true };
    // If it stops early, less is shared.
    let _ = sharer.all(tree);
    sharer.shared
}

struct Sharer<'a> {
    data_dir: &'a DataDir,
    /// The new tree.
    root: OwnedFd,
    interrupt: &'a Interrupt,
    shared: u64,
    is_supported: bool,
}

impl Sharer<'_> {
    fn all(&mut self, tree: &Tree) -> Result<()> {
        let mut reader = Reader::new(tree.record()?)?;
        loop {
            let mut wanted = next(&mut reader)?;
            if wanted.is_empty() {
                return Ok(());
            }
            let others = tree::ids(self.data_dir).unwrap_or_default();
            for id in others.into_iter().filter(|id| *id != tree.id()) {
                if wanted.is_empty() || !self.is_supported || self.interrupt.check().is_err() {
                    break;
                }
                // One that is damaged or gone has nothing to share.
                let _ = self.with(id, &mut wanted);
            }
            if !self.is_supported || self.interrupt.check().is_err() {
                return Ok(());
            }
        }
    }

    /// Shares blocks of one other tree.
    fn with(&mut self, id: TreeId, wanted: &mut Wanted) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(&self.data_dir.trees, tree::name(id), flags, Mode::empty())?;
        let root = openat(&directory, layout::TREE, flags, Mode::empty())?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let record = File::from(openat(&directory, layout::TREE_RECORD, flags, Mode::empty())?);
        let mut reader = Reader::new(BufReader::with_capacity(1 << 17, record))?;
        while let Some(object) = reader.next_object()? {
            let ObjectKind::File { size, content } = object.kind else { continue };
            let Some(paths) = wanted.get_mut(&(content, size)) else { continue };
            self.interrupt.check()?;
            let Some(from) = open(&root, &object.path, size) else { continue };
            paths.retain(|path| {
                let Some(to) = open(&self.root, path, size) else { return false };
                match shared_blocks::share(&from, &to, size) {
                    Ok(Sharing::Shared(bytes)) => {
                        self.shared += bytes;
                        // Another tree may have what this one has lost.
                        bytes < size
                    }
                    Ok(Sharing::Unsupported) => {
                        self.is_supported = false;
                        true
                    }
                    Err(_) => true,
                }
            });
            if paths.is_empty() {
                wanted.remove(&(content, size));
            }
            if wanted.is_empty() || !self.is_supported {
                break;
            }
        }
        Ok(())
    }
}

/// Reads the next files of a record.
fn next(reader: &mut Reader<impl BufRead>) -> Result<Wanted> {
    let (mut wanted, mut count) = (Wanted::new(), 0);
    while count < AT_ONCE
        && let Some(object) = reader.next_object()?
    {
        if let ObjectKind::File { size, content } = object.kind
            && size >= SMALLEST
        {
            wanted.entry((content, size)).or_default().push(object.path);
            count += 1;
        }
    }
    Ok(wanted)
}

/// Opens a regular file of this size, without side effects if something else is there.
fn open(root: &OwnedFd, path: &RelativePath, size: u64) -> Option<OwnedFd> {
    let object = open_beneath(root, path.as_path(), OFlags::PATH | OFlags::NOFOLLOW).ok()?;
    let stat = fstat(&object).ok()?;
    let is_it = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && u64::try_from(stat.st_size) == Ok(size);
    // The path leads to the object itself, whatever its name is by now (proc_pid_fd(5)).
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    is_it.then(|| openat(rustix::fs::CWD, proc_path(&object), flags, Mode::empty()).ok()).flatten()
}
