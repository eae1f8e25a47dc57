// SPDX-License-Identifier: Apache-2.0
//! Errors of removals in DIR: a mount is told from all other reasons.

use std::path::PathBuf;

use pod::text::one_line;

use crate::fault::Fault;

/// The path of a mount point in a directory that is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is a mount point: expected none in what is to be removed", one_line(&.0.to_string_lossy()))]
pub struct Mounted(pub(crate) PathBuf);

/// The reason why something in DIR was not removed.
#[derive(Debug, thiserror::Error)]
pub enum Unremoved {
    /// Something is mounted in it.
    #[error(transparent)]
    Mounted(#[from] Mounted),
    /// Any other error.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Unremoved {
    /// Says in which step of a removal an error is. A mount point needs no such explanation.
    pub(crate) fn within(self, about: &str) -> Self {
        match self {
            Self::Fault(fault) => Self::Fault(fault.at(about)),
            mounted => mounted,
        }
    }
}

/// Separates mounts from all other errors of a removal.
///
/// # Errors
/// All errors except for a mount.
pub fn damage_or_error<T>(removed: Result<T, Unremoved>) -> Result<Result<T, Mounted>, Fault> {
    match removed {
        Ok(done) => Ok(Ok(done)),
        Err(Unremoved::Mounted(mounted)) => Ok(Err(mounted)),
        Err(Unremoved::Fault(fault)) => Err(fault),
    }
}
