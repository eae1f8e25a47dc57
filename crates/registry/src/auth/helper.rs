// SPDX-License-Identifier: Apache-2.0
//! Credential helpers: programs called `docker-credential-NAME` that keep credentials for Docker's client.
//!
//! A helper is given the registry on stdin and answers with JSON on stdout. It gets a small environment and no
//! descriptors but those three; its messages are not shown, as they may contain a secret.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::credentials::{Credentials, Secret};
use crate::error::Error;
use crate::host::Host;

/// The name that helpers know Docker's registry by.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";
/// The output of a helper that has no credentials for the registry.
const NOT_FOUND: &str = "credentials not found";
/// The user that a helper says of an identity token.
const TOKEN_USER: &str = "<token>";
/// The longest answer.
const LONGEST: u64 = 64 << 10;

/// How credential helpers are run.
#[derive(Clone, Debug)]
pub struct Helpers {
    /// The whole environment that helpers get. They are also searched for in its `PATH`.
    pub environment: Vec<(OsString, OsString)>,
    /// How long one may take before it is ended.
    pub timeout: Duration,
}

impl Default for Helpers {
    fn default() -> Self {
        Self { environment: Vec::new(), timeout: Duration::from_secs(30) }
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl Helpers {
    /// Asks a helper for the credentials of this registry.
    ///
    /// # Errors
    /// Fails if the helper can't be run, takes too long, or answers with something else.
    pub(super) fn get(&self, name: &str, host: &Host) -> Result<Option<Credentials>, Error> {
        let good = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(good) {
            return Err(fail("an auth file", "names a credential helper by more than letters and digits"));
        }
        let program = format!("docker-credential-{name}");
        let key = if host.is_docker() { DOCKER_KEY.to_owned() } else { host.to_string() };
        let (status, answer) = self.run(&program, &key)?;
        if !status.success() {
            let is_none = String::from_utf8_lossy(&answer).contains(NOT_FOUND);
            return if is_none { Ok(None) } else { Err(fail(&program, "failed")) };
        }
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| fail(&program, "answered with something else than credentials"))?;
        Ok(Some(answer.into()))
    }

    fn run(&self, program: &str, key: &str) -> Result<(ExitStatus, Vec<u8>), Error> {
        let mut command = Command::new(program);
        command.arg("get").env_clear().envs(self.environment.iter().cloned()).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|_| fail(program, "cannot be run"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that doesn't read its stdin still answers, or fails.
            let _ = stdin.write_all(key.as_bytes());
        }
        let answer = self.answer(&mut child);
        if answer.is_none() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|_| fail(program, "cannot be waited for"))?;
        answer.map(|answer| (status, answer)).ok_or_else(|| fail(program, "took too long, or said too much"))
    }

    /// Returns the whole output of a helper; nothing if it doesn't end in time.
    fn answer(&self, child: &mut Child) -> Option<Vec<u8>> {
        let stdout = child.stdout.take()?;
        let (send, receive) = mpsc::channel();
        // The thread ends when the pipe is closed. If a child of the helper keeps the pipe open, the thread stays until
        // then.
        let reader = move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LONGEST + 1).read_to_end(&mut bytes);
            let _ = send.send(read.map(|_| bytes));
        };
        thread::Builder::new().spawn(reader).ok()?;
        let bytes = receive.recv_timeout(self.timeout).ok()?.ok()?;
        (bytes.len() as u64 <= LONGEST).then_some(bytes)
    }
}

impl From<Answer> for Credentials {
    fn from(answer: Answer) -> Self {
        let secret = Secret::new(answer.secret);
        if answer.username == TOKEN_USER {
            return Self::IdentityToken(secret);
        }
        Self::Basic { user: answer.username, password: secret }
    }
}

fn fail(program: &str, problem: &'static str) -> Error {
    Error::Helper { program: program.to_owned(), problem }
}

#[cfg(test)]
#[path = "helper_tests.rs"]
mod tests;
