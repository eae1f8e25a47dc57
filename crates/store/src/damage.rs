// SPDX-License-Identifier: Apache-2.0
//! Whether a tree is damaged, or could not be looked at.
//!
//! Invariant: a tree is called damaged only for what is wrong with itself. Who has no descriptor, memory or right left to
//! look at it knows nothing of it, and says so: damaged trees are passed over, and taken out by a repair.

use std::error::Error;
use std::io;

use anyhow::Result;
use rustix::io::Errno;

/// What looking at a tree came to: what is wrong with it is told apart from what kept it from being looked at.
///
/// # Errors
/// The latter.
pub(crate) fn told_apart<T>(looked: Result<T>) -> Result<Result<T, anyhow::Error>> {
    match looked {
        Err(error) if !is_damage(&error) => Err(error),
        looked => Ok(looked),
    }
}

/// Whether it is the tree's fault: it is not what it should be, and the system, if it has been asked, says no more than
/// that.
fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().find_map(errno).is_none_or(|errno| {
        matches!(
            errno,
            // Something is missing, or is another thing.
            Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NXIO
            // A name or attributes that no archive may have.
            | Errno::NAMETOOLONG | Errno::RANGE | Errno::TOOBIG
            // The file system has lost what it had; EUCLEAN and EBADMSG are what it calls that (EFSCORRUPTED, EFSBADCRC).
            | Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA
        )
    })
}

fn errno(cause: &(dyn Error + 'static)) -> Option<Errno> {
    let of_io = || cause.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
    cause.downcast_ref::<Errno>().copied().or_else(of_io)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn the_systems_trouble_is_no_damage() {
        for (errno, is_damage) in [
            (Errno::MFILE, false),
            (Errno::NFILE, false),
            (Errno::NOMEM, false),
            (Errno::ACCESS, false),
            (Errno::NOENT, true),
            (Errno::IO, true),
        ] {
            for error in [errno.into(), anyhow::Error::from(io::Error::from(errno))] {
                let told = told_apart(Err::<(), _>(error).context("cannot open its info"));
                assert_eq!(told.is_ok(), is_damage, "{errno}");
            }
        }
        assert!(told_apart(Err::<(), _>(anyhow!("its record has 1 bytes: expected 2"))).is_ok());
    }
}
