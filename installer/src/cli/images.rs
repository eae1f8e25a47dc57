// SPDX-License-Identifier: Apache-2.0
//! The commands about the store: what they do, and what they print.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use pod::digest::Digest;
use pod::text::escape;
use serde_json::json;

use super::arguments::Format;
use super::verify;
use crate::cgroups;
use crate::ui::Ui;
use archive::Limits;
use image::ImageArgument;
use prepare::ImagePlan;
use report::Hint as _;
use store::Home;
use store::extract::Expected;
use store::staging::{Mounted, Staging};
use store::{Importer, Info, Kept, Kind, References, Selector};
use sys::Interrupt;
use terminal::output::{self, Lines};

/// What is to be done.
pub(super) enum Images {
    Import(Vec<ImageArgument>, Limits),
    List(Format),
    Remove(Vec<String>),
    Collect,
    Verify { repair: bool, images: Vec<String>, limits: Limits },
}

pub(super) fn execute(dir: &Path, task: &Images, interrupt: &Interrupt) -> Result<ExitCode> {
    if let Images::Import(images, limits) = task {
        output::check()?;
        let images = images.iter().map(ImagePlan::open).collect::<Result<Vec<_>>>()?;
        let home = Home::open(dir, interrupt, &Ui)?;
        let done = import(&home, images, *limits, interrupt);
        if done.is_err() {
            home.abandon();
        }
        return done;
    }
    if matches!(task, Images::Collect) {
        cgroups::sweep().context("cannot remove the cgroups that pods have left")?;
    }
    let Some(home) = Home::find(dir, interrupt, &Ui)? else { return without_store(dir, task) };
    let done = match task {
        Images::List(format) => list(&home, *format),
        Images::Remove(images) => remove(&home, images),
        Images::Collect => collect(&home),
        Images::Verify { repair, images, limits } => {
            let importer = Importer { home: &home, limits: *limits, name_of: image::name, interrupt };
            verify::verify(&importer, *repair, images)
        }
        Images::Import(..) => unreachable!("done above"),
    };
    // The store may have been taken away right before it was opened, and so made.
    home.abandon();
    done
}

/// What there is to do in a directory that may be anybody's: nothing is found in it, and nothing made.
fn without_store(dir: &Path, task: &Images) -> Result<ExitCode> {
    match task {
        Images::List(format) => return print_list(&[], &References::default(), *format),
        _ if !dir.is_dir() => {
            bail!("no directory {}: expected --dir to say where images are", escape(&dir.to_string_lossy()))
        }
        Images::Remove(images) | Images::Verify { images, .. } => {
            images.first().map_or(Ok(()), |image| Err(store::missing(&Selector::any(image))))?;
        }
        Images::Collect | Images::Import(..) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn import(home: &Home, images: Vec<ImagePlan>, limits: Limits, interrupt: &Interrupt) -> Result<ExitCode> {
    Staging::sweep_or_warn(home)?;
    let importer = Importer { home, limits, name_of: image::name, interrupt };
    for image in images {
        let shown = image.shown();
        let imported = match image {
            ImagePlan::Stored(selector) => Err(anyhow!("no such file: expected an image's file"))
                .hint(format!("{} may be in the store already: installer image list", selector.shown())),
            ImagePlan::File(mut source, digest) => {
                let expected = digest.map_or(Expected::Anything, Expected::Tar);
                let acquired = importer.acquire(&mut source, Kind::Image, expected, &named(digest));
                acquired.and_then(|acquired| {
                    interrupt.check()?;
                    acquired.publish()
                })
            }
        };
        let (tree, _) = imported.with_context(|| format!("image {shown}"))?;
        output::print(format!("{}\n", tree.id()).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A digest that is asked for is one the image is known by afterwards.
fn named(digest: Option<Digest>) -> Vec<Digest> {
    digest.into_iter().filter(Digest::is_sha512).collect()
}

fn list(home: &Home, format: Format) -> Result<ExitCode> {
    let references = References::read(home)?;
    print_list(&store::images(home, store::ids(home)?)?, &references, format)
}

fn print_list(images: &[(Digest, Info)], references: &References, format: Format) -> Result<ExitCode> {
    let text = match format {
        Format::Table => table(images, references),
        Format::Json => array(images, references)?,
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn array(images: &[(Digest, Info)], references: &References) -> Result<String> {
    let one = |(id, info): &(Digest, Info)| {
        json!({
            "id": id, "name": info.name, "size": info.size, "objects": info.objects,
            "imported": info.imported, "pods": references.to(*id),
        })
    };
    Ok(serde_json::to_string_pretty(&images.iter().map(one).collect::<Vec<_>>())? + "\n")
}

fn table(images: &[(Digest, Info)], references: &References) -> String {
    let mut text = format!("{:<19}  {:>9}  {:>7}  {:>4}  NAME\n", "ID", "SIZE", "AGE", "PODS");
    for (id, info) in images {
        let name = info.name.as_ref().map(ToString::to_string).unwrap_or_default();
        let (id, pods) = (id.to_string(), references.to(*id).len());
        let size = indicatif::BinaryBytes(info.size).to_string();
        let _ = writeln!(text, "{:<19}  {size:>9}  {:>7}  {pods:>4}  {name}", &id[..19], age(info.age()));
    }
    text
}

/// A time span in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

fn remove(home: &Home, images: &[String]) -> Result<ExitCode> {
    // First, so that one that was killed halfway, and is done again, has nothing left of it though its image is gone.
    let mut is_mounted = swept_but_mounted(home)?;
    store::sweep_aliases(home)?;
    let mut ids = Vec::new();
    for image in images {
        // Its lock is let go of before it is taken alone.
        let id = store::resolve(home, &Selector::any(image))?.id();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let outcomes = store::remove(home, &ids)?;
    store::sweep_aliases(home)?;
    let (mut refused, mut lines) = (Vec::new(), Lines::default());
    for (id, outcome) in outcomes {
        match outcome {
            Ok(_) | Err(Kept::Missing) => lines.add(&format!("removed {id}")),
            Err(Kept::Mounted(mounted)) => {
                is_mounted = true;
                tell_mounted(format!("cannot remove image {id}"), mounted);
            }
            Err(Kept::InUse) => refused.push(format!("image {id} is in use")),
            Err(Kept::Referred(pods)) => refused.push(format!(
                "pod {} refers to image {id}",
                pods.first().map(ToString::to_string).unwrap_or_default()
            )),
        }
    }
    match refused.as_slice() {
        [] => lines.end().map(|()| code(is_mounted)),
        all => Err(anyhow!("{}", all.join("; ")))
            .hint("rm -rf takes a pod directory away once its pod has ended"),
    }
}

fn collect(home: &Home) -> Result<ExitCode> {
    let (mut is_mounted, mut lines) = (swept_but_mounted(home)?, Lines::default());
    for (id, outcome) in store::collect(home)? {
        match outcome {
            Ok(info) => {
                let what = info.as_ref().map_or("damaged tree", |info| info.kind.shown());
                let name = info.and_then(|info| info.name).map(|name| format!(" {name}"));
                lines.add(&format!("removed {what} {id}{}", name.unwrap_or_default()));
            }
            Err(Kept::Mounted(mounted)) => {
                is_mounted = true;
                tell_mounted(format!("cannot remove tree {id}"), mounted);
            }
            Err(Kept::Referred(_) | Kept::InUse | Kept::Missing) => {}
        }
    }
    lines.end().map(|()| code(is_mounted))
}

/// Sweeps staging, and tells what stays because something is mounted in it; whether anything does.
pub(super) fn swept_but_mounted(home: &Home) -> Result<bool> {
    let all = Staging::sweep(home)?;
    let is_mounted = !all.is_empty();
    all.into_iter().for_each(|mounted| tell_mounted("cannot remove a dead run's directory".into(), mounted));
    Ok(is_mounted)
}

fn tell_mounted(what: String, mounted: Mounted) {
    terminal::error(&anyhow::Error::new(mounted).context(what));
}

fn code(failed: bool) -> ExitCode {
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
