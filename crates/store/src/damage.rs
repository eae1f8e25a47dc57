// SPDX-License-Identifier: Apache-2.0
//! Distinguishes damaged trees from trees that could not be examined.
//!
//! Invariant: a tree is called damaged only for what is wrong with the tree itself. A process that has no descriptor,
//! memory or right left to examine a tree knows nothing about it, and reports an error instead. The difference matters
//! because damaged trees are skipped, and taken out of the store by a repair.

use std::error::Error;
use std::io;

use anyhow::Result;
use rustix::io::Errno;

/// Separates damage, the inner error, from errors that prevented the inspection.
///
/// # Errors
/// Errors that prevented the inspection.
pub(crate) fn told_apart<T>(looked: Result<T>) -> Result<Result<T, anyhow::Error>> {
    match looked {
        Err(error) if !is_damage(&error) => Err(error),
        looked => Ok(looked),
    }
}

/// Tells whether an error is the tree's fault.
///
/// That is the case if the tree is not what it should be, and the system's error, if there is one, says no more than
/// that.
fn is_damage(error: &anyhow::Error) -> bool {
    error.chain().find_map(errno).is_none_or(|errno| {
        matches!(
            errno,
            // Something is missing, or is of another type.
            Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NXIO
            // A name or attributes that no archive may have.
            | Errno::NAMETOOLONG | Errno::RANGE | Errno::TOOBIG
            // The file system has lost data. EUCLEAN and EBADMSG are its errors for that (EFSCORRUPTED, EFSBADCRC).
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
