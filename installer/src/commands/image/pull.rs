// SPDX-License-Identifier: Apache-2.0
//! `installer image pull`: fetches images from registries into the store, and prints their ids.

use anyhow::Result;
use image::oci::reference::RegistryRef;

use super::import;
use crate::context::Context;
use crate::exit::Exit;
use crate::options::LimitOptions;
use crate::pull_options::PullOptions;

/// Fetch images from registries into the store and print their ids
///
/// An image is not fetched if the store has it and its tag still means it. Layers that the store has of other images
/// are not fetched either.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// HOST/REPO[:TAG][@DIGEST], or docker://HOST/…; the tag is latest by default, and a digest wins over it
    ///
    /// A short name, such as redis:7, is looked up in the host's registries.conf: among its aliases, or in the only
    /// registry that it searches.
    #[arg(value_name = "NAME", required = true, value_parser = name)]
    names: Vec<String>,
    #[command(flatten)]
    pull: PullOptions,
    #[command(flatten)]
    limits: LimitOptions,
}

/// Accepts a full name, and a short one, for which the host may have an alias.
fn name(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    let is_short = RegistryRef::parse(&format!("localhost/{bare}")).is_ok();
    match RegistryRef::parse(bare) {
        Err(error) if bare.len() < text.len() || !is_short => Err(error.to_string()),
        _ => Ok(bare.to_owned()),
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    import::all(&args.names, |finder, name| finder.pull(name), &args.pull, args.limits.limits(), context)
}
