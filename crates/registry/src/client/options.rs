// SPDX-License-Identifier: Apache-2.0
//! Options of a client.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::proxy::Proxies;
use crate::{auth, certs};

/// Time limits and numbers of attempts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The time limit for resolving an address, and for a connection with its TLS handshake.
    pub connect: Duration,
    /// For the header of an answer.
    pub answer: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// The maximum number of waits for a busy registry, in one request.
    pub waits: u32,
    /// The first wait, if the registry doesn't say how long. Each further wait is twice as long.
    pub first_wait: Duration,
    /// The longest wait. If a registry asks for more, the next endpoint is tried.
    pub longest_wait: Duration,
    /// The maximum number of times in a row that a transfer may break without any progress.
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

/// The options of a client. By default there are no credentials, no certificates but those that are linked, and no
/// proxy.
#[derive(Clone, Debug)]
pub struct Options {
    /// The places to look for credentials in when a registry asks for some.
    pub credentials: auth::Sources,
    /// The places where certificates are looked for.
    pub certificates: certs::Sources,
    /// How hosts are reached.
    pub proxies: Proxies,
    /// How long is waited for what.
    pub limits: Limits,
    /// The program's name for itself.
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
