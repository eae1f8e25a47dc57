// SPDX-License-Identifier: Apache-2.0
//! Repairs trees that are no longer what they were when they were extracted.
//!
//! Invariant: a damaged tree is taken out only if it is certain that its archive file no longer yields this tree. Any
//! other failure, be it an interrupt, a limit or an error of the system, leaves the tree where it is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use pod::id::{PodId, TreeId};
use pod::text::{escape, one_line};
use rustix::io::Errno;

use crate::damage::damage_or_error;
use crate::data_dir::DataDir;
use crate::error::{About as _, Error, Result};
use crate::extract::Expected;
use crate::fault::Fault;
use crate::import::{Importer, Layered};
use crate::info::{Info, TreeKind};
use crate::input::InputFile;
use crate::new::New;
use crate::recipe::Recipe;
use crate::references::References;
use crate::rendered::PlanOf;
use crate::staging;
use crate::tree::{self, Tree, Unlocked, read_info};

/// The result of repairing a damaged tree.
#[derive(Debug)]
pub enum Repair {
    /// It was made again of what it came from.
    Renewed(Box<Tree>),
    /// It can't be extracted again, for the given reason, and was taken out of the store. The given pods can't start
    /// until its archive is imported again.
    TakenOut(String, Vec<PodId>),
    /// A pod runs on it, or another process is using it.
    InUse,
}

/// The infos of trees, by the ids in them, which may differ from their directories' names.
#[derive(Debug)]
pub struct Known(BTreeMap<TreeId, Info>);

impl Known {
    /// Reads the infos of all trees in the store.
    ///
    /// # Errors
    /// If one can't be examined for another reason than damage.
    pub fn read(data_dir: &DataDir) -> Result<Self> {
        let mut known = BTreeMap::new();
        for id in tree::ids(data_dir)? {
            let about = || format!("cannot look at tree {id}");
            let directory = match tree::lock_shared(data_dir, id) {
                // Something that is not a directory has no info, and must not keep other trees from being repaired.
                Err(Unlocked::Open(Errno::NOTDIR | Errno::LOOP)) => continue,
                locked => locked.about(about)?,
            };
            let info = directory.map_or(Ok(None), |directory| info(&directory)).about(about)?;
            known.extend(info.map(|info| (info.id, info)));
        }
        Ok(Self(known))
    }
}

/// Reads a tree's info; returns `None` if that is damaged.
fn info(directory: &OwnedFd) -> Result<Option<Info>> {
    Ok(damage_or_error(read_info(directory))?.ok())
}

/// Makes an image of layers of the blobs that the store keeps; `None` if it doesn't keep all of them.
///
/// This is a parameter because the store knows no image format.
pub type LayeredOf = fn(&DataDir, TreeId) -> Result<Option<Layered>, Fault>;

/// The knowledge of image formats that making a tree again needs.
#[derive(Clone, Copy, Debug)]
pub struct Formats {
    /// Of layers.
    pub layered_of: LayeredOf,
    /// Of the trees of several images.
    pub plan_of: PlanOf,
}

/// Makes a damaged tree again from the file, the blobs or the trees it came from, or takes it out of the store.
///
/// The tree is taken out only if it can't be extracted any more. The tree's own info says which file it came from, or
/// else what was `known` about the tree.
///
/// # Errors
/// If neither can be done for now; the tree is still there then.
pub fn repair(importer: &Importer<'_>, known: &Known, id: TreeId, formats: Formats) -> Result<Repair> {
    let data_dir = importer.data_dir;
    let name = tree::name(id);
    let Some(locked) = staging::lock(&data_dir.trees, &name).about(|| "cannot lock it")? else {
        return Ok(Repair::InUse);
    };
    let own = info(&locked.directory)?.filter(|info| info.id == id);
    let info = own.as_ref().or_else(|| known.0.get(&id));
    let again = match info {
        Some(Info { recipe: Some(recipe), .. }) => from_trees(importer, recipe, formats.plan_of)?,
        Some(Info { kind, source: Some(path), .. }) => from_file(importer, *kind, Path::new(path), id)?,
        _ => from_blobs(importer, id, formats.layered_of)?,
    };
    match again {
        Again::Unpacked(new) => {
            importer.interrupt.check()?;
            Ok(Repair::Renewed(Box::new(new.replace(locked)?)))
        }
        Again::Impossible(why) => {
            let pods = References::read(data_dir)?.to(id).to_vec();
            staging::remove_from_store(data_dir, &name, locked)?;
            Ok(Repair::TakenOut(why, pods))
        }
    }
}

/// The result of extracting a tree once more.
enum Again<'h> {
    /// The tree, in staging.
    Unpacked(Box<New<'h>>),
    /// It can never be extracted again, for this reason.
    Impossible(String),
}

impl<'h> Again<'h> {
    fn of(unpacked: Result<New<'h>>, about: &str) -> Result<Self> {
        match unpacked {
            Ok(new) => Ok(Self::Unpacked(Box::new(new))),
            Err(Error::Refused(why)) => Ok(Self::Impossible(one_line(&format!("{about}: {why}")))),
            Err(error) => Err(error.at(about)),
        }
    }
}

/// Extracts a tree once more from the blobs that are kept of its image.
fn from_blobs<'h>(importer: &Importer<'h>, id: TreeId, layered_of: LayeredOf) -> Result<Again<'h>> {
    match layered_of(importer.data_dir, id)? {
        Some(image) => Again::of(importer.unpack_layers(&image), "cannot extract it anew from its blobs"),
        None => Ok(Again::Impossible("nothing says which file it came from".into())),
    }
}

/// Renders a tree once more of the trees that it was made of.
fn from_trees<'h>(importer: &Importer<'h>, recipe: &Recipe, plan_of: PlanOf) -> Result<Again<'h>> {
    match importer.render_again(recipe, plan_of)? {
        Ok(new) => Ok(Again::Unpacked(Box::new(new))),
        Err(missing) => {
            Ok(Again::Impossible(format!("image {missing}, which it was made of, is not there any more")))
        }
    }
}

/// Extracts a tree from its file once more, whatever the store has.
fn from_file<'h>(importer: &Importer<'h>, kind: TreeKind, path: &Path, id: TreeId) -> Result<Again<'h>> {
    let shown = escape(&path.to_string_lossy());
    if is_gone(path).about(|| format!("cannot look at {shown}"))? {
        return Ok(Again::Impossible(format!("{shown} is not there any more")));
    }
    Again::of(unpack(importer, path, kind, id), &format!("cannot extract it anew from {shown}"))
}

fn is_gone(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(!metadata.is_file()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

fn unpack<'h>(importer: &Importer<'h>, path: &Path, kind: TreeKind, id: TreeId) -> Result<New<'h>> {
    let mut source = InputFile::open(path)?;
    importer.unpack_new(&mut source, kind, Expected::Tar(id.sha256().into()), &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::Silent;
    use crate::staging::tests::nobody_starts;
    use crate::verify::verify;
    use sys::Interrupt;

    #[gate::root_test]
    fn what_is_no_tree_at_all_is_passed_over() {
        let _nobody_starts = nobody_starts();
        let outer = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(outer.path(), &Interrupt::default(), &Silent).unwrap();
        let id = TreeId::of_tar([7; 32].into());
        fs::write(outer.path().join(pod::layout::TREES).join(id.to_string()), "").unwrap();
        assert!(Known::read(&data_dir).unwrap().0.is_empty());
        assert!(verify(&data_dir, id, &Interrupt::default()).is_err());
    }
}
