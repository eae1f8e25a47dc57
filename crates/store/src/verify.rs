// SPDX-License-Identifier: Apache-2.0
//! Verifies that trees still are what they were when they were extracted.

use pod::id::TreeId;

use crate::damage::damage_or_error;
use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::record;
use crate::tree::{Found, Tree};
use sys::Interrupt;

/// The result of verifying a tree.
#[derive(Debug)]
pub enum Verdict {
    /// The tree is as it was.
    Intact(Box<Tree>),
    /// The tree differs from its record; each line names a difference.
    Damaged(Vec<String>),
    /// The store has no such tree.
    Missing,
}

/// Compares a tree with its record: all metadata and all content.
///
/// # Errors
/// If it can't be examined for another reason than damage, or once interrupted.
pub fn verify(data_dir: &DataDir, id: TreeId, interrupt: &Interrupt) -> Result<Verdict> {
    let found = Tree::look(data_dir, id)?;
    interrupt.check()?;
    let tree = match found {
        Found::Whole(tree) => tree,
        Found::Nothing => return Ok(Verdict::Missing),
        Found::Damaged(fault) => return Ok(Verdict::Damaged(vec![Error::Damaged(id, fault).to_string()])),
    };
    let differences = tree.root().and_then(|root| record::differences(tree.record()?, &root, interrupt));
    interrupt.check()?;
    Ok(match damage_or_error(differences).about(|| format!("cannot look at tree {id}"))? {
        Ok(differences) if differences.is_empty() => Verdict::Intact(tree),
        Ok(differences) => Verdict::Damaged(differences.iter().map(ToString::to_string).collect()),
        Err(fault) => Verdict::Damaged(vec![fault.to_string()]),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::listener::Silent;
    use crate::staging::tests::nobody_starts;

    /// An interrupt must not count as damage, or the tree would be replaced.
    #[gate::root_test]
    fn an_interrupt_is_no_verdict() {
        let _nobody_starts = nobody_starts();
        let outer = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(outer.path(), &Interrupt::default(), &Silent).unwrap();
        let id = TreeId::of_tar([7; 32].into());
        fs::create_dir(outer.path().join(pod::layout::TREES).join(id.to_string())).unwrap();
        let verdict = |interrupt| verify(&data_dir, id, &interrupt);
        assert!(matches!(verdict(Interrupt::default()), Ok(Verdict::Damaged(_))));
        assert!(verdict(Interrupt::by(15)).is_err());
    }
}
