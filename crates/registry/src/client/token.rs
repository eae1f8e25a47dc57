// SPDX-License-Identifier: Apache-2.0
//! Access to a repository: the `Authorization` header that its endpoint asked for, shared by all threads.
//!
//! A challenge is answered once for a request. A thread whose header was refused takes the one that another thread got
//! meanwhile. (distribution, docs/content/spec/auth: token.md, oauth.md)

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::url::{Url, encode};
use super::{Client, Origin};
use crate::auth::{Credentials, Secret};
use crate::cancel::Cancel;
use crate::challenge::Challenge;
use crate::error::Failure;

/// The header for an endpoint.
#[derive(Debug, Default)]
pub(super) struct Access(Mutex<Header>);

#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    /// Counts the headers, so that a refused one can be told from a newer one.
    generation: u64,
    pub(super) value: Option<Secret>,
}

/// What a token server answers. Old ones say `token`, those of OAuth 2 `access_token`.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Access {
    /// Returns the header to send.
    pub(super) fn header(&self) -> Header {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the header that was refused, by what the challenges ask for.
    ///
    /// # Errors
    /// Fails if there is nothing to answer the challenges with.
    pub(super) fn renew(
        &self,
        client: &Client<'_>,
        cancel: &Cancel,
        origin: &Origin,
        refused: &Header,
        challenges: &[Challenge],
    ) -> Result<(), Failure> {
        let mut header = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if header.generation != refused.generation {
            return Ok(());
        }
        let found = client.options.credentials.find(&origin.host, &origin.repository);
        let credentials = found.map_err(|error| Failure::Credentials(Box::new(error)))?;
        header.value = Some(answer(client, cancel, origin, challenges, credentials.as_ref())?);
        header.generation += 1;
        Ok(())
    }
}

fn answer(
    client: &Client<'_>,
    cancel: &Cancel,
    origin: &Origin,
    challenges: &[Challenge],
    credentials: Option<&Credentials>,
) -> Result<Secret, Failure> {
    let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(bearer) = of("bearer") {
        return token(client, cancel, origin, bearer, credentials);
    }
    if of("basic").is_none() {
        return Err(Failure::Protocol("it asks for credentials of no known kind".to_owned()));
    }
    let basic = credentials.and_then(Credentials::basic);
    basic.ok_or(Failure::Unauthorized {
        status: 401,
        reason: "it asks for credentials, and the host has none for it",
    })
}

/// Gets a token from the server that the challenge names.
fn token(
    client: &Client<'_>,
    cancel: &Cancel,
    origin: &Origin,
    bearer: &Challenge,
    credentials: Option<&Credentials>,
) -> Result<Secret, Failure> {
    let realm =
        bearer.get("realm").ok_or_else(|| protocol("it asks for a token and names no server for it"))?;
    let realm = Url::parse(realm).map_err(|problem| protocol(&format!("its token server: {problem}")))?;
    if !realm.tls && origin.transport.is_verified() {
        return Err(protocol("its token server is asked without TLS"));
    }
    let scope =
        bearer.get("scope").map_or_else(|| format!("repository:{}:pull", origin.repository), str::to_owned);
    let mut fields = vec![("scope", scope.as_str())];
    fields.extend(bearer.get("service").map(|service| ("service", service)));
    let bytes = match credentials {
        Some(Credentials::IdentityToken(secret)) => {
            fields.extend([("grant_type", "refresh_token"), ("client_id", "gantry")]);
            fields.push(("refresh_token", secret.reveal()));
            let form: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
            client.token(cancel, origin, &realm, None, Some(&form.join("&")))?
        }
        other => {
            let url = fields.iter().fold(realm, |url, (name, value)| url.with(name, value));
            let basic = other.and_then(Credentials::basic);
            client.token(cancel, origin, &url, basic.as_ref(), None)?
        }
    };
    // The message of a parser can quote the answer, which may have a token in it.
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_| protocol("its token server answers no JSON"))?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(|c| c.is_ascii_graphic()));
    let token = token.ok_or_else(|| protocol("its token server answers without a token"))?;
    Ok(Secret::new(format!("Bearer {token}")))
}

fn protocol(problem: &str) -> Failure {
    Failure::Protocol(problem.to_owned())
}
