// SPDX-License-Identifier: Apache-2.0
//! Judges images before a pod gets them: the host's policy is asked about all places that an image came from and all names
//! that it has, however the command calls it.
//!
//! A scope that rejects one of them rejects the image: no other name of it, no alias, no dependency and no id leads
//! around that. Apart from that, one place that the image came from must be allowed. A signature that the policy asks for
//! counts if it was checked when the image came from there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use registry::policy::{self, Image};
use registry::{Decision, Policy, Reference, Signatures};
use report::Hint as _;
use store::names::{NamedImage, Names, Origin, Transport};
use store::{Acquired, DataDir};

use crate::session::Session;

/// Checks that a pod may have an image. `now` is what has become known of it in this command.
///
/// # Errors
/// If the policy rejects it, can't be read or is not understood.
pub(crate) fn judge(
    session: &Session<'_>,
    data_dir: &DataDir,
    tree: &Acquired<'_>,
    now: &NamedImage,
) -> Result<()> {
    let Some(policy) = session.policy()? else { return Ok(()) };
    let mut names = Names::read(data_dir)?;
    names.add(tree.id(), now.clone());
    let named = names.of_mut(tree.id());
    let source = match tree {
        Acquired::Known(tree) => tree.info().source.clone(),
        Acquired::New(_) => None,
    };
    let judged = check(policy, named, source.as_deref().unwrap_or("its file"));
    judged.hint(format!("{} image rm {} makes the store forget it", report::program(), tree.id()))
}

/// Checks an image of which this is known. `source` is what a file that nothing else is known of is called.
fn check(policy: &Policy, named: &NamedImage, source: &str) -> Result<()> {
    for origin in &named.origins {
        place(origin)?.check(|image| policy.check_not_rejected(image))?;
    }
    for reference in named.names.iter().chain(&named.digests).filter_map(|name| Reference::parse(name).ok()) {
        policy.check_not_rejected(&Image::Registry(&reference))?;
    }
    let mut refused = None;
    for origin in &named.origins {
        let decided = place(origin)?.check(|image| match policy.decide(image)? {
            Decision::Signed(signatures) if !is_seen(origin, &signatures) => Err(signatures.unseen(image)),
            _ => Ok(()),
        });
        match decided {
            Ok(()) => return Ok(()),
            Err(error) => drop(refused.get_or_insert(error)),
        }
    }
    // An image that came into the store before origins were written down.
    let fetched = named.digests.first().filter(|_| named.origins.is_empty());
    if let Some(reference) = fetched.and_then(|digest| Reference::parse(digest).ok()) {
        let image = Image::Registry(&reference);
        return match policy.decide(&image)? {
            Decision::Accept => Ok(()),
            Decision::Signed(signatures) => Err(signatures.unseen(&image).into()),
        };
    }
    match refused {
        Some(error) => Err(error.into()),
        None => Ok(policy.decide(&Image::Other(Path::new(source))).map(drop)?),
    }
}

/// Tells whether the image was seen to have the signatures when it came from there.
fn is_seen(origin: &Origin, signatures: &Signatures) -> bool {
    signatures.digests().iter().all(|digest| origin.signed.contains(digest))
}

/// Tells whether the store's image was seen to have the signatures that the policy asks for it by a name of a registry.
pub(crate) fn is_signed(named: Option<&NamedImage>, name: &Reference, signatures: &Signatures) -> bool {
    let name = name.to_string();
    let is_it = |origin: &&Origin| origin.transport == Transport::Docker && origin.place == name;
    let origin = named.and_then(|named| named.origins.iter().find(is_it));
    origin.is_some_and(|origin| is_seen(origin, signatures))
}

/// A place, as a policy is asked about it.
enum Place<'a> {
    Registry(Reference),
    Layout(policy::Layout, PathBuf, Option<&'a str>),
    DockerArchive(PathBuf),
}

impl Place<'_> {
    fn check(
        &self,
        ask: impl FnOnce(&Image<'_>) -> Result<(), registry::Error>,
    ) -> Result<(), registry::Error> {
        match self {
            Self::Registry(reference) => ask(&Image::Registry(reference)),
            Self::Layout(transport, path, name) => {
                ask(&Image::Layout { transport: *transport, path, name: *name })
            }
            Self::DockerArchive(path) => ask(&Image::DockerArchive(path)),
        }
    }
}

fn place(origin: &Origin) -> Result<Place<'_>> {
    let path = || PathBuf::from(&origin.place);
    let name = origin.name.as_deref();
    Ok(match origin.transport {
        Transport::Docker => Place::Registry(Reference::parse(&origin.place)?),
        Transport::Oci => Place::Layout(policy::Layout::Oci, path(), name),
        Transport::OciArchive => Place::Layout(policy::Layout::OciArchive, path(), name),
        Transport::DockerArchive => Place::DockerArchive(path()),
    })
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
