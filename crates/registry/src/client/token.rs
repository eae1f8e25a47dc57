// SPDX-License-Identifier: Apache-2.0
//! Tokens: answers the challenges of an endpoint.
//!
//! (distribution, docs/content/spec/auth: token.md, oauth.md)

use serde::Deserialize;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{Request, StatusCode};

use super::origin::Origin;
use super::patience::is_busy;
use super::pull::Client;
use super::request::{text, whole};
use super::url::{Url, encode};
use crate::auth::{Credentials, Secret};
use crate::cancel::Cancel;
use crate::challenge::Challenge;
use crate::error::{Error, Failure};

/// The longest answer of a token server.
const LONGEST_TOKEN: u64 = 1 << 20;

/// The answer of a token server. Old servers call it `token`, those of OAuth 2 `access_token`.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Returns the header that the challenges of an endpoint ask for.
///
/// # Errors
/// Fails if there is nothing to answer the challenges with.
pub(super) fn renew(
    client: &Client<'_>,
    cancel: &Cancel,
    origin: &Origin,
    challenges: &[Challenge],
) -> Result<Secret, Failure> {
    let failed = |error| Failure::Credentials(Box::new(error));
    let credentials = match origin.credentials.get() {
        Some(Ok(found)) => found.clone(),
        Some(Err(error)) => {
            return Err(failed(Error::Told { message: error.to_string(), meaning: error.meaning() }));
        }
        None => client.options.credentials.find(&origin.host, &origin.repository).map_err(failed)?,
    };
    answer(client, cancel, origin, challenges, credentials.as_ref())
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

impl Client<'_> {
    /// Asks a token server; posts `form` if there is one. No redirect is followed, since it could send credentials
    /// elsewhere.
    fn token(
        &self,
        cancel: &Cancel,
        origin: &Origin,
        url: &Url,
        authorization: Option<&Secret>,
        form: Option<&str>,
    ) -> Result<Vec<u8>, Failure> {
        let mut patience = self.patience(cancel);
        loop {
            let mut request =
                Request::builder().method(if form.is_some() { "POST" } else { "GET" }).uri(url.reveal());
            if let Some(secret) = authorization {
                request = request.header(AUTHORIZATION, secret.reveal());
            }
            let sent = match form {
                Some(form) => {
                    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                    self.send(cancel, origin, url, request.body(form))
                }
                None => self.send(cancel, origin, url, request.body(())),
            };
            let response = match sent {
                Ok(response) => response,
                Err(failure) if patience.forgives(&failure) => continue,
                Err(failure) => return Err(failure),
            };
            let status = response.status();
            if is_busy(status) {
                patience.wait(&url.authority, status, text(response.headers(), RETRY_AFTER))?;
                continue;
            }
            if matches!(status.as_u16(), 400 | 401 | 403) {
                let had = authorization.is_some() || form.is_some();
                let reason = if had {
                    "its token server refuses the host's credentials"
                } else {
                    "its token server refuses a guest"
                };
                return Err(Failure::Unauthorized { status: status.as_u16(), reason });
            }
            if status != StatusCode::OK {
                return Err(Failure::Status { status: status.as_u16(), code: None });
            }
            return whole(response.into_body(), LONGEST_TOKEN, cancel);
        }
    }
}

fn protocol(problem: &str) -> Failure {
    Failure::Protocol(problem.to_owned())
}
