// SPDX-License-Identifier: Apache-2.0
//! Finds images: in files and directories, in registries, in the store. Invariant: nothing has been written, and no file
//! is looked up again.
//!
//! A name of a registry means the image that the store has by that name, if it may. Whatever an image is called, the
//! host's policy is asked about the place that it comes from.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use image::ImageArgument;
use image::oci::reference::{ImageRef, RegistryRef};
use image::oci::{self, Content, OciImage};
use pod::digest::Digest;
use pod::id::ImageId;
use pod::text::escape;
use registry::policy::{self, Image};
use report::Hint as _;
use store::extract::Expected;
use store::input::{InputFile, OpenError};
use store::names::{NamedImage, Names};
use store::{Acquired, DataDir, Importer, Labelled, Selector, Tree, TreeKind};

use crate::pull::{Pulled, RemoteImage, shown};
use crate::pulling::{Pulling, When};
use crate::session::{Session, scope_of};

/// Where an image comes from.
#[derive(Debug)]
pub enum ImageInput<'s> {
    /// An archive file, and the id that the image must have.
    File(Box<InputFile>, Option<ImageId>),
    /// An OCI image's directory or file, and what a person called it.
    Oci(Box<OciImage>, String),
    /// A registry.
    Remote(Box<RemoteImage<'s>>),
    /// The store, which has it by this name of a registry.
    Known(Box<Tree>, RegistryRef),
    /// The store.
    Stored(Selector),
}

impl ImageInput<'_> {
    /// Returns the image's name for messages.
    pub fn shown(&self) -> String {
        match self {
            Self::File(source, _) => source.shown(),
            Self::Oci(_, shown) => shown.clone(),
            Self::Remote(image) => image.shown(),
            Self::Known(_, name) => shown(name),
            Self::Stored(selector) => selector.shown(),
        }
    }

    /// Returns the image's tree, from the store, or from its file or registry.
    ///
    /// `ids` are those that the pod calls its images by. If one of them is this image's, the tree is known by it
    /// afterwards as well.
    ///
    /// # Errors
    /// If the image is refused, or the system fails. Nothing but complete blobs is left behind then.
    pub fn acquire<'h>(self, importer: &Importer<'h>, ids: &[ImageId]) -> Result<Pulled<'h>> {
        match self {
            Self::Known(tree, _) => Ok(Pulled::unnamed(Acquired::Known(*tree))),
            Self::Stored(selector) => {
                Ok(Pulled::unnamed(Acquired::Known(store::resolve(importer.data_dir, &selector)?)))
            }
            Self::Remote(image) => image.acquire(importer),
            Self::Oci(image, _) => {
                let tree = importer.acquire_layers(&oci::layered(&image)?)?;
                let named = NamedImage { names: full_names(&image), ..NamedImage::default() };
                Ok(Pulled { named, ..Pulled::unnamed(tree) })
            }
            Self::File(mut source, id) => {
                let expected = id.map_or(Expected::Anything, |id| Expected::Tar(id.digest()));
                Ok(Pulled::unnamed(importer.acquire(&mut source, TreeKind::Image, expected, ids)?))
            }
        }
    }
}

/// Returns those of the names that a source gives an image that are full.
fn full_names(image: &OciImage) -> BTreeSet<String> {
    image.names.iter().filter_map(|name| RegistryRef::parse(name).ok()).map(|name| name.tagged()).collect()
}

/// Finds images for one command.
#[derive(Clone, Copy, Debug)]
pub struct Finder<'a, 's> {
    /// DIR.
    pub dir: &'a Path,
    /// How images are had from registries.
    pub pulling: &'a Pulling,
    /// What registries are asked with.
    pub session: &'s Session<'s>,
}

impl<'s> Finder<'_, 's> {
    /// Opens an image's file or directory, or finds it in its registry. An argument that is not an existing file may be
    /// the name of an image in the store or in a registry.
    ///
    /// # Errors
    /// If there is no such image, a document of it is refused, or the host's policy rejects it.
    pub fn find(&self, image: &ImageArgument) -> Result<ImageInput<'s>> {
        let found = match image {
            ImageArgument::Stored(selector) => Ok(ImageInput::Stored(selector.clone())),
            ImageArgument::Oci(ImageRef::Registry(name)) => self.registry(name),
            ImageArgument::Oci(image) => self.local(image),
            ImageArgument::File { path, id } if path.is_dir() => self.directory(path, *id),
            ImageArgument::File { path, id } => match InputFile::open(path) {
                Ok(source) => self.file(path, source, *id),
                Err(error @ OpenError::Missing { .. }) => match path.to_str() {
                    Some(name) if id.is_none() => self.named(name, error),
                    _ => Err(error.into()),
                },
                Err(error) => Err(error.into()),
            },
        };
        found.context("image")
    }

    /// Finds what an argument names that is no file.
    fn named(&self, name: &str, missing: OpenError) -> Result<ImageInput<'s>> {
        let selector = Selector::Name(name.to_owned());
        let is_path = name.starts_with(['/', '.']);
        match RegistryRef::parse(name) {
            Ok(full) if !is_path => match self.stored_as(&selector)? {
                true => Ok(ImageInput::Stored(selector)),
                false => {
                    self.registry(&full).hint(format!("{} image list shows the store's", report::program()))
                }
            },
            Err(_) if !is_path && is_name(name) => Ok(ImageInput::Stored(selector)),
            _ => Err(missing.into()),
        }
    }

    /// Tells whether the store has an image that calls itself so, but was not fetched from a registry.
    fn stored_as(&self, selector: &Selector) -> Result<bool> {
        let Some(data_dir) = self.data_dir()? else { return Ok(false) };
        let Some(tree) = store::find(&data_dir, selector)? else { return Ok(false) };
        Ok(Names::read(&data_dir)?.of(tree.id()).is_none_or(|named| named.digests.is_empty()))
    }

    fn data_dir(&self) -> Result<Option<DataDir>> {
        Ok(DataDir::find(self.dir, self.session.interrupt(), self.session.listener())?)
    }

    /// Finds an image by its name in a registry: in the store or there.
    fn registry(&self, name: &RegistryRef) -> Result<ImageInput<'s>> {
        let when = self.pulling.when;
        let stored = if when == When::Always { None } else { self.stored(name)? };
        match (stored, when) {
            (Some(tree), When::Missing | When::Never) => {
                let reference = self.session.resolve(&name.to_string())?;
                self.session.decide(&Image::Registry(&reference))?;
                Ok(ImageInput::Known(Box::new(tree), name.clone()))
            }
            (None, When::Never) => Err(anyhow!("{}: the store does not have it", shown(name)))
                .hint("--pull=missing asks its registry"),
            (stored, _) => match (RemoteImage::find(name, self.pulling, self.session), stored) {
                (Err(error), Some(tree)) if is_unavailable(&error) => {
                    self.session.listener().warn(&format!("{error:#}: the store's image is taken"));
                    Ok(ImageInput::Known(Box::new(tree), name.clone()))
                }
                (found, _) => Ok(ImageInput::Remote(Box::new(found?))),
            },
        }
    }

    /// Returns the tree of the image that the store has by a name of a registry, if it is for the platform.
    fn stored(&self, name: &RegistryRef) -> Result<Option<Tree>> {
        let Some(data_dir) = self.data_dir()? else { return Ok(None) };
        let text = name.digest.map(|digest| format!("{}/{}@{digest}", name.host, name.repository));
        let id = Names::read(&data_dir)?.called(&text.unwrap_or_else(|| name.tagged()));
        let Some(id) = id else { return Ok(None) };
        let Some(tree) = Tree::open(&data_dir, id, TreeKind::Image)? else { return Ok(None) };
        let found = oci::platform_of(&tree.in_root(".")?)?;
        let runs = found.is_none_or(|found| self.pulling.check(&found).is_ok());
        Ok(runs.then_some(tree))
    }

    fn local(&self, image: &ImageRef) -> Result<ImageInput<'s>> {
        let (path, name, transport) = match image {
            ImageRef::Oci { directory, image } => (directory, image, Some(policy::Layout::Oci)),
            ImageRef::OciArchive { file, image } => (file, image, Some(policy::Layout::OciArchive)),
            ImageRef::DockerArchive { file, image } => (file, image, None),
            other => return Err(anyhow!("{other}: expected an image in a directory or a file")),
        };
        self.allow(path, transport, name.as_deref())?;
        let found = oci::open(image, &self.pulling.platform())?;
        self.check(path, transport, &found)?;
        Ok(ImageInput::Oci(Box::new(found), image.to_string()))
    }

    fn directory(&self, path: &Path, id: Option<ImageId>) -> Result<ImageInput<'s>> {
        self.allow(path, Some(policy::Layout::Oci), None)?;
        let found = oci::open_directory(path, &self.pulling.platform())?;
        self.check(path, Some(policy::Layout::Oci), &found)?;
        with_id(found, escape(&path.to_string_lossy()), id)
    }

    fn file(&self, path: &Path, source: InputFile, id: Option<ImageId>) -> Result<ImageInput<'s>> {
        let content = oci::recognise(source.file())?;
        let transport = (content == Content::Oci).then_some(policy::Layout::OciArchive);
        match content {
            Content::Oci | Content::DockerSave => self.allow(path, transport, None)?,
            Content::Aci | Content::Compressed | Content::Other => {
                self.session.decide(&Image::Other(&scope_of(path)?))?;
            }
        }
        match oci::open_file(source.file(), source.shown(), content, &self.pulling.platform())? {
            Some(found) => {
                self.check(path, transport, &found)?;
                with_id(found, source.shown(), id)
            }
            None => Ok(ImageInput::File(Box::new(source), id)),
        }
    }

    /// Asks the host's policy about a layout or an archive of one; without a transport, about an archive of `docker save`.
    fn allow(&self, path: &Path, transport: Option<policy::Layout>, name: Option<&str>) -> Result<()> {
        let path = scope_of(path)?;
        let image = match transport {
            Some(transport) => Image::Layout { transport, path: &path, name },
            None => Image::DockerArchive(&path),
        };
        self.session.decide(&image).map(drop)
    }

    /// Checks that an image is for the platform, and asks the host's policy about all names that it has where it was found:
    /// an image that is taken without its name, or by its digest, is the same.
    fn check(&self, path: &Path, transport: Option<policy::Layout>, image: &OciImage) -> Result<()> {
        image.names.iter().try_for_each(|name| self.allow(path, transport, Some(name)))?;
        self.pulling.check(&image.config.platform())
    }
}

/// Tells whether a registry could not be asked, or does not have the image.
fn is_unavailable(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(registry::Error::Unavailable { .. }))
}

fn with_id<'s>(image: OciImage, shown: String, id: Option<ImageId>) -> Result<ImageInput<'s>> {
    if let Some(id) = id {
        let (expected, found) = (id.to_string(), Digest::from(image.id).to_string());
        ensure!(found == expected, "image {shown}: its id is {found}: expected {expected}");
    }
    Ok(ImageInput::Oci(Box::new(image), shown))
}

/// Tells whether `text` can be an image's name in the store.
fn is_name(text: &str) -> bool {
    if let Some(labelled) = Labelled::parse(text) {
        return labelled.name.parse::<pod::name::Identifier>().is_ok();
    }
    text.parse::<pod::name::Identifier>().is_ok() || RegistryRef::parse(&format!("localhost/{text}")).is_ok()
}
