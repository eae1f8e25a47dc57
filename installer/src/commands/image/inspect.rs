// SPDX-License-Identifier: Apache-2.0
//! `installer image inspect`: prints all that is known about images, as JSON.

use anyhow::{Context as _, Result};
use pod::layout;
use serde_json::{Value, json};
use store::names::Names;
use store::{DataDir, NoImage, References, Selector};
use sys::in_root::{InRoot, is_missing};

use crate::context::{self, Context};
use crate::exit::Exit;
use crate::ui::Ui;

/// Print all that is known about images, as JSON
///
/// `config` is an OCI image's configuration, with its labels, history, ports and health check; `manifest` is the appc
/// manifest that its pods go by.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Images, by id, the beginning of an id, or name
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let printed = context.in_store(|data_dir| {
        let references = References::read(data_dir)?;
        let one = |image: &String| {
            describe(data_dir, &references, image)
                .with_context(|| format!("image {}", pod::text::escape(image)))
        };
        let all = args.images.iter().map(one).collect::<Result<Vec<_>>>()?;
        Ui.print(context::json(&all.into()).as_bytes())?;
        Ok(Exit::Done)
    })?;
    let first = args.images.first().map(String::as_str).unwrap_or_default();
    printed.ok_or_else(|| report::told(NoImage(Selector::any(first))))
}

fn describe(data_dir: &DataDir, references: &References, image: &str) -> Result<Value> {
    let tree = store::resolve(data_dir, &Selector::any(image))?;
    let (info, root) = (tree.info(), tree.in_root(".")?);
    let named = Names::read(data_dir)?.of(tree.id()).cloned().unwrap_or_default();
    Ok(json!({
        "id": info.id, "sha512": info.sha512, "name": info.name, "names": named.names, "digests": named.digests,
        "origins": named.origins,
        "size": info.size, "objects": info.objects, "imported": info.imported, "source": info.source,
        "pods": references.to(tree.id()), "blobs": named.blobs,
        "config": document(&root, image::oci::CONFIG, image::oci::DOCUMENT_MAX)?,
        "manifest": document(&root, layout::IMAGE_MANIFEST, image::MANIFEST_MAX)?,
    }))
}

/// Reads a document in an image's tree; null if there is none.
fn document(root: &InRoot, name: &str, most: u64) -> Result<Value> {
    match root.read_file(name, most) {
        Err(error) if is_missing(&error) => Ok(Value::Null),
        read => {
            let bytes = read.with_context(|| format!("cannot read its {name}"))?;
            serde_json::from_slice(&bytes).with_context(|| format!("its {name}"))
        }
    }
}
