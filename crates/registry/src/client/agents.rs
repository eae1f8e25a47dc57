// SPDX-License-Identifier: Apache-2.0
//! Agents: one for each server, with the connections that are kept open to it. They follow no redirect and read no
//! environment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::Agent;
use ureq::config::{AutoHeaderValue, Config};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};

use super::options::Options;
use super::transport::{Tls, Watch};
use crate::cancel::Cancel;
use crate::certs::Verification;
use crate::error::{Error, Failure};

/// Agents by server.
#[derive(Debug, Default)]
pub(super) struct Agents(Mutex<HashMap<Server, Agent>>);

/// A server, and how it is spoken with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    /// `HOST[:PORT]`.
    pub(super) authority: String,
    pub(super) tls: bool,
    pub(super) verified: bool,
    /// The name of its directory of certificates.
    pub(super) certificates: String,
}

impl Agents {
    /// Returns the agent for a server.
    ///
    /// # Errors
    /// Fails if the certificates for it can't be read.
    pub(super) fn of(&self, options: &Options, cancel: &Cancel, server: &Server) -> Result<Agent, Failure> {
        let mut agents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(server) {
            return Ok(agent.clone());
        }
        let agent = agent(options, cancel, server)?;
        agents.insert(server.clone(), agent.clone());
        Ok(agent)
    }
}

fn agent(options: &Options, cancel: &Cancel, server: &Server) -> Result<Agent, Error> {
    let limits = &options.limits;
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(options.proxies.of(&server.authority, server.tls))
        .user_agent(options.user_agent.as_str())
        .accept(AutoHeaderValue::None)
        .accept_encoding("identity")
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.answer))
        .timeout_send_body(Some(limits.answer))
        .timeout_recv_response(Some(limits.answer))
        .timeout_per_read(Some(limits.stall))
        .build();
    // A proxy that is reached by TLS is verified with the same roots as the server.
    let verification = if server.verified { Verification::Full } else { Verification::None };
    let proxied_by_tls = config.proxy().is_some_and(|proxy| proxy.protocol() == ureq::ProxyProtocol::Https);
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(Watch(cancel.clone()));
    if !server.tls && !proxied_by_tls {
        return Ok(Agent::with_parts(config, connector, DefaultResolver::default()));
    }
    let tls = options.certificates.config(&server.certificates, verification)?;
    Ok(Agent::with_parts(config, connector.chain(Tls(Arc::clone(&tls))), DefaultResolver::default()))
}
