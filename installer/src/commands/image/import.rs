// SPDX-License-Identifier: Apache-2.0
//! `installer image import`: unpacks images into the store, and prints their ids.

use anyhow::{Context as _, Result, anyhow};
use archive::Limits;
use image::ImageArgument;
use pod::id::ImageId;
use prepare::ImageInput;
use report::Hint as _;
use store::extract::Expected;
use store::staging::Staging;
use store::{Acquired, DataDir, Importer, Stored, TreeKind};
use sys::Interrupt;

use crate::apps::image_parser;
use crate::context::Context;
use crate::exit::Exit;
use crate::options::LimitOptions;
use crate::ui::Ui;

/// Unpack images into the store and print their ids
///
/// Until a pod refers to an image, `gc` may remove it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Image files; with DIGEST (sha256-HEX or sha512-HEX), the uncompressed tar must have this digest
    ///
    /// OCI images: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker://HOST/REPO[:TAG][@DIGEST]; or the plain path of a layout or
    /// archive with one image, whose id DIGEST is then.
    #[arg(value_name = "FILE[@DIGEST]", required = true, value_parser = image_parser())]
    images: Vec<ImageArgument>,
    #[command(flatten)]
    limits: LimitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    Ui.check()?;
    let images = args
        .images
        .iter()
        .map(|image| ImageInput::open(image, &context.interrupt))
        .collect::<Result<Vec<_>>>()?;
    let data_dir = DataDir::open(&context.dir, &context.interrupt, &Ui)?;
    let exit = import(&data_dir, images, args.limits.limits(), &context.interrupt)?;
    data_dir.keep();
    Ok(exit)
}

fn import(
    data_dir: &DataDir,
    images: Vec<ImageInput>,
    limits: Limits,
    interrupt: &Interrupt,
) -> Result<Exit> {
    Staging::sweep_or_warn(data_dir)?;
    let importer = Importer { data_dir, limits, name_of: image::name, interrupt };
    let publish = |acquired: Acquired<'_>| {
        interrupt.check()?;
        Ok(acquired.publish()?)
    };
    for image in images {
        let shown = image.shown();
        let imported = match image {
            ImageInput::Stored(selector) => Err(anyhow!("no such file: expected an image's file")).hint(
                format!("{} may be in the store already: {} image list", selector.shown(), report::program()),
            ),
            ImageInput::Remote(image) => image.acquire(&importer).and_then(publish),
            ImageInput::Oci(image, _) => {
                let image = image::oci::layered(&image);
                image.and_then(|image| Ok(importer.acquire_layers(&image)?)).and_then(publish)
            }
            ImageInput::File(mut source, id) => {
                let expected = id.map_or(Expected::Anything, |id| Expected::Tar(id.digest()));
                let acquired = importer.acquire(&mut source, TreeKind::Image, expected, &named(id));
                acquired.map_err(Into::into).and_then(publish)
            }
        };
        let Stored { tree, .. } = imported.with_context(|| format!("image {shown}"))?;
        Ui.print(format!("{}\n", tree.id()).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// Returns the ids by which the image is known afterwards besides its tree's: the id asked for, if it is a sha512.
fn named(id: Option<ImageId>) -> Vec<ImageId> {
    id.into_iter().filter(|id| id.as_tree().is_none()).collect()
}
