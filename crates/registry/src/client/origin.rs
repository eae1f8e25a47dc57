// SPDX-License-Identifier: Apache-2.0
//! Origins: endpoints, each with one way to speak to it.

use std::fmt;
use std::sync::OnceLock;

use super::access::Access;
use super::agents::Server;
use super::url::Url;
use crate::auth::Credentials;
use crate::error::Error;
use crate::host::Host;
use crate::registries::Endpoint;

/// How an endpoint is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// TLS with a certificate that is checked.
    Verified,
    /// TLS with any certificate.
    Unverified,
    /// No TLS.
    Plain,
}

impl Transport {
    pub(super) fn is_verified(self) -> bool {
        self == Self::Verified
    }
}

/// An endpoint with one way to speak to it, and the access to it.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) host: Host,
    pub(super) repository: String,
    pub(super) transport: Transport,
    pub(super) access: Access,
    /// The credentials for it, if they were looked up ahead.
    pub(super) credentials: OnceLock<Result<Option<Credentials>, Error>>,
}

impl Origin {
    /// Returns the ways to speak to an endpoint. An insecure one may have TLS, with a certificate of its own.
    pub(super) fn all(endpoint: &Endpoint) -> Vec<Self> {
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
            credentials: OnceLock::new(),
        };
        transports.iter().map(origin).collect()
    }

    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.host == other.host && self.repository == other.repository
    }

    /// Returns `HOST[:PORT]` as a URL has it.
    pub(super) fn authority(&self) -> String {
        self.host.api()
    }

    /// Returns the server, and how it is spoken with.
    pub(super) fn server(&self) -> Server {
        Server {
            authority: self.authority(),
            tls: self.transport != Transport::Plain,
            verified: self.transport.is_verified(),
            certificates: self.host.to_string(),
        }
    }

    /// Returns the URL of `path` in its repository.
    pub(super) fn url(&self, path: &str) -> Url {
        let path = format!("/v2/{}/{path}", self.repository);
        Url::new(self.transport != Transport::Plain, &self.authority(), path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.transport == Transport::Plain { " (without TLS)" } else { "" };
        write!(f, "{}{how}", self.authority())
    }
}
