// SPDX-License-Identifier: Apache-2.0
//! Access to a repository: the `Authorization` header that its endpoint asked for, shared by all threads.
//!
//! Each request answers challenges at most once. If a thread's header is refused and another thread has got a newer one
//! meanwhile, that one is used. (distribution, docs/content/spec/auth: token.md, oauth.md)

use std::sync::{Mutex, PoisonError};

use crate::auth::Secret;
use crate::error::Failure;

/// The header for an endpoint.
#[derive(Debug, Default)]
pub(super) struct Access(Mutex<Header>);

#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    /// Counts the headers, to tell a refused one from a newer one.
    generation: u64,
    pub(super) value: Option<Secret>,
}

impl Access {
    /// Returns the header to send.
    pub(super) fn header(&self) -> Header {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the header that was refused by the one that `renew` gets.
    ///
    /// # Errors
    /// Fails if `renew` does.
    pub(super) fn replace(
        &self,
        refused: &Header,
        renew: impl FnOnce() -> Result<Secret, Failure>,
    ) -> Result<(), Failure> {
        let mut header = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if header.generation == refused.generation {
            header.value = Some(renew()?);
            header.generation += 1;
        }
        Ok(())
    }
}
