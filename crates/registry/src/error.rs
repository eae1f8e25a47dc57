// SPDX-License-Identifier: Apache-2.0
//! Errors: one variant for each case that a caller may want to tell from others. Each is one line, names what it is
//! about and what was expected, and has no credential in it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use pod::text::{escape, one_line};

use pod::blob::BlobDigest;

/// Why something could not be fetched, or not be allowed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is no reference.
    #[error("{} is not an image's name: expected {expected}", escape(text))]
    Reference {
        /// The text that was given.
        text: String,
        /// The form that was expected in the place that is wrong.
        expected: &'static str,
    },
    /// A text is no digest.
    #[error("{} is not a digest: expected sha256: or sha512: and its lower-case hex", escape(text))]
    Digest {
        /// The text that was given.
        text: String,
    },
    /// A name has no host, and registries.conf does not give it one.
    #[error("{name} names no registry: give the full name, {}", candidates.join(" or "))]
    ShortName {
        /// The name as it was given.
        name: String,
        /// Full names that may be meant.
        candidates: Vec<String>,
    },
    /// A file of the host's can't be read.
    #[error("cannot read {}: {source}", one_line(&path.display().to_string()))]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// A file of the host's says something that can't be obeyed.
    #[error("{}: {}", one_line(&path.display().to_string()), one_line(problem))]
    Document {
        /// The file.
        path: PathBuf,
        /// The fault, and what was expected.
        problem: String,
    },
    /// A credential helper is of no use.
    #[error("{program} {problem}")]
    Helper {
        /// The program, or the file that names it.
        program: String,
        /// The way in which it failed. Its output is not shown, since that may be a password.
        problem: &'static str,
    },
    /// A setting, such as a proxy, is unusable.
    #[error("{name}: {problem}")]
    Setting {
        /// The variable or option. Its value is not printed: it may have a password in it.
        name: &'static str,
        /// The fault.
        problem: &'static str,
    },
    /// registries.conf forbids the registry.
    #[error("{reference}: registries.conf blocks {prefix}")]
    Blocked {
        /// The image.
        reference: String,
        /// The prefix that is blocked.
        prefix: String,
    },
    /// policy.json forbids the image, or asks for what can't be checked.
    #[error("{image}: {} does not allow it: {reason} ({scope})", one_line(&policy.display().to_string()))]
    Rejected {
        /// The image.
        image: String,
        /// The policy's file.
        policy: PathBuf,
        /// The part of the policy that decided.
        scope: String,
        /// Why.
        reason: String,
    },
    /// No endpoint gave what was asked for. Each attempt is named.
    #[error("cannot fetch {what}: {}", join(attempts))]
    Unavailable {
        /// The thing that was asked for, and its image.
        what: String,
        /// The failure at each endpoint.
        attempts: Vec<Attempt>,
    },
    /// The fetched bytes can't be written.
    #[error("cannot write {blob}: {source}")]
    Write {
        /// The blob.
        blob: BlobDigest,
        /// The kernel's error.
        source: io::Error,
    },
    /// The caller's flag was set.
    #[error("interrupted")]
    Cancelled,
    /// The error of another process, which was to fetch it.
    #[error("{}", one_line(.message))]
    Told {
        /// Its message.
        message: String,
        /// The meaning of the message.
        meaning: Meaning,
    },
}

/// The meaning of an error for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Meaning {
    /// No endpoint has it.
    Missing,
    /// No endpoint gave it.
    Unavailable,
    /// Anything else.
    Failed,
}

impl Error {
    /// Returns what it means for what was asked for.
    pub fn meaning(&self) -> Meaning {
        let is_missing = |attempt: &Attempt| matches!(attempt.failure, Failure::NotFound(_));
        match self {
            Self::Unavailable { attempts, .. } if attempts.iter().all(is_missing) => Meaning::Missing,
            Self::Unavailable { .. } => Meaning::Unavailable,
            Self::Told { meaning, .. } => *meaning,
            _ => Meaning::Failed,
        }
    }

    /// Tells whether no endpoint has what was asked for.
    pub fn is_missing(&self) -> bool {
        self.meaning() == Meaning::Missing
    }
}

/// A failed attempt at one endpoint.
#[derive(Debug)]
pub struct Attempt {
    /// The endpoint: `HOST[:PORT]`, and how it was asked if that is not HTTPS.
    pub endpoint: String,
    /// Why it did not give what was asked for.
    pub failure: Failure,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.failure)
    }
}

fn join(attempts: &[Attempt]) -> String {
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why one endpoint did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host's name has no address.
    #[error("no such host")]
    UnknownHost,
    /// No connection, or it broke before the answer.
    #[error("{0}")]
    Connection(io::Error),
    /// TLS failed: a certificate isn't trusted, or isn't the host's.
    #[error("TLS: {}", one_line(.0))]
    Tls(String),
    /// A phase took too long.
    #[error("no answer in time ({0})")]
    Timeout(&'static str),
    /// The registry asks for credentials, and there are none, or it refused them.
    #[error("{status}: {reason}")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// Whether credentials were sent.
        reason: &'static str,
    },
    /// The registry says that it has no such thing.
    #[error("404: it has no such {0}")]
    NotFound(&'static str),
    /// The registry is busy for longer than is waited.
    #[error("{status}: it is busy{}", asked(*.retry_after))]
    Busy {
        /// 429 or 503.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Any other status that is no success.
    #[error("status {status}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Status {
        /// The status.
        status: u16,
        /// The registry's own code for it, such as `MANIFEST_INVALID`.
        code: Option<String>,
    },
    /// A redirect that isn't followed.
    #[error("redirect refused: {0}")]
    Redirect(&'static str),
    /// The registry's answer breaks the protocol.
    #[error("{}", one_line(.0))]
    Protocol(String),
    /// The bytes that arrived have another digest.
    #[error("its bytes have the digest {found}, expected {expected}")]
    Digest {
        /// The digest that was asked for.
        expected: Box<BlobDigest>,
        /// The digest of the bytes that arrived.
        found: Box<BlobDigest>,
    },
    /// The bytes that arrived have another size.
    #[error("it has {found} bytes, expected {expected}")]
    Size {
        /// The size that the manifest says.
        expected: u64,
        /// The size of the bytes that arrived, or that the registry announced.
        found: String,
    },
    /// The transfer broke, and going on did not help.
    #[error("cut after {at} of {size} bytes")]
    Cut {
        /// How many bytes arrived. They are kept.
        at: u64,
        /// How many there are.
        size: u64,
    },
    /// The document is not what was asked for.
    #[error("{}", one_line(.0))]
    Document(String),
    /// Credentials can't be had.
    #[error("{0}")]
    Credentials(Box<Error>),
    /// Not this endpoint's failure: what was fetched can't be written, or the caller's flag was set.
    #[error("{0}")]
    Ours(Box<Error>),
}

impl Failure {
    /// Tells whether the endpoint said something, so that it is there and is spoken with in the right way.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(self, Self::UnknownHost | Self::Connection(_) | Self::Tls(_) | Self::Timeout(_))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(Box::new(error))
    }
}

fn asked(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(", and asks to wait {} s", wait.as_secs())).unwrap_or_default()
}
