// SPDX-License-Identifier: Apache-2.0
//! A session: one client of registries for a whole command, and the host's files about images, each read once when it
//! is needed.

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use pod::blob::BlobDigest;
use registry::policy::Image;
use registry::registries::Registries;
use registry::{Client, Decision, Name, Options, Places, Policy, Proxies, Pull, Reference};
use store::listener::{Listener, Progress};
use sys::Interrupt;

/// How often the interrupt is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The number of hex digits by which progress names a blob.
const SHORT: usize = 12;

/// What a command asks registries with.
#[derive(Debug)]
pub struct Session<'l> {
    told: &'l Told,
    interrupt: Interrupt,
    cancel: Arc<AtomicBool>,
    places: Places,
    policy: OnceCell<Option<Policy>>,
    asked: OnceCell<Asked<'l>>,
}

/// The client, and where it is to ask.
#[derive(Debug)]
struct Asked<'l> {
    registries: Registries,
    client: Client<'l>,
}

impl<'l> Session<'l> {
    /// Begins a session. Nothing is read or asked yet.
    pub fn new(told: &'l Told, interrupt: &Interrupt) -> Self {
        let places = Places::from_environment(|name| std::env::var_os(name));
        let (policy, asked) = (OnceCell::new(), OnceCell::new());
        Self { told, interrupt: interrupt.clone(), cancel: Arc::default(), places, policy, asked }
    }

    /// Returns the interrupt that ends the session's work.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Returns the receiver of warnings and progress.
    pub(crate) fn listener(&self) -> &'static dyn Listener {
        self.told.0
    }

    /// Returns what the host's policy says of an image. A host without a policy allows all.
    ///
    /// # Errors
    /// If the policy rejects it, or can't be read or understood.
    pub(crate) fn decide(&self, image: &Image<'_>) -> Result<Decision> {
        let policy = match self.policy.get() {
            Some(policy) => policy,
            None => {
                let loaded = Policy::load(&self.places.policies)?;
                self.policy.get_or_init(|| loaded)
            }
        };
        Ok(policy.as_ref().map_or(Ok(Decision::Accept), |policy| policy.decide(image))?)
    }

    /// Returns the full name that a name means.
    ///
    /// # Errors
    /// If it is short, and the host doesn't say what it means; if the host's files can't be understood.
    pub(crate) fn resolve(&self, name: &str) -> Result<Reference> {
        Ok(self.asked()?.registries.resolve(&Name::parse(name)?)?)
    }

    /// Returns the full name that the host gives a short one. Otherwise, those that it may be.
    ///
    /// # Errors
    /// If the host's files can't be read or understood.
    pub(crate) fn meant(&self, name: &str) -> Result<Result<Reference, Vec<String>>> {
        let Ok(name @ Name::Short(_)) = Name::parse(name) else { return Ok(Err(Vec::new())) };
        match self.asked()?.registries.resolve(&name) {
            Err(registry::Error::ShortName { candidates, .. }) => Ok(Err(candidates)),
            resolved => Ok(Ok(resolved?)),
        }
    }

    /// Begins to pull an image.
    ///
    /// # Errors
    /// If the host blocks the registry, or its files can't be understood.
    pub(crate) fn pull(&self, reference: &Reference) -> Result<Pull<'_>> {
        let Asked { registries, client } = self.asked()?;
        Ok(client.pull(&registries.plan(reference)?))
    }

    fn asked(&self) -> Result<&Asked<'l>> {
        if let Some(asked) = self.asked.get() {
            return Ok(asked);
        }
        let registries = Registries::load(&self.places.registries)?;
        registries.warnings().iter().for_each(|warning| self.told.0.warn(warning));
        let options = Options {
            credentials: self.places.credentials.clone(),
            certificates: self.places.certificates.clone(),
            proxies: Proxies::from_environment(|name| std::env::var(name).ok())?,
            cancel: Arc::clone(&self.cancel),
            ..Options::default()
        };
        let client = Client::new(options, self.told);
        Ok(self.asked.get_or_init(|| Asked { registries, client }))
    }

    /// Does `work` with registries, which ends early once a signal asks for it.
    ///
    /// # Errors
    /// Those of `work`; if no thread can be started.
    pub(crate) fn until<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (done, end) = channel::<()>();
        let (interrupt, cancel) = (&self.interrupt, &self.cancel);
        let watch = move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if interrupt.signal().is_some() {
                    cancel.store(true, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            thread::Builder::new().spawn_scoped(scope, watch).context("cannot start a thread")?;
            let result = work();
            drop(done);
            result
        })
    }
}

/// Returns the path by which a policy knows a file: absolute, and without links, so that no other path to it is another
/// scope.
///
/// # Errors
/// If there is no such file.
pub(crate) fn scope_of(path: &Path) -> Result<std::path::PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot look up {}", pod::text::escape(&path.to_string_lossy())))
}

/// The user, as the client of registries tells them what it does.
#[derive(Debug)]
pub struct Told(pub &'static dyn Listener);

impl registry::Listener for Told {
    fn note(&self, note: &str) {
        self.0.warn(note);
    }

    fn begin(&self, blob: &BlobDigest, size: u64) -> Box<dyn registry::Progress> {
        Box::new(Step(self.0.begin(&format!("pulling {}", &blob.hex()[..SHORT]), size)))
    }
}

#[derive(Debug)]
struct Step(Box<dyn Progress>);

impl registry::Progress for Step {
    fn reach(&self, bytes: u64) {
        self.0.reach(bytes);
    }
}
