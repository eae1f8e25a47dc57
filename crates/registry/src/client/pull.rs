// SPDX-License-Identifier: Apache-2.0
//! A client of registries, and an image that it pulls: its endpoints are tried until one answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::agents::Agents;
use super::options::Options;
use super::origin::Origin;
use crate::cancel::Cancel;
use crate::error::{Attempt, Error, Failure};
use crate::listener::Listener;
use crate::reference::Reference;
use crate::registries::Plan;

/// A client of registries. One client serves a whole program, and keeps its connections open.
#[derive(Debug)]
pub struct Client<'a> {
    pub(super) options: Options,
    pub(super) listener: &'a dyn Listener,
    pub(super) cancel: Cancel,
    pub(super) agents: Agents,
}

impl<'a> Client<'a> {
    /// Makes a client. Nothing is read or asked yet.
    pub fn new(options: Options, listener: &'a dyn Listener) -> Self {
        let cancel = Cancel::new(options.cancel.clone());
        Self { options, listener, cancel, agents: Agents::default() }
    }

    /// Begins to pull from the endpoints of a plan.
    pub fn pull(&self, plan: &Plan) -> Pull<'_> {
        let origins = plan.endpoints.iter().flat_map(Origin::all).collect();
        Pull { client: self, reference: plan.reference.clone(), origins, preferred: AtomicUsize::new(0) }
    }
}

/// An image that is being pulled. Threads can share it.
#[derive(Debug)]
pub struct Pull<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) reference: Reference,
    origins: Vec<Origin>,
    /// The endpoint that has answered: it is asked first.
    preferred: AtomicUsize,
}

impl Pull<'_> {
    /// Returns the image.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Looks up all that the endpoints need of the host's files: certificates and credentials. A process that gives up the
    /// right to read them calls this first. What can't be read is a failure of its endpoint, once it is asked.
    pub fn look_up(&self) {
        let Client { options, cancel, agents, .. } = self.client;
        for origin in &self.origins {
            let _ = agents.of(options, cancel, &origin.server());
            origin.credentials.get_or_init(|| options.credentials.find(&origin.host, &origin.repository));
        }
    }

    /// Tries the endpoints until one gives what is asked for. If none does, the error names all attempts.
    pub(super) fn try_each<T>(
        &self,
        what: &str,
        mut ask: impl FnMut(&Origin) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let others = (0..self.origins.len()).filter(|index| *index != first);
        let mut attempts = Vec::new();
        let mut answered: Vec<&Origin> = Vec::new();
        for index in [first].into_iter().chain(others) {
            let origin = &self.origins[index];
            // A server that has answered over one transport isn't asked over another.
            if answered.iter().any(|other| other.is_same_place(origin)) {
                continue;
            }
            match ask(origin) {
                Ok(found) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(Failure::Ours(error)) => return Err(*error),
                Err(failure) => {
                    answered.extend(failure.is_answer().then_some(origin));
                    attempts.push(Attempt { endpoint: origin.to_string(), failure });
                }
            }
        }
        let what = format!("{what} of {}", self.reference);
        Err(Error::Unavailable { what, attempts })
    }
}
