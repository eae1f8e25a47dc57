// SPDX-License-Identifier: Apache-2.0
//! Requests: one to one server, and its answer.

use std::io::Read;

use ureq::http::{HeaderMap, HeaderName, Request, Response};
use ureq::{AsSendBody, Body};

use super::agents::Server;
use super::failure::of;
use super::origin::Origin;
use super::patience::Patience;
use super::pull::Client;
use super::url::Url;
use crate::cancel::Cancel;
use crate::error::Failure;

impl Client<'_> {
    /// Returns how patient one request is.
    pub(super) fn patience<'a>(&'a self, cancel: &'a Cancel) -> Patience<'a> {
        Patience::new(&self.options.limits, self.listener, cancel)
    }

    /// Sends one request.
    pub(super) fn send<B: AsSendBody>(
        &self,
        cancel: &Cancel,
        origin: &Origin,
        url: &Url,
        request: Result<Request<B>, ureq::http::Error>,
    ) -> Result<Response<Body>, Failure> {
        let is_own = url.authority == origin.authority();
        let server = Server {
            authority: url.authority.clone(),
            tls: url.tls,
            // registries.conf calls only the registry itself insecure, not the servers that it leads to.
            verified: origin.transport.is_verified() || !is_own,
            certificates: if is_own { origin.host.to_string() } else { url.authority.clone() },
        };
        let agent = self.agents.of(&self.options, &self.cancel, &server)?;
        let request = request.map_err(|_| Failure::Protocol("a header that can't be sent".to_owned()))?;
        agent.run(request).map_err(|error| of(error, cancel))
    }
}

/// Reads all of a small body.
pub(super) fn whole(body: Body, longest: u64, cancel: &Cancel) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut reader = body.into_with_config().limit(u64::MAX).reader().take(longest + 1);
    reader.read_to_end(&mut bytes).map_err(|error| of(error.into(), cancel))?;
    if bytes.len() as u64 > longest {
        return Err(Failure::Protocol(format!("its answer is larger than {longest} bytes")));
    }
    Ok(bytes)
}

/// Returns a header as text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
