// SPDX-License-Identifier: Apache-2.0
//! Distinguishes damaged trees from trees that could not be examined.
//!
//! Invariant: a tree is called damaged only for what is wrong with the tree itself. A process that has no descriptor,
//! memory or right left to examine a tree knows nothing about it, and reports an error instead. The difference matters
//! because damaged trees are skipped, and taken out of the store by a repair.

use rustix::io::Errno;

use crate::fault::{Fault, Result};

/// Separates damage, the inner error, from errors that prevented the inspection.
///
/// # Errors
/// Errors that prevented the inspection.
pub(crate) fn damage_or_error<T>(looked: Result<T>) -> Result<Result<T>> {
    match looked {
        Err(error) if !is_damage(&error) => Err(error),
        looked => Ok(looked),
    }
}

/// Tells whether a fault is the tree's.
///
/// That is the case if the tree is not what it should be, or if the system's error says no more than that.
fn is_damage(fault: &Fault) -> bool {
    match fault.cause() {
        Fault::Content(_) => true,
        Fault::System(error) => Errno::from_io_error(error).is_none_or(is_of_the_tree),
        _ => false,
    }
}

fn is_of_the_tree(errno: Errno) -> bool {
    matches!(
        errno,
        // Something is missing, or is of another type.
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::LOOP | Errno::NXIO
        // A name or attributes that no archive may have.
        | Errno::NAMETOOLONG | Errno::RANGE | Errno::TOOBIG
        // The file system has lost data. EUCLEAN and EBADMSG are its errors for that (EFSCORRUPTED, EFSBADCRC).
        | Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Within as _;

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
            let told = damage_or_error(Err::<(), _>(errno).within(|| "cannot open its info"));
            assert_eq!(told.is_ok(), is_damage, "{errno}");
        }
        assert!(damage_or_error(Err::<(), _>(Fault::content("its record has 1 bytes: expected 2"))).is_ok());
        assert!(damage_or_error(Err::<(), _>(Fault::Interrupted)).is_err());
    }
}
