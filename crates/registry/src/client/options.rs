// SPDX-License-Identifier: Apache-2.0
//! What a client works with.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::proxy::Proxies;
use crate::{auth, certs};

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
