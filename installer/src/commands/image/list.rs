// SPDX-License-Identifier: Apache-2.0
//! `installer image list`: lists the images in the store, as a table for people or as JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use pod::blob::BlobDigest;
use pod::id::{PodId, TreeId};
use pod::text::escape;
use serde_json::json;
use store::names::{NamedImage, Names};
use store::{DataDir, Info, Labelled, References, Selector, Tree};
use terminal::progress::bytes;

use crate::context::{self, Context, Format};
use crate::exit::Exit;
use crate::table::{self, Align};
use crate::time::age;
use crate::ui::Ui;

/// List the images in the store
///
/// Each name of an image has a line. SIZE is the space that its files take. LAYERS is the size of its layers that are
/// kept as they were fetched, and SHARED that of those which other images have, too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only images with these names or ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Only images with this label, and this value if one is given; repeat the option for more labels
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    /// The format of the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// An image, and all that is listed of it.
struct Row {
    id: TreeId,
    info: Info,
    named: NamedImage,
    labels: BTreeMap<String, String>,
    /// The bytes of its layers that are kept as they were fetched.
    layers: u64,
    /// How much of that other images need.
    shared: u64,
    pods: Vec<PodId>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let in_store = context.in_store(|data_dir| {
        let mut rows = rows(data_dir)?;
        let given: Vec<_> = args.images.iter().map(|image| Selector::any(image)).collect();
        let names = Names::read(data_dir)?;
        rows.retain(|row| given.is_empty() || given.iter().any(|selector| row.is(selector, &names)));
        rows.retain(|row| args.labels.iter().all(|label| row.has(label)));
        print_list(&rows, args.format)
    });
    match in_store? {
        Some(exit) => Ok(exit),
        None => print_list(&[], args.format),
    }
}

fn rows(data_dir: &DataDir) -> Result<Vec<Row>> {
    let (references, names) = (References::read(data_dir)?, Names::read(data_dir)?);
    let mut needed: BTreeMap<BlobDigest, BTreeSet<TreeId>> = BTreeMap::new();
    for (id, image) in names.iter() {
        for blob in &image.blobs {
            needed.entry(blob.digest).or_default().insert(id);
        }
    }
    let mut rows = Vec::new();
    for (id, info) in store::images(data_dir, store::ids(data_dir)?)? {
        let named = names.of(id).cloned().unwrap_or_default();
        let sizes: BTreeMap<_, _> = named.blobs.iter().map(|blob| (blob.digest, blob.size)).collect();
        let shared = sizes.iter().filter(|(digest, _)| needed.get(digest).is_some_and(|ids| ids.len() > 1));
        let (layers, shared) = (sizes.values().sum(), shared.map(|(_, size)| size).sum());
        let labels = labels(data_dir, id, &info)?;
        rows.push(Row { id, info, named, labels, layers, shared, pods: references.to(id).to_vec() });
    }
    Ok(rows)
}

/// Reads an image's labels: those of an OCI image's configuration, or of the image's manifest. None if it is gone or
/// damaged, of which `images` has warned.
fn labels(data_dir: &DataDir, id: TreeId, info: &Info) -> Result<BTreeMap<String, String>> {
    match Tree::open_any(data_dir, id) {
        Ok(Some(tree)) => {
            let of_config = image::oci::labels(&tree.in_root(".")?)?;
            Ok(of_config.unwrap_or_else(|| info.labels.clone()))
        }
        _ => Ok(BTreeMap::new()),
    }
}

impl Row {
    fn is(&self, selector: &Selector, names: &Names) -> bool {
        match selector {
            Selector::Id(id) => *id == self.id.as_image(),
            Selector::Prefix(prefix) => self.id.to_string().starts_with(prefix),
            Selector::Name(name) => {
                let own = self.info.name.as_ref().is_some_and(|own| own.as_str() == name);
                let labelled = Labelled::parse(name).is_some_and(|labelled| labelled.is(&self.info));
                own || labelled || names.find(name).iter().any(|(id, _)| *id == self.id)
            }
        }
    }

    fn has(&self, label: &str) -> bool {
        match label.split_once('=') {
            Some((key, value)) => self.labels.get(key).is_some_and(|found| found == value),
            None => self.labels.contains_key(label),
        }
    }

    fn names(&self) -> Vec<String> {
        if self.named.names.is_empty() {
            let name = self.info.name.as_ref().map(ToString::to_string).unwrap_or_default();
            // The image can be called by this, too.
            return vec![match self.info.labels.get("version") {
                Some(version) => format!("{name}:{}", escape(version).trim_matches('"')),
                None => name,
            }];
        }
        self.named.names.iter().cloned().collect()
    }
}

fn print_list(rows: &[Row], format: Format) -> Result<Exit> {
    let text = match format {
        Format::Table => format_table(rows),
        Format::Json => array(rows),
    };
    Ui.print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn array(rows: &[Row]) -> String {
    let one = |row: &Row| {
        let Row { id, info, named, labels, layers, shared, pods } = row;
        json!({
            "id": id, "name": info.name, "names": named.names, "digests": named.digests, "labels": labels,
            "size": info.size, "objects": info.objects, "layers": layers, "shared": shared,
            "imported": info.imported, "pods": pods,
        })
    };
    context::json(&rows.iter().map(one).collect())
}

fn format_table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let age = age(Duration::from_secs(row.info.age()));
        let id = row.id.to_string()[..19].to_owned();
        let sizes = [bytes(row.info.size), bytes(row.layers), bytes(row.shared)];
        let pods = row.pods.len().to_string();
        row.names().into_iter().map(move |name| {
            let [size, layers, shared] = sizes.clone();
            [id.clone(), size, layers, shared, age.clone(), pods.clone(), name]
        })
    };
    let heading = [
        ("ID", Align::Left),
        ("SIZE", Align::Right),
        ("LAYERS", Align::Right),
        ("SHARED", Align::Right),
        ("AGE", Align::Right),
        ("PODS", Align::Right),
        ("NAME", Align::Left),
    ];
    table::format(heading, &rows.iter().flat_map(cells).collect::<Vec<_>>())
}
