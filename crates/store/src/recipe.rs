// SPDX-License-Identifier: Apache-2.0
//! Recipes: which trees a rendered tree is made of. A recipe's digest is the id of the tree that is made by it.

use std::fmt::Write as _;

use pod::id::TreeId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::Sealed;

/// The recipe of a rendered tree: the trees that it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The trees, each once. The first is that of the image itself.
    pub trees: Vec<TreeId>,
    /// Of each tree, the numbers of those that its image depends on, in order.
    pub dependencies: Vec<Vec<usize>>,
}

impl Recipe {
    /// Returns the id of the tree that is made by this recipe.
    pub fn id(&self) -> TreeId {
        let mut text = "gantry-rendered 1\n".to_owned();
        for (tree, dependencies) in self.trees.iter().zip(&self.dependencies) {
            // Writing to text can't fail.
            let _ = writeln!(text, "{tree} {dependencies:?}");
        }
        TreeId::of_tar(<[u8; 32]>::from(Sha256::digest(text)).into())
    }
}

/// Proof that a tree was rendered completely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rendered(pub(crate) Sealed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipe_makes_a_tree_of_its_own() {
        let tree = |byte: u8| TreeId::of_tar([byte; 32].into());
        let recipe = |trees: &[u8], dependencies: &[&[usize]]| Recipe {
            trees: trees.iter().map(|byte| tree(*byte)).collect(),
            dependencies: dependencies.iter().map(|one| one.to_vec()).collect(),
        };
        let all = [
            recipe(&[1], &[&[]]),
            recipe(&[2], &[&[]]),
            recipe(&[1, 2], &[&[1], &[]]),
            recipe(&[1, 2], &[&[1, 1], &[]]),
            recipe(&[1, 2, 3], &[&[1, 2], &[], &[]]),
            recipe(&[1, 2, 3], &[&[2, 1], &[], &[]]),
            recipe(&[1, 2, 3], &[&[1], &[2], &[]]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert_eq!(one.id(), one.clone().id());
            assert!(!one.trees.contains(&one.id()));
            assert!(all[..index].iter().all(|other| other.id() != one.id()), "{one:?}");
        }
    }
}
