// SPDX-License-Identifier: Apache-2.0
//! The metadata service: answers apps' questions about their pod, and signs for it (appc spec, "App Container Metadata
//! Service").
//!
//! systemd starts it with the first connection to its socket, and it stays until the pod ends. It reads all that it
//! answers ([`crate::exchange::metadata_file`]) and the pod's key, and then confines itself: a user that no app has, no
//! capability, and the few system calls that answering takes. It opens nothing from then on.
//!
//! Invariants: the answers depend on nothing but the file, the key and the request. The memory and the descriptors that
//! it takes are bounded, whatever is sent ([`server`]). While it is the pod's root it has `CAP_SYS_PTRACE`, and
//! afterwards it is not dumpable, so that no app can look into it ([`super::launch`]).

mod answer;
mod confine;
mod http;
mod server;
mod sign;

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use sys::activation;

use crate::exchange::metadata_file::Metadata;
use crate::exchange::outcome::PODS;
use answer::Service;

/// Answers until the pod ends. `words` has the service's user.
///
/// A failure is not reported: the apps find their connections closed.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    let Ok(listener) = activation::take(0) else { return ExitCode::FAILURE };
    match prepare(&listener, words) {
        Ok(service) => server::serve(&listener, &service),
        Err(_) => {
            // Connections that wait would make systemd start the service again at once.
            server::refuse_all(&listener);
            ExitCode::FAILURE
        }
    }
}

fn prepare(listener: &OwnedFd, words: &[OsString]) -> Result<Service> {
    server::make_ready(listener)?;
    let user = words.first().and_then(|word| word.to_str()?.parse().ok()).context("expected a user")?;
    let mut file = Vec::new();
    io::stdin().lock().read_to_end(&mut file)?;
    let metadata = Metadata::read(&file).context("expected a metadata file")?;
    let service = Service::new(metadata, &PODS.key()?).context("expected a key")?;
    confine::confine(user)?;
    Ok(service)
}
