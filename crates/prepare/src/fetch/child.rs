// SPDX-License-Identifier: Apache-2.0
//! The code that runs in the fetcher.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use pod::blob::BlobDigest;
use registry::registries::Registries;
use registry::{
    Blob, Client, Error, Listener, Options, Places, Progress, Proxies, Pull, Reference, Sink, Wanted,
};
use rustix::process::{
    DumpableBehavior, Gid, Pid, Resource, Rlimit, Signal, Uid, getppid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use sys::descriptors::close_others;
use sys::rights::drop_from_bounding_set;

use super::calls;
use super::wire::{Ask, Tell, read, write};

/// The name (`argv[0]`) under which this program acts as the fetcher.
pub(super) const NAME: &str = "gantry-fetch";
/// How many blobs are fetched at the same time.
const CONNECTIONS: usize = 4;
/// The kernel's user and group `nobody` (user_namespaces(7), overflowuid).
const NOBODY: u32 = 65534;
/// The most memory for data, stacks included.
const MEMORY: u64 = 256 << 20;

/// The socket to the installer, which threads share.
#[derive(Debug)]
struct Told(Mutex<File>);

impl Told {
    fn tell(&self, message: &Tell, bytes: &[u8]) -> io::Result<()> {
        write(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), message, bytes)
    }

    fn failed(&self, message: String, meaning: registry::Meaning) -> io::Result<()> {
        self.tell(&Tell::Failed { message, meaning }, b"")
    }
}

impl Listener for Told {
    fn note(&self, note: &str) {
        // If the installer has ended, the next answer fails, too.
        let _ = self.tell(&Tell::Note(note.to_owned()), b"");
    }

    fn begin(&self, _blob: &BlobDigest, _size: u64) -> Box<dyn Progress> {
        // The installer sees what arrives.
        Box::new(registry::Silent)
    }
}

/// A blob on its way to the installer, by its number.
struct Passed<'a> {
    told: &'a Told,
    number: usize,
    has_begun: bool,
}

impl Sink for Passed<'_> {
    fn held(&mut self, _each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        // It holds nothing here: another try begins anew.
        self.clear()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.has_begun = true;
        self.told.tell(&Tell::Bytes(self.number), bytes)
    }

    fn clear(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.has_begun) {
            true => self.told.tell(&Tell::Again(self.number), b""),
            false => Ok(()),
        }
    }
}

/// Acts as the fetcher, if this program was called as one.
pub fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != OsStr::new(NAME) {
        return None;
    }
    let words: Vec<_> = arguments.filter_map(|word| word.into_string().ok()).collect();
    // Only the parent is told.
    std::panic::set_hook(Box::new(|_| {}));
    let socket = io::stdin().as_fd().try_clone_to_owned();
    let done = socket.map_err(anyhow::Error::from).and_then(|socket| run(socket, &words));
    Some(if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(socket: OwnedFd, words: &[String]) -> Result<()> {
    let mut socket = File::from(socket);
    let copy = socket.try_clone()?;
    let kept = [socket.as_raw_fd(), copy.as_raw_fd()];
    close_others(|number| kept.contains(&number))?;
    let told = Told(Mutex::new(copy));
    let served = serve(&mut socket, &told, words);
    if let Err(error) = &served {
        told.failed(format!("{error:#}"), registry::Meaning::Failed)?;
    }
    served
}

/// Looks up what the host says about the registry, gives up all rights, and fetches what is asked for.
fn serve(socket: &mut File, told: &Told, words: &[String]) -> Result<()> {
    let [parent, name] = words else { bail!("expected a process and a name") };
    let places = Places::from_environment(|name| std::env::var_os(name));
    let mut options = Options {
        credentials: places.credentials,
        certificates: places.certificates,
        proxies: Proxies::from_environment(|name| std::env::var(name).ok())?,
        ..Options::default()
    };
    options.certificates.read_ahead()?;
    let plan = Registries::load(&places.registries)?.plan(&Reference::parse(name)?)?;
    let client = Client::new(options, told);
    let pull = client.pull(&plan);
    pull.look_up();
    give_up_rights(parent.parse()?).context("cannot confine the process that speaks to registries")?;
    told.tell(&Tell::Ready, b"")?;
    while let Some((ask, _)) = read::<Ask>(socket)? {
        if let Err(error) = answer(&pull, told, ask) {
            told.failed(error.to_string(), error.meaning())?;
        }
    }
    Ok(())
}

fn answer(pull: &Pull<'_>, told: &Told, ask: Ask) -> Result<(), Error> {
    let gone =
        |error: io::Error| Error::Told { message: error.to_string(), meaning: registry::Meaning::Failed };
    match ask {
        Ask::Document(version) => {
            let found = match version {
                None => pull.manifest()?,
                Some(version) => pull.manifest_at(&version.parse()?)?,
            };
            let message = Tell::Document { media_type: found.media_type.to_owned(), digest: found.digest };
            told.tell(&message, &found.bytes).map_err(gone)
        }
        Ask::Blobs(blobs) => {
            let wanted = |(number, (digest, size))| Wanted {
                blob: Blob { digest, size },
                sink: Passed { told, number, has_begun: false },
            };
            let wanted = blobs.into_iter().enumerate().map(wanted).collect();
            pull.blobs(wanted, CONNECTIONS, &|_, passed: Passed<'_>| {
                told.tell(&Tell::Whole(passed.number), b"")
            })?;
            told.tell(&Tell::Done, b"").map_err(gone)
        }
    }
}

/// Makes this process run as the user `nobody`, without any right that fetching doesn't need. It must have one thread.
fn give_up_rights(parent: i32) -> Result<()> {
    for (resource, most) in [(Resource::Core, 0), (Resource::Data, MEMORY), (Resource::Fsize, 0)] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    clear_ambient_capability_set()?;
    drop_from_bounding_set(CapabilitySet::empty())?;
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    // Other processes may run as `nobody`, too.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // A change of users has forgotten what was asked for earlier (prctl(2)).
    set_parent_process_death_signal(Some(Signal::KILL))?;
    ensure!(getppid().map(Pid::as_raw_pid) == Some(parent), "the installer has ended: expected it to wait");
    calls::permit_only_what_fetching_takes()
}
