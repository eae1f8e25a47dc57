// SPDX-License-Identifier: Apache-2.0
//! `installer image pull`: fetches images from registries into the store, and prints their ids.

use anyhow::Result;
use image::ImageArgument;
use image::oci::reference::{ImageRef, RegistryRef};

use super::import;
use crate::context::Context;
use crate::exit::Exit;
use crate::options::LimitOptions;
use crate::pull_options::PullOptions;

/// Fetch images from registries into the store and print their ids
///
/// What the store has already is not fetched: neither an image whose tag still means it, nor a layer of another image.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// HOST/REPO[:TAG][@DIGEST], or docker://HOST/…; the tag is latest by default, and a digest wins over it
    #[arg(value_name = "NAME", required = true, value_parser = name)]
    names: Vec<RegistryRef>,
    #[command(flatten)]
    pull: PullOptions,
    #[command(flatten)]
    limits: LimitOptions,
}

fn name(text: &str) -> Result<RegistryRef, String> {
    let bare = text.strip_prefix("docker://").unwrap_or(text);
    RegistryRef::parse(bare).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let images = args.names.iter().cloned().map(ImageRef::Registry).map(ImageArgument::Oci);
    import::all(&images.collect::<Vec<_>>(), &args.pull, args.limits.limits(), context)
}
