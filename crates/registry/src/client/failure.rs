// SPDX-License-Identifier: Apache-2.0
//! Translates errors of ureq and TLS, and statuses of a registry, into failures.

use std::io::{self, Read};

use serde::Deserialize;
use ureq::http::Response;
use ureq::{Body, Error, Timeout};

use crate::cancel::Cancel;
use crate::error::{self, Failure};

/// How much of a registry's own words is read.
const WORDS: u64 = 16 << 10;

/// Says what a failed request means.
pub(super) fn of(error: Error, cancel: &Cancel) -> Failure {
    if cancel.is_set() {
        return Failure::Ours(Box::new(error::Error::Cancelled));
    }
    match error {
        Error::HostNotFound => Failure::UnknownHost,
        Error::Timeout(Timeout::Resolve) => Failure::Timeout("looking up its address"),
        Error::Timeout(Timeout::Connect) => Failure::Timeout("connecting"),
        Error::Timeout(Timeout::PerRead | Timeout::RecvBody) => Failure::Timeout("receiving"),
        Error::Timeout(_) => Failure::Timeout("waiting for its answer"),
        Error::Io(error) => of_io(error),
        Error::Tls(problem) => Failure::Tls(problem.to_owned()),
        Error::ConnectProxyFailed(_) => Failure::Protocol("the proxy does not connect to it".to_owned()),
        Error::Protocol(_) => Failure::Protocol("its answer is not HTTP".to_owned()),
        Error::LargeResponseHeader(..) => {
            Failure::Protocol("the header of its answer is too large".to_owned())
        }
        // The texts of other errors can have a URL in them.
        _ => Failure::Protocol("the request failed".to_owned()),
    }
}

/// TLS errors come as the cause of an I/O error.
fn of_io(error: io::Error) -> Failure {
    let tls = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match tls.map(ToString::to_string) {
        Some(tls) => Failure::Tls(tls),
        None => Failure::Connection(error),
    }
}

/// A registry's own words about an error.
#[derive(Deserialize)]
struct Words {
    errors: Vec<Word>,
}

#[derive(Deserialize)]
struct Word {
    code: String,
}

/// Translates a status other than success into a failure.
pub(super) fn refused(response: Response<Body>, what: &'static str, had_credentials: bool) -> Failure {
    let status = response.status().as_u16();
    match status {
        401 | 403 if had_credentials => Failure::Unauthorized {
            status,
            reason: "it does not allow this with the credentials and token it got",
        },
        401 | 403 => Failure::Unauthorized { status, reason: "it does not allow this to a guest" },
        404 => Failure::NotFound(what),
        _ => Failure::Status { status, code: code(response) },
    }
}

/// Returns the registry's error code, which consists of capitals. Its message could contain anything, so it isn't
/// shown.
fn code(response: Response<Body>) -> Option<String> {
    let mut bytes = Vec::new();
    response.into_body().into_reader().take(WORDS).read_to_end(&mut bytes).ok()?;
    let words: Words = serde_json::from_slice(&bytes).ok()?;
    let code = words.errors.into_iter().next()?.code;
    let good = code.len() <= 40 && code.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
    good.then_some(code)
}
