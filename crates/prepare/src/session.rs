// SPDX-License-Identifier: Apache-2.0
//! A session: the host's files about images, each read once for a whole command, when it is needed.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::{Context, Result};
use pod::blob::BlobDigest;
use registry::policy::Image;
use registry::registries::Registries;
use registry::{Decision, Error, Name, Places, Policy, Reference};
use store::listener::{Listener, Progress};
use sys::Interrupt;

use crate::fetch::Fetcher;

/// The number of hex digits by which progress names a blob.
const SHORT: usize = 12;

/// A command's session with registries.
#[derive(Debug)]
pub struct Session<'l> {
    told: &'l Told,
    interrupt: Interrupt,
    places: Places,
    policy: OnceCell<Option<Policy>>,
    registries: OnceCell<Registries>,
}

impl<'l> Session<'l> {
    /// Begins a session. Nothing is read or asked yet.
    pub fn new(told: &'l Told, interrupt: &Interrupt) -> Self {
        let places = Places::from_environment(|name| std::env::var_os(name));
        let (policy, registries) = (OnceCell::new(), OnceCell::new());
        Self { told, interrupt: interrupt.clone(), places, policy, registries }
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
    pub(crate) fn decide(&self, image: &Image<'_>) -> Result<Decision, Error> {
        self.policy()?.map_or(Ok(Decision::Accept), |policy| policy.decide(image))
    }

    /// Returns the host's policy, if it has one.
    ///
    /// # Errors
    /// If it can't be read or understood.
    pub(crate) fn policy(&self) -> Result<Option<&Policy>, Error> {
        if let Some(policy) = self.policy.get() {
            return Ok(policy.as_ref());
        }
        let loaded = Policy::load(&self.places.policies)?;
        Ok(self.policy.get_or_init(|| loaded).as_ref())
    }

    /// Returns the full name that a name means.
    ///
    /// # Errors
    /// If it is short, and the host doesn't say what it means; if the host's files can't be understood.
    pub(crate) fn resolve(&self, name: &str) -> Result<Reference, Error> {
        self.registries()?.resolve(&Name::parse(name)?)
    }

    /// Returns the full name that the host gives a short one. Otherwise, those that it may be.
    ///
    /// # Errors
    /// If the host's files can't be read or understood.
    pub(crate) fn meant(&self, name: &str) -> Result<Result<Reference, Vec<String>>, Error> {
        let Ok(name @ Name::Short(_)) = Name::parse(name) else { return Ok(Err(Vec::new())) };
        match self.registries()?.resolve(&name) {
            Err(Error::ShortName { candidates, .. }) => Ok(Err(candidates)),
            resolved => Ok(Ok(resolved?)),
        }
    }

    /// Begins to fetch an image.
    ///
    /// # Errors
    /// If the host blocks the registry, or its files can't be understood.
    pub(crate) fn fetch(&self, reference: &Reference) -> Result<Fetcher<'l>, Error> {
        self.registries()?.plan(reference)?;
        Fetcher::start(reference, self.told, &self.interrupt)
    }

    fn registries(&self) -> Result<&Registries, Error> {
        if let Some(registries) = self.registries.get() {
            return Ok(registries);
        }
        let registries = Registries::load(&self.places.registries)?;
        registries.warnings().iter().for_each(|warning| self.told.0.warn(warning));
        Ok(self.registries.get_or_init(|| registries))
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
