// SPDX-License-Identifier: Apache-2.0
//! `installer image list`: lists the images in the store, as a table for people or as JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use pod::id::TreeId;
use serde_json::json;
use store::{Info, References};

use crate::context::{Context, Format};
use crate::exit::Exit;
use crate::time::age;
use crate::ui::Ui;

/// List the images in the store
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The format of the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let in_store = context.in_store(|data_dir| {
        let references = References::read(data_dir)?;
        print_list(&store::images(data_dir, store::ids(data_dir)?)?, &references, args.format)
    });
    match in_store? {
        Some(exit) => Ok(exit),
        None => print_list(&[], &References::default(), args.format),
    }
}

fn print_list(images: &[(TreeId, Info)], references: &References, format: Format) -> Result<Exit> {
    let text = match format {
        Format::Table => table(images, references),
        Format::Json => array(images, references)?,
    };
    Ui.print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn array(images: &[(TreeId, Info)], references: &References) -> Result<String> {
    let one = |(id, info): &(TreeId, Info)| {
        json!({
            "id": id, "name": info.name, "size": info.size, "objects": info.objects,
            "imported": info.imported, "pods": references.to(*id),
        })
    };
    Ok(serde_json::to_string_pretty(&images.iter().map(one).collect::<Vec<_>>())? + "\n")
}

fn table(images: &[(TreeId, Info)], references: &References) -> String {
    let mut text = format!("{:<19}  {:>9}  {:>7}  {:>4}  NAME\n", "ID", "SIZE", "AGE", "PODS");
    for (id, info) in images {
        let name = info.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let (id, pods) = (id.to_string(), references.to(*id).len());
        let size = indicatif::BinaryBytes(info.size).to_string();
        let _ = writeln!(
            text,
            "{:<19}  {size:>9}  {:>7}  {pods:>4}  {name}",
            &id[..19],
            age(Duration::from_secs(info.age()))
        );
    }
    text
}
