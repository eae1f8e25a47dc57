// SPDX-License-Identifier: Apache-2.0
//! Patience: how long to wait for a busy registry. If it asks for a wait that is short enough, the client waits;
//! otherwise it asks the next endpoint at once.

use std::time::{Duration, SystemTime};

use ureq::http::StatusCode;

use super::options::Limits;
use crate::cancel::Cancel;
use crate::error::Failure;
use crate::listener::Listener;

/// The tries that one request has left.
pub(super) struct Patience<'a> {
    limits: &'a Limits,
    listener: &'a dyn Listener,
    cancel: &'a Cancel,
    waits: u32,
    broken: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(limits: &'a Limits, listener: &'a dyn Listener, cancel: &'a Cancel) -> Self {
        Self { limits, listener, cancel, waits: 0, broken: false }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// Fails if no attempt is left.
    pub(super) fn wait(
        &mut self,
        host: &str,
        status: StatusCode,
        retry_after: Option<&str>,
    ) -> Result<(), Failure> {
        let asked = retry_after.and_then(|text| asked(text, SystemTime::now()));
        let wait = asked.unwrap_or_else(|| self.limits.first_wait * 2_u32.saturating_pow(self.waits));
        if self.waits >= self.limits.waits || wait > self.limits.longest_wait {
            return Err(Failure::Busy { status: status.as_u16(), retry_after: asked });
        }
        self.waits += 1;
        let seconds = wait.as_secs_f64().ceil();
        self.listener.note(&format!("{host} is busy (status {}): waiting {seconds} s", status.as_u16()));
        Ok(self.cancel.wait(wait)?)
    }

    /// Allows one more attempt if a kept connection broke, since the registry may have closed it meanwhile.
    pub(super) fn forgives(&mut self, failure: &Failure) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let is_broken = matches!(failure, Failure::Connection(error)
            if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof));
        is_broken && !std::mem::replace(&mut self.broken, true)
    }
}

/// Tells whether waiting may help against a status.
pub(super) fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). A date in the past is no wait.
fn asked(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:49:40 GMT", Some(3)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(asked(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
