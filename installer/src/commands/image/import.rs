// SPDX-License-Identifier: Apache-2.0
//! `installer image import`: unpacks images into the store, and prints their ids.

use anyhow::{Context as _, Result, anyhow};
use archive::Limits;
use image::ImageArgument;
use pod::id::ImageId;
use prepare::{Finder, ImageInput, Session, Told, When};
use report::Hint as _;
use store::names;
use store::staging::Staging;
use store::{DataDir, Importer, Stored, Tree};
use sys::Interrupt;

use crate::apps::image_parser;
use crate::context::Context;
use crate::exit::Exit;
use crate::options::LimitOptions;
use crate::pull_options::PullOptions;
use crate::ui::Ui;

/// Unpack images into the store and print their ids
///
/// Until a pod refers to an image, `gc` may remove it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image files; with DIGEST (sha256-HEX or sha512-HEX), the uncompressed tar must have this digest
    ///
    /// OCI images: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]; the path of a layout or archive
    /// with one image, where DIGEST is the image's id; HOST/REPO[:TAG][@DIGEST] or docker://HOST/… in a registry.
    #[arg(value_name = "FILE[@DIGEST]", required = true, value_parser = image_parser())]
    images: Vec<ImageArgument>,
    #[command(flatten)]
    pull: PullOptions,
    #[command(flatten)]
    limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    all(&args.images, |finder, image| finder.find(image), &args.pull, args.limits.limits(), context)
}

/// Unpacks images into the store, as they are found, and prints their ids.
pub(super) fn all<I>(
    images: &[I],
    find: impl for<'s> Fn(&Finder<'_, 's>, &I) -> Result<ImageInput<'s>>,
    pull: &PullOptions,
    limits: Limits,
    context: &Context,
) -> Result<Exit> {
    Ui.check()?;
    let (told, pulling) = (Told(&Ui), pull.pulling(When::Always));
    let session = Session::new(&told, &context.interrupt);
    let finder = Finder { dir: &context.dir, pulling: &pulling, session: &session };
    let images = images.iter().map(|image| find(&finder, image)).collect::<Result<Vec<_>>>()?;
    let data_dir = DataDir::open(&context.dir, &context.interrupt, &Ui)?;
    let exit = import(&data_dir, images, limits, &context.interrupt)?;
    data_dir.keep();
    Ok(exit)
}

fn import(
    data_dir: &DataDir,
    images: Vec<ImageInput<'_>>,
    limits: Limits,
    interrupt: &Interrupt,
) -> Result<Exit> {
    Staging::sweep_or_warn(data_dir)?;
    let importer = Importer { data_dir, limits, name_of: image::name, interrupt };
    for image in images {
        let shown = image.shown();
        let tree = import_one(&importer, image).with_context(|| format!("image {shown}"))?;
        Ui.print(format!("{}\n", tree.id()).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn import_one(importer: &Importer<'_>, image: ImageInput<'_>) -> Result<Tree> {
    let ids = match &image {
        ImageInput::Stored(selector) => {
            return Err(anyhow!("no such file: expected an image's file")).hint(format!(
                "{} may be in the store already: {} image list",
                selector.shown(),
                report::program()
            ));
        }
        image => named(image.expected_id()),
    };
    let pulled = image.acquire(importer, &ids)?;
    importer.interrupt.check()?;
    for line in image::unknown(&pulled.tree.in_root(".")?)? {
        importer.data_dir.listener.warn(&line);
    }
    let (data_dir, Stored { tree, is_new }) = (importer.data_dir, pulled.tree.publish()?);
    let id = tree.id();
    if let Err(error) = names::add(data_dir, id, pulled.named) {
        // The shared lock on the tree is released before the tree is locked exclusively.
        drop(tree);
        if is_new {
            // The first error is returned. What is left then is for gc.
            let _ = store::remove(data_dir, &[id]).and_then(|_| store::sweep_names(data_dir));
        }
        return Err(error.into());
    }
    Ok(tree)
}

/// Returns the ids by which the image is known afterwards besides its tree's: the id asked for, if it is a sha512.
fn named(id: Option<ImageId>) -> Vec<ImageId> {
    id.into_iter().filter(|id| id.as_tree().is_none()).collect()
}
