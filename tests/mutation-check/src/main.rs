// SPDX-License-Identifier: Apache-2.0
//! Checks that suites notice what they are there for. It makes each mutant's change to a copy of the sources; then a
//! suite must fail.
//!
//! End-to-end suites are those of this tree, run against changed programs. A crate's own tests are run in the copy.
//! Invariant: a suite that fails without a change proves nothing, so all of them are run without one first.
//!
//! `mutation-check [WORD…]` takes only mutants whose file or name contains one of the words.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a tool that can't speak has failed")]

mod mutant;
mod scratch;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use mutant::{Mutant, Suite};
use scratch::Scratch;
use testing::repository;

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

/// Tells whether every change was noticed.
fn check(words: &[String]) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "not root: expected to run as root, as the suites do");
    let mut chosen = Mutant::all(repository())?;
    chosen.retain(|mutant| words.is_empty() || words.iter().any(|word| mutant.to_string().contains(word)));
    ensure!(!chosen.is_empty(), "no change has one of these words in its name: expected one of several");
    let scratch = Scratch::new()?;
    // All of them first: one that no longer fits is found before an hour has passed.
    chosen.iter().try_for_each(|mutant| scratch.fits(mutant))?;
    control(&scratch, &chosen)?;
    let mut survived = 0;
    for mutant in &chosen {
        let began = Instant::now();
        let noticed = noticed(&scratch, mutant);
        survived += usize::from(!matches!(noticed, Ok(Some(_))));
        let by = match noticed {
            Ok(Some(suite)) => format!("killed by {suite}"),
            Ok(None) => "SURVIVED".into(),
            // The others may do better.
            Err(error) => format!("NOT TRIED: {error:#}"),
        };
        println!("{mutant}: {by} ({:.0?})", began.elapsed());
    }
    println!("{} changes, {survived} survived or were not tried", chosen.len());
    Ok(survived == 0)
}

/// Checks that the suites pass where nothing is changed.
fn control(scratch: &Scratch, chosen: &[Mutant]) -> Result<()> {
    let suites: BTreeSet<&Suite> = chosen.iter().flat_map(|mutant| &mutant.suites).collect();
    for suite in suites {
        scratch.build(suite)?;
        ensure!(scratch.passes(suite)?, "{suite} fails without a change: expected it to pass");
    }
    Ok(())
}

/// Returns the first suite that fails with this change.
fn noticed<'a>(scratch: &Scratch, mutant: &'a Mutant) -> Result<Option<&'a Suite>> {
    let _changed = scratch.change(mutant)?;
    for suite in &mutant.suites {
        scratch.build(suite).with_context(|| format!("{mutant}: the change can't be built"))?;
        if !scratch.passes(suite)? {
            return Ok(Some(suite));
        }
    }
    Ok(None)
}
