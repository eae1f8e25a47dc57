// SPDX-License-Identifier: Apache-2.0
//! Whether the suites notice what they are there for: each of a list of small changes is made to a copy of the
//! sources, and a suite has to fail then.
//!
//! The suites are those of this tree, run against a changed installer; the installer's own tests are changed along
//! with it. Invariant: suites that fail without a change prove nothing, so they are run without one first.
//!
//! `mutation-check [WORD…]`: only changes whose names have one of the words in them.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

mod mutations;
mod scratch;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use mutations::{MUTATIONS, Mutation, Suite};
use scratch::Scratch;

fn main() -> ExitCode {
    match check(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every change was noticed.
fn check(words: &[String]) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "not root: expected to run as root, as the suites do");
    let chosen: Vec<&Mutation> = MUTATIONS
        .iter()
        .copied()
        .flatten()
        .filter(|mutation| words.is_empty() || words.iter().any(|word| mutation.name.contains(word.as_str())))
        .collect();
    ensure!(!chosen.is_empty(), "no change has one of these words in its name: expected one of several");
    let scratch = Scratch::new()?;
    // All of them first: one that no longer fits is found before an hour has passed.
    chosen.iter().try_for_each(|mutation| scratch.fits(mutation))?;
    control(&scratch, &chosen)?;
    let mut survived = 0;
    for mutation in &chosen {
        let began = Instant::now();
        let noticed = noticed(&scratch, mutation);
        survived += usize::from(!matches!(noticed, Ok(Some(_))));
        let by = match noticed {
            Ok(Some(suite)) => format!("killed by {suite}"),
            Ok(None) => "SURVIVED".into(),
            // The others may do better.
            Err(error) => format!("NOT TRIED: {error:#}"),
        };
        println!("{}: {by} ({:.0?})", mutation.name, began.elapsed());
    }
    println!("{} changes, {survived} survived or were not tried", chosen.len());
    Ok(survived == 0)
}

/// The suites pass where nothing is changed.
fn control(scratch: &Scratch, chosen: &[&Mutation]) -> Result<()> {
    let suites: BTreeSet<&Suite> = chosen.iter().flat_map(|mutation| mutation.suites).collect();
    for suite in suites {
        scratch.build(suite)?;
        ensure!(scratch.passes(suite)?, "{suite} fails without a change: expected it to pass");
    }
    Ok(())
}

/// The suite that fails with this change.
fn noticed(scratch: &Scratch, mutation: &Mutation) -> Result<Option<&'static Suite>> {
    let _changed = scratch.change(mutation)?;
    for suite in mutation.suites {
        scratch.build(suite).with_context(|| format!("{}: the change can't be built", mutation.name))?;
        if !scratch.passes(suite)? {
            return Ok(Some(suite));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refactoring is told at once which changes have to follow it.
    #[test]
    fn every_change_has_its_text_once() {
        let wrong: Vec<_> = MUTATIONS
            .iter()
            .copied()
            .flatten()
            .filter(|mutation| {
                let text = std::fs::read_to_string(::testing::repository().join(mutation.file));
                text.unwrap_or_default().matches(mutation.find).count() != 1
            })
            .map(|mutation| format!("{}: {}", mutation.file, mutation.name))
            .collect();
        assert_eq!(wrong, Vec::<String>::new());
    }
}
