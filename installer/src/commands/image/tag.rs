// SPDX-License-Identifier: Apache-2.0
//! `installer image tag`: gives an image a name.

use anyhow::Result;
use image::oci::reference::RegistryRef;
use store::names::Names;
use store::{NoImage, Selector};

use crate::context::Context;
use crate::exit::Exit;

/// Give an image a name
///
/// A name of another image becomes this one's. A short name is in localhost: web means localhost/web:latest.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An image, by id, the beginning of an id, or name
    #[arg(value_name = "IMAGE")]
    image: String,
    /// HOST/REPO[:TAG], or a short name
    #[arg(value_name = "NAME", value_parser = full_name)]
    name: String,
}

/// Returns the full name that a text means.
fn full_name(text: &str) -> Result<String, String> {
    let invalid = |error: &dyn std::fmt::Display| error.to_string();
    let full = match RegistryRef::parse(text) {
        Ok(full) => full,
        Err(_) if !text.contains('.') || !text.contains('/') => {
            RegistryRef::parse(&format!("localhost/{text}")).map_err(|error| invalid(&error))?
        }
        Err(error) => return Err(invalid(&error)),
    };
    match full.digest {
        None => Ok(full.tagged()),
        Some(digest) => {
            Err(format!("a digest can't be given to an image: {digest}: expected a name and a tag"))
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let tagged = context.in_store(|data_dir| {
        // The image is locked against removal until it has the name.
        let tree = store::resolve(data_dir, &Selector::any(&args.image))?;
        Names::change(data_dir, |names| {
            names.give(tree.id(), &args.name);
            Ok(Exit::Done)
        })
    })?;
    tagged.ok_or_else(|| report::told(NoImage(Selector::any(&args.image))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_full() {
        for (text, full) in [
            ("web", "localhost/web:latest"),
            ("team/web:1", "localhost/team/web:1"),
            ("quay.io/a/b", "quay.io/a/b:latest"),
            ("docker.io/redis:7", "docker.io/library/redis:7"),
        ] {
            assert_eq!(full_name(text).as_deref(), Ok(full));
        }
        let digest = format!("quay.io/a@sha256:{}", "0".repeat(64));
        for bad in ["", "Web", "a b", "web:", "quay.io/A", &digest] {
            assert!(full_name(bad).is_err(), "{bad}");
        }
    }
}
