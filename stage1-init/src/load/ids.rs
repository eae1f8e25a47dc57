// SPDX-License-Identifier: Apache-2.0
//! The ids that a pod's users have on the host. No other user has them.
//!
//! Ids are given out in blocks of 65536: one for the pod's own users, then one for each app's, side by side. A block is
//! taken by systemd-nspawn's own protocol, so pods and nspawn's containers keep clear of each other. A process
//! that holds a lock (fcntl(2), `F_OFD_SETLK`) on the file `/run/systemd/nspawn-uid/FIRST` has the ids from FIRST on,
//! and removes the file before it unlocks it. Invariant: the locks are held by the reaper, and so for as long as
//! anything of the pod exists.
//!
//! Nothing on disk has these ids. They are mapped to those that images have, from 0 on (`enter::users`), so the next
//! start may take other blocks.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use pod::id::PodId;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use sys::guarded;
use sys::locks::try_lock_record;

/// How many ids are in a block.
pub const BLOCK: u32 = 1 << 16;
/// The ids that blocks are taken from: within those that systemd sets aside for containers (its UIDS-GIDS.md).
const ALL: Range = Range { first: 0x4000_0000, count: 0x3000_0000 };
/// The variable that names other ids, as FIRST:COUNT.
const VARIABLE: &str = "GANTRY_UIDS";

/// The directory of locks, from the host's root on, and the directories above it.
const ABOVE: [&str; 2] = ["/run", "/run/systemd"];
const DIRECTORY: &str = "/run/systemd/nspawn-uid";
/// How often to make the directory again if another pod has removed it as empty.
const ATTEMPTS: usize = 64;
/// The files that give ids to people, and to people for their own containers (passwd(5), subuid(5)), and how much of
/// each is read at most.
const GIVEN: [(&str, Field); 4] = [
    ("/etc/passwd", Field::One),
    ("/etc/group", Field::One),
    ("/etc/subuid", Field::Many),
    ("/etc/subgid", Field::Many),
];
const GIVEN_MAX: u64 = 1 << 20;

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

/// The meaning of a line's third field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// It is an id.
    One,
    /// It is how many ids there are from the second field on.
    Many,
}

/// The ids of a pod, on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    first: u32,
    blocks: u32,
}

impl Ids {
    /// Returns the blocks from `first` on, for a pod of so many apps.
    pub fn new(first: u32, apps: usize) -> Self {
        Self { first, blocks: u32::try_from(apps).map_or(u32::MAX, |apps| apps.saturating_add(1)) }
    }

    /// Returns the pod's root, which is the first id.
    pub fn first(self) -> u32 {
        self.first
    }

    /// Returns how many ids there are in all blocks.
    pub fn count(self) -> u32 {
        self.blocks.saturating_mul(BLOCK)
    }

    /// Returns the first id of an app's block, as the pod has it: the pod's own first id is 0.
    pub fn of_app(index: usize) -> u32 {
        u32::try_from(index).map_or(u32::MAX, |index| index.saturating_add(1).saturating_mul(BLOCK))
    }
}

/// The locks on a pod's ids. Dropped, they are given back.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    directory: Option<OwnedFd>,
    files: Vec<(u32, OwnedFd)>,
}

/// Returns the ids that a pod of so many apps would take if none were in use.
pub(crate) fn first_choice(id: PodId, apps: usize) -> Result<Ids> {
    let wanted = Ids::new(0, apps);
    let range = range()?;
    Ok(Ids::new(range.block(start(id, range, wanted.blocks)?), apps))
}

/// Takes the ids for a pod of so many apps.
pub(crate) fn take(id: PodId, apps: usize) -> Result<(Ids, Locks)> {
    let wanted = Ids::new(0, apps).blocks;
    let range = range()?;
    let given = given().context("cannot tell which ids the host's users have")?;
    let mut at = start(id, range, wanted)?;
    let places = range.blocks() - wanted + 1;
    let mut tried = 0;
    while tried < places {
        let first = range.block(at);
        let ids = Range { first, count: wanted * BLOCK };
        let free = match given.iter().find(|other| other.overlaps(ids)) {
            // Blocks that begin within the other's ids aren't free either.
            Some(other) => other.after().saturating_sub(first).div_ceil(BLOCK).max(1),
            None => match Locks::take(first, wanted).context("cannot lock the pod's ids")? {
                Ok(locks) => return Ok((Ids::new(first, apps), locks)),
                Err(taken) => taken + 1,
            },
        };
        // The search goes on at the first block once it has reached the last.
        let step = free.min(places - at);
        tried += step;
        at = (at + step) % places;
    }
    bail!(
        "no ids are left for the pod's users: it takes {wanted} blocks of {BLOCK} side by side from {} on, and others \
         have them",
        range.first
    )
}

/// Returns the block at which the search for a pod's ids begins. A pod's next start tries the same one first.
fn start(id: PodId, range: Range, wanted: u32) -> Result<u32> {
    let blocks = range.blocks();
    ensure!(
        wanted <= blocks,
        "the pod's users take {wanted} blocks of {BLOCK} ids: expected at most {blocks}, which is what there is"
    );
    // The first digits of a pod's id are random.
    let number = id.machine_id().get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    Ok(number.unwrap_or_default() % (blocks - wanted + 1))
}

/// Returns the ids that blocks are taken from.
fn range() -> Result<Range> {
    match std::env::var_os(VARIABLE) {
        None => Ok(ALL),
        Some(text) => text.to_str().unwrap_or_default().parse().context(VARIABLE),
    }
}

impl Range {
    fn blocks(self) -> u32 {
        self.count / BLOCK
    }

    fn block(self, index: u32) -> u32 {
        self.first + index * BLOCK
    }

    /// Returns the id after the last one.
    fn after(self) -> u32 {
        self.first.saturating_add(self.count)
    }

    fn overlaps(self, other: Self) -> bool {
        self.first < other.after() && other.first < self.after()
    }
}

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once(':').and_then(|(first, count)| {
            let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
            let is_whole = first % BLOCK == 0 && count % BLOCK == 0 && first > 0 && count > 0;
            // The last id of all means "none" to the kernel.
            (is_whole && first.checked_add(count).is_some()).then_some(Self { first, count })
        });
        parsed.with_context(|| {
            format!("{}: expected FIRST:COUNT, both multiples of {BLOCK} above 0", pod::text::escape(text))
        })
    }
}

/// Lists the ids that the host has given to its users.
fn given() -> Result<Vec<Range>> {
    let mut all = Vec::new();
    for (path, kind) in GIVEN {
        match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => all.extend(read.context(path)?.lines().filter_map(|line| kind.parse(line))),
        }
    }
    Ok(all)
}

fn read(path: &str) -> io::Result<String> {
    let mut content = Vec::new();
    File::open(path)?.take(GIVEN_MAX).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

impl Field {
    fn parse(self, line: &str) -> Option<Range> {
        let mut fields = line.split(':').skip(1);
        let (second, third) = (fields.next()?, fields.next()?.trim().parse().ok()?);
        Some(match self {
            Self::One => Range { first: third, count: 1 },
            Self::Many => Range { first: second.trim().parse().ok()?, count: third },
        })
    }
}

impl Locks {
    /// Locks these blocks. If one is taken, returns which.
    fn take(first: u32, blocks: u32) -> Result<Result<Self, u32>> {
        let directory = directory()?;
        let mut files = Vec::new();
        for index in 0..blocks {
            let Some(file) = lock(&directory, first + index * BLOCK)? else {
                drop(Self { directory: Some(directory), files });
                return Ok(Err(index));
            };
            files.push((first + index * BLOCK, file));
        }
        Ok(Ok(Self { directory: Some(directory), files }))
    }

    /// Removes the files of the locks. The ids are free once every process that shares the locks has closed them.
    pub(crate) fn give_back(&self) {
        let Some(directory) = &self.directory else { return };
        for (first, _) in &self.files {
            // A file that stays is no lock: the next pod with these ids locks it.
            let _ = unlinkat(directory, first.to_string(), AtFlags::empty());
        }
        // Succeeds only for the last pod.
        for path in [DIRECTORY, ABOVE[1]] {
            let _ = unlinkat(CWD, path, AtFlags::REMOVEDIR);
        }
    }

    /// Removes the files that killed reapers have left behind. It doesn't matter to this pod if one stays.
    pub(crate) fn sweep(&self) {
        let Some(directory) = &self.directory else { return };
        let Ok(entries) = Dir::read_from(directory) else { return };
        for entry in entries.flatten() {
            let Some(first) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let may_be_ours = (ALL.first..ALL.after()).contains(&first) && first % BLOCK == 0;
            if !may_be_ours || self.files.iter().any(|(own, _)| *own == first) {
                continue;
            }
            // Locked until the file is removed: otherwise another pod may have locked it in between.
            let Ok(Some(_locked)) = lock(directory, first) else { continue };
            let _ = unlinkat(directory, entry.file_name(), AtFlags::empty());
        }
    }

    /// Closes this process's locks and keeps their files: the reaper has the same locks.
    pub(crate) fn leave(mut self) {
        self.directory = None;
    }

    /// Lists the descriptors that must stay open.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.directory.iter().chain(self.files.iter().map(|(_, file)| file)).map(|one| one.as_fd())
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Opens the directory of locks, making it if it is missing.
fn directory() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS {
        for path in ABOVE.into_iter().chain([DIRECTORY]) {
            match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST | Errno::NOENT) => {}
                made => made.with_context(|| format!("cannot make {path}"))?,
            }
        }
        match openat(CWD, DIRECTORY, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            opened => {
                let opened = opened.with_context(|| format!("cannot open {DIRECTORY}"))?;
                guarded::check(&opened).context(DIRECTORY)?;
                return Ok(opened);
            }
        }
    }
    bail!("{DIRECTORY} is removed again and again")
}

/// Locks the block that begins with `first`; returns `None` if another process has it.
fn lock(directory: &OwnedFd, first: u32) -> Result<Option<OwnedFd>> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS {
        let name = first.to_string();
        let file = match openat(directory, OsStr::new(&name), flags, Mode::from_raw_mode(0o600)) {
            // The last pod that ended has removed the directory since.
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.with_context(|| format!("cannot open {DIRECTORY}/{name}"))?,
        };
        if !try_lock_record(&file)? {
            return Ok(None);
        }
        // The process that had it removed the file before it unlocked it.
        if fstat(&file)?.st_nlink > 0 {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range: Range = "131072:65536".parse().unwrap();
        assert_eq!(range, Range { first: 131_072, count: 65_536 });
        for bad in ["", "1", "0:65536", "65536:0", "65536:1", "1:65536", "4294901760:65536", "65536:-65536"] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_that_the_host_has_given_away_are_read() {
        let one = |line: &str| Field::One.parse(line);
        assert_eq!(one("redis:x:101:102::/:"), Some(Range { first: 101, count: 1 }));
        assert_eq!(one("+::::::"), None);
        let many = |line: &str| Field::Many.parse(line);
        assert_eq!(many("user:100000:65536"), Some(Range { first: 100_000, count: 65_536 }));
        assert_eq!(many("# none"), None);
    }

    #[test]
    fn ranges_that_touch_do_not_overlap() {
        let range = |first, count| Range { first, count };
        assert!(!range(0, 10).overlaps(range(10, 10)));
        assert!(range(0, 11).overlaps(range(10, 10)) && range(10, 10).overlaps(range(0, 11)));
        assert!(!range(20, 1).overlaps(range(10, 10)));
    }

    #[test]
    fn a_pod_has_a_block_and_each_app_one_more() {
        let ids = Ids::new(0x4000_0000, 2);
        assert_eq!((ids.first(), ids.count()), (0x4000_0000, 3 * BLOCK));
        assert_eq!([Ids::of_app(0), Ids::of_app(1)], [65_536, 131_072]);
    }
}
