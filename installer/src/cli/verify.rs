// SPDX-License-Identifier: Apache-2.0
//! `installer verify`: what is found of each tree, and what is done about it.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use pod::digest::Digest;
use pod::text::one_line;

use super::print;
use crate::home::Home;
use crate::report;
use crate::staging::Staging;
use crate::store::{self, Importer, Known, Repair, Selector, Verdict};

/// Verifies these images, or all that is in the store, each whatever the others come to.
pub(super) fn verify(importer: &Importer<'_>, repair: bool, images: &[String]) -> Result<ExitCode> {
    let home = importer.home;
    if repair {
        Staging::sweep(home)?;
    }
    let known = repair.then(|| Known::read(home)).transpose()?;
    let mut failed = false;
    for id in ids(home, images)? {
        importer.interrupt.check()?;
        let is_well = match one(importer, known.as_ref(), id) {
            Ok(Some(is_well)) => is_well,
            Ok(None) if images.is_empty() => true,
            Ok(None) => bail!("no tree {id} in the store: expected one"),
            Err(error) => {
                importer.interrupt.check()?;
                eprintln!("{}", report::line(&error));
                false
            }
        };
        failed |= !is_well;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn ids(home: &Home, images: &[String]) -> Result<Vec<Digest>> {
    if images.is_empty() {
        return store::ids(home);
    }
    let id = |image: &String| match Selector::any(image) {
        // Damaged ones have an id, too.
        Selector::Id(id) if !id.is_sha512() => Ok(id),
        selector => Ok(store::resolve(home, &selector)?.id()),
    };
    images.iter().map(id).collect()
}

/// Whether a tree is as it was, or was made so, which takes what is `known` of it; `None` where there is none.
fn one(importer: &Importer<'_>, known: Option<&Known>, id: Digest) -> Result<Option<bool>> {
    match store::verify(importer.home, id, importer.interrupt)? {
        Verdict::Intact(_) => print(format!("{id}: intact\n").as_bytes())?,
        Verdict::Missing => return Ok(None),
        Verdict::Damaged(lines) => {
            for line in lines {
                print(format!("{id}: {}\n", one_line(&line)).as_bytes())?;
            }
            return known.map_or(Ok(false), |known| repaired(importer, known, id)).map(Some);
        }
    }
    Ok(Some(true))
}

/// Repairs a tree and says how; whether it is as it was.
fn repaired(importer: &Importer<'_>, known: &Known, id: Digest) -> Result<bool> {
    let repair = store::repair(importer, known, id).with_context(|| format!("cannot repair {id}"))?;
    let said = match &repair {
        Repair::Renewed => "renewed from its file".to_owned(),
        Repair::InUse => "in use, so not repaired: expected its pods to have ended".to_owned(),
        Repair::TakenOut(why, pods) => match pods.as_slice() {
            [] => format!("taken out of the store: {why}"),
            pods => {
                let pods: Vec<_> = pods.iter().map(ToString::to_string).collect();
                format!("taken out of the store: {why}: import its file again for pod {}", pods.join(", "))
            }
        },
    };
    print(format!("{id}: {said}\n").as_bytes())?;
    Ok(matches!(repair, Repair::Renewed))
}
