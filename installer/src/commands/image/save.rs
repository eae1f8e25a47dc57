// SPDX-License-Identifier: Apache-2.0
//! `installer image save`: writes an image that was pulled as an OCI layout.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use image::oci::SavedLayout;
use pod::text::escape;
use report::Hint as _;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use store::blobs::Blobs;
use store::names::Names;
use store::{DataDir, NoImage, Selector};

use crate::context::Context;
use crate::exit::Exit;

/// Write an image that was pulled as an OCI layout, from the layers that the store keeps
///
/// Its manifest, configuration and layers are what the registry has, byte for byte.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An image, by id, the beginning of an id, or name
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The file or directory to make; nothing may have its name
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// The form of what is written
    #[arg(long, value_enum, default_value_t = SaveFormat::OciArchive)]
    format: SaveFormat,
}

/// A form of saved images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SaveFormat {
    /// A tar of a layout
    OciArchive,
    /// A layout in a directory
    Oci,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let saved = context.in_store(|data_dir| save(data_dir, args))?;
    saved.ok_or_else(|| report::told(NoImage(Selector::any(&args.image))))
}

fn save(data_dir: &DataDir, args: &Args) -> Result<Exit> {
    let blobs = Blobs::open(data_dir)?;
    let id = store::resolve(data_dir, &Selector::any(&args.image))?.id();
    let names = Names::read(data_dir)?;
    let named = names.of(id).cloned().unwrap_or_default();
    // The name that was typed, if it is one.
    let typed =
        names.find(&args.image).into_iter().map(|(_, name)| name).find(|name| named.names.contains(*name));
    let name = typed.or_else(|| named.names.first().map(String::as_str));
    let layout = SavedLayout::of(&blobs, &named, name)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("image {}", escape(&args.image)))?;
    let shown = escape(&args.output.to_string_lossy());
    publish(&args.output, args.format, &layout).with_context(|| format!("cannot write {shown}"))?;
    Ok(Exit::Done)
}

/// Writes everything under another name beside its own, and then renames it: it appears whole.
fn publish(output: &Path, format: SaveFormat, layout: &SavedLayout) -> Result<()> {
    ensure!(fs::symlink_metadata(output).is_err(), "it is there already: expected a new name");
    let name = output.file_name().context("it is no name: expected a file or directory to make")?;
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut next = std::ffi::OsString::from(".");
    next.push(name);
    next.push(format!(".{}", std::process::id()));
    let mut next = Next { path: parent.join(next), is_there: true };
    match format {
        SaveFormat::OciArchive => {
            let mut tar = BufWriter::with_capacity(1 << 20, File::create_new(&next.path)?);
            layout.write_tar(&mut tar)?;
            tar.flush()?;
            tar.get_ref().sync_all()?;
        }
        SaveFormat::Oci => {
            fs::create_dir(&next.path)?;
            layout.write_files(|path| create(&next.path.join(path)))?;
        }
    }
    let renamed = renameat_with(CWD, &next.path, CWD, output, RenameFlags::NOREPLACE);
    renamed.context("cannot give it its name").hint("nothing may have its name")?;
    next.is_there = false;
    Ok(File::open(parent)?.sync_all()?)
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create_new(path)
}

/// The file that is being written. On drop it is removed, unless it has got its name.
struct Next {
    path: PathBuf,
    is_there: bool,
}

impl Drop for Next {
    fn drop(&mut self) {
        if self.is_there {
            let _ = fs::remove_file(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
        }
    }
}
