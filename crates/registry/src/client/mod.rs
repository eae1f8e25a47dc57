// SPDX-License-Identifier: Apache-2.0
//! The client: asks the endpoints of a plan for manifests and blobs, and believes none of them. Bytes that it returns
//! have the digest that was asked for.

mod agents;
mod blob;
mod blobs;
mod exchange;
mod failure;
mod manifest;
mod patience;
mod sink;
mod token;
mod transport;
mod url;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

pub use blobs::{Blob, Wanted};
pub use manifest::{Kind, Manifest};
pub use sink::Sink;

use crate::cancel::Cancel;
use crate::error::{Attempt, Error, Failure};
use crate::host::Host;
use crate::listener::Listener;
use crate::proxy::Proxies;
use crate::reference::Reference;
use crate::registries::{Endpoint, Plan};
use crate::{auth, certs};
use agents::Agents;
use exchange::Ask;
use token::Access;
use url::Url;

/// How long is waited for what, and how often something is tried.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For an address, and for a connection with its TLS.
    pub connect: Duration,
    /// For the header of an answer.
    pub answer: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// How often a busy registry is waited for, in one request.
    pub waits: u32,
    /// The first of these waits, if the registry does not say how long. Each is twice the one before.
    pub first_wait: Duration,
    /// The longest wait. A registry that asks for more is given up.
    pub longest_wait: Duration,
    /// How often in a row a transfer may break without one more byte.
    pub cuts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            waits: 4,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(120),
            cuts: 5,
        }
    }
}

/// What a client works with. The default has no credentials, no certificates but those that are linked, and no proxy.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where credentials are looked for, when a registry asks for some.
    pub credentials: auth::Sources,
    /// Where certificates are looked for.
    pub certificates: certs::Sources,
    /// How hosts are reached.
    pub proxies: Proxies,
    /// How long is waited for what.
    pub limits: Limits,
    /// What the program calls itself.
    pub user_agent: String,
    /// A flag that ends all that the client does.
    pub cancel: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: auth::Sources::default(),
            certificates: certs::Sources::default(),
            proxies: Proxies::default(),
            limits: Limits::default(),
            user_agent: concat!("gantry/", env!("CARGO_PKG_VERSION")).to_owned(),
            cancel: Arc::default(),
        }
    }
}

/// A client of registries. One serves a whole program; its connections are kept open.
#[derive(Debug)]
pub struct Client<'a> {
    options: Options,
    listener: &'a dyn Listener,
    cancel: Cancel,
    agents: Agents,
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

/// How an endpoint is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    /// TLS with a certificate that is checked.
    Verified,
    /// TLS with any certificate.
    Unverified,
    /// No TLS.
    Plain,
}

impl Transport {
    fn is_verified(self) -> bool {
        self == Self::Verified
    }
}

/// An endpoint with one way to speak to it, and the access to it.
#[derive(Debug)]
struct Origin {
    host: Host,
    repository: String,
    transport: Transport,
    access: Access,
}

impl Origin {
    /// Returns the ways to speak to an endpoint. An insecure one may have TLS, with a certificate of its own.
    fn all(endpoint: &Endpoint) -> Vec<Self> {
        let transports: &[_] = if endpoint.insecure {
            &[Transport::Unverified, Transport::Plain]
        } else {
            &[Transport::Verified]
        };
        let origin = |transport: &Transport| Self {
            host: endpoint.host.clone(),
            repository: endpoint.repository.clone(),
            transport: *transport,
            access: Access::default(),
        };
        transports.iter().map(origin).collect()
    }

    fn is_same_place(&self, other: &Self) -> bool {
        self.host == other.host && self.repository == other.repository
    }

    /// Returns `HOST[:PORT]` as a URL has it.
    fn authority(&self) -> String {
        self.host.api()
    }

    fn url(&self, ask: &Ask<'_>) -> Url {
        let path = format!("/v2/{}/{}", self.repository, ask.path);
        Url::new(self.transport != Transport::Plain, &self.authority(), path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.transport == Transport::Plain { " (without TLS)" } else { "" };
        write!(f, "{}{how}", self.authority())
    }
}

/// An image that is being pulled. Threads can share it.
#[derive(Debug)]
pub struct Pull<'a> {
    client: &'a Client<'a>,
    reference: Reference,
    origins: Vec<Origin>,
    /// The endpoint that has answered: it is asked first.
    preferred: AtomicUsize,
}

impl Pull<'_> {
    /// Returns the image.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Tries the endpoints until one gives what is asked for. Names all attempts if none does.
    fn try_each<T>(
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
            // What has answered in one way isn't asked in another.
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
