// SPDX-License-Identifier: Apache-2.0
//! Exchanges: one request to an endpoint and its answer. That includes redirects, getting or renewing a token, and
//! waiting for a busy registry.

use ureq::Body;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use ureq::http::{HeaderMap, HeaderName, Request, Response, StatusCode};

use super::failure::refused;
use super::origin::Origin;
use super::patience::is_busy;
use super::pull::Client;
use super::request::text;
use super::token;
use super::url::Url;
use crate::auth::Secret;
use crate::cancel::Cancel;
use crate::challenge;
use crate::error::Failure;

/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// A request to a registry.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    /// `manifests/VERSION` or `blobs/DIGEST`.
    pub(super) path: String,
    /// The words for it in a message.
    pub(super) what: &'static str,
    pub(super) accept: &'a str,
    /// The first byte that is wanted.
    pub(super) from: u64,
    /// Whether the headers are enough.
    pub(super) head: bool,
}

/// A successful answer, or one whose status is about a range.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl Answer {
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the announced length of the body.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH)?.parse().ok()
    }
}

impl Client<'_> {
    /// Asks an endpoint. Gets or renews a token at most once.
    pub(super) fn ask(&self, cancel: &Cancel, origin: &Origin, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut patience = self.patience(cancel);
        let mut renewed = false;
        loop {
            cancel.check()?;
            let header = origin.access.header();
            let (server, response) = match self.follow(cancel, origin, ask, header.value.as_ref()) {
                Ok(answered) => answered,
                Err(failure) if patience.forgives(&failure) => continue,
                Err(failure) => return Err(failure),
            };
            let status = response.status();
            if is_busy(status) {
                patience.wait(&server.authority, status, text(response.headers(), RETRY_AFTER))?;
                continue;
            }
            let is_own = server.is_same_server(&origin.url(&ask.path));
            if status == StatusCode::UNAUTHORIZED && is_own && !renewed {
                renewed = true;
                let all = response
                    .headers()
                    .get_all(WWW_AUTHENTICATE)
                    .iter()
                    .filter_map(|value| value.to_str().ok());
                let challenges: Vec<_> = all.flat_map(challenge::parse).collect();
                origin.access.replace(&header, || token::renew(self, cancel, origin, &challenges))?;
                continue;
            }
            return answer(response, ask, header.value.is_some());
        }
    }

    /// Sends a request and follows redirects. Only the endpoint itself sees `authorization`.
    fn follow(
        &self,
        cancel: &Cancel,
        origin: &Origin,
        ask: &Ask<'_>,
        authorization: Option<&Secret>,
    ) -> Result<(Url, Response<Body>), Failure> {
        let first = origin.url(&ask.path);
        let mut url = first.clone();
        for _ in 0..=REDIRECTS {
            let is_own = url.is_same_server(&first);
            let mut request =
                Request::builder().method(if ask.head { "HEAD" } else { "GET" }).uri(url.reveal());
            if !ask.accept.is_empty() {
                request = request.header("accept", ask.accept);
            }
            if ask.from > 0 {
                request = request.header(RANGE, format!("bytes={}-", ask.from));
            }
            if let Some(secret) = authorization.filter(|_| is_own) {
                request = request.header(AUTHORIZATION, secret.reveal());
            }
            let response = self.send(cancel, origin, &url, request.body(()))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((url, response));
            }
            let location = text(response.headers(), LOCATION).ok_or(Failure::Redirect("it names no URL"))?;
            let next = url.join(location).map_err(Failure::Redirect)?;
            if url.tls && !next.tls {
                return Err(Failure::Redirect("it leads away from TLS"));
            }
            url = next;
        }
        Err(Failure::Redirect("there are too many of them"))
    }
}

/// Accepts the answers that a caller can use.
fn answer(response: Response<Body>, ask: &Ask<'_>, had_credentials: bool) -> Result<Answer, Failure> {
    let status = response.status();
    let is_range = matches!(status.as_u16(), 206 | 416) && ask.from > 0;
    if status != StatusCode::OK && !is_range {
        return Err(refused(response, ask.what, had_credentials));
    }
    let encoding = text(response.headers(), ureq::http::header::CONTENT_ENCODING).unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        return Err(Failure::Protocol("it encodes what it was asked for as it is".to_owned()));
    }
    let (parts, body) = response.into_parts();
    Ok(Answer { status, headers: parts.headers, body })
}
