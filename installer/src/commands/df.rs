// SPDX-License-Identifier: Apache-2.0
//! `installer df`: says what pods and images take on the disk.

use anyhow::Result;
use pods::{Pod, State};
use serde_json::json;
use store::{DataDir, References, Tree, TreeKind};
use terminal::progress::bytes;

use crate::context::{self, Context, Format};
use crate::exit::Exit;
use crate::table::{self, Align};
use crate::ui::Ui;

/// Show what pods, images and stage1s take on the disk
///
/// RECLAIMABLE is the space that `rm` of all exited pods, and then `gc`, would free. The size of a pod is that of what
/// its apps have written, and of its copies of images. The size of an image is that of all its files.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The space that objects of one kind take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    total: u64,
    /// The number of those that are in use.
    active: u64,
    bytes: u64,
    reclaimable: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64, is_active: bool) {
        self.total += 1;
        self.bytes += bytes;
        self.active += u64::from(is_active);
        self.reclaimable += if is_active { 0 } else { bytes };
    }
}

/// The space of a data directory's pods, images and stage1s.
type Sums = [(&'static str, Sum); 3];

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let mut sums = [("pods", Sum::default()), ("images", Sum::default()), ("stage1", Sum::default())];
    let in_store = context.in_store(|data_dir| {
        measure(data_dir, &mut sums)?;
        Ok(Exit::Done)
    })?;
    if in_store.is_none() {
        context.check_dir()?;
    }
    let text = match args.format {
        Format::Table => table(&sums),
        Format::Json => array(&sums),
    };
    Ui.print(text.as_bytes())?;
    Ok(Exit::Done)
}

fn measure(data_dir: &DataDir, sums: &mut Sums) -> Result<()> {
    let [(_, of_pods), (_, of_images), (_, of_stage1s)] = sums;
    // The trees of pods that have exited are reclaimable, since these pods are.
    let mut exited = Vec::new();
    for id in pods::ids(data_dir)? {
        let Some(pod) = Pod::open(data_dir, id)? else { continue };
        let is_active = pods::look(&pod)?.state != State::Exited;
        of_pods.add(pods::usage(&pod, &data_dir.interrupt)?, is_active);
        exited.extend((!is_active).then_some(id));
    }
    let references = References::read(data_dir)?;
    for id in store::ids(data_dir)? {
        data_dir.interrupt.check()?;
        // A damaged tree is for `verify` to report.
        let Ok(Some(tree)) = Tree::open_any(data_dir, id) else { continue };
        let is_active = references.to(id).iter().any(|pod| !exited.contains(pod));
        let sum = match tree.info().kind {
            TreeKind::Image | TreeKind::Rendered => &mut *of_images,
            TreeKind::Stage1 => &mut *of_stage1s,
        };
        sum.add(tree.info().size, is_active);
    }
    Ok(())
}

fn table(sums: &Sums) -> String {
    let row = |(name, sum): &(&str, Sum)| {
        let numbers = [sum.total.to_string(), sum.active.to_string()];
        let [total, active] = numbers;
        [(*name).to_owned(), total, active, bytes(sum.bytes), bytes(sum.reclaimable)]
    };
    let heading = [
        ("WHAT", Align::Left),
        ("TOTAL", Align::Right),
        ("ACTIVE", Align::Right),
        ("SIZE", Align::Right),
        ("RECLAIMABLE", Align::Right),
    ];
    table::format(heading, &sums.each_ref().map(row))
}

fn array(sums: &Sums) -> String {
    let one = |(name, sum): &(&str, Sum)| {
        json!({
            "what": name, "total": sum.total, "active": sum.active, "bytes": sum.bytes,
            "reclaimable": sum.reclaimable,
        })
    };
    context::json(&sums.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_use_is_reclaimable() {
        let mut sum = Sum::default();
        sum.add(100, true);
        sum.add(20, false);
        assert_eq!(sum, Sum { total: 2, active: 1, bytes: 120, reclaimable: 20 });
    }
}
