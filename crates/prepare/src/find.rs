// SPDX-License-Identifier: Apache-2.0
//! Finds images: in files and directories, in registries, in the store. Invariant: nothing has been written, and no file
//! is looked up again.
//!
//! A name of a registry means the image that the store has by that name, if it may. Whatever an image is called, the
//! host's policy is asked about the place that it comes from.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use image::ImageArgument;
use image::oci::reference::{ImageRef, RegistryRef};
use image::oci::{self, Content, Failure, Form, OciImage};
use image::signed;
use pod::digest::Sha256;
use pod::id::ImageId;
use pod::text::escape;
use registry::Decision;
use registry::policy::{self, Image};
use report::Hint as _;
use store::extract::Expected;
use store::input::{InputFile, OpenError};
use store::names::{NamedImage, Names};
use store::{Acquired, DataDir, Importer, Labelled, Selector, Tree, TreeKind};

use crate::judge;
use crate::late::LateImage;
use crate::local::{allow, check, named, with_id};
use crate::pull::{Pulled, RemoteImage, shown};
use crate::pulling::{Pulling, When};
use crate::session::{Session, scope_of};

/// The argument that stands for stdin.
const STDIN: &str = "-";

/// An image that was found, by where it comes from.
#[derive(Debug)]
pub enum ImageInput<'s> {
    /// An archive file, and the id that the image must have.
    File(Box<InputFile>, Option<ImageId>),
    /// An OCI image's directory or file, what a person called it, and what is known of it.
    Oci(Box<OciImage>, String, NamedImage),
    /// An archive file that is signed, and its digest.
    Signed(Box<InputFile>, Sha256),
    /// Stdin, or an archive that is compressed as a whole.
    Late(Box<LateImage<'s>>),
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
            Self::File(source, _) | Self::Signed(source, _) => source.shown(),
            Self::Oci(_, shown, _) => shown.clone(),
            Self::Late(image) => image.shown(),
            Self::Remote(image) => image.shown(),
            Self::Known(_, name) => shown(name),
            Self::Stored(selector) => selector.shown(),
        }
    }

    /// Returns the id that a person has said the image must have.
    pub fn expected_id(&self) -> Option<ImageId> {
        match self {
            Self::File(_, id) => *id,
            Self::Late(image) => image.id,
            _ => None,
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
            Self::Oci(image, _, named) => {
                let tree = importer.acquire_layers(&oci::layered(&image)?)?;
                Ok(Pulled { named, ..Pulled::unnamed(tree) })
            }
            Self::Late(image) => image.acquire(importer, ids),
            Self::File(mut source, id) => {
                let expected = id.map_or(Expected::Anything, |id| Expected::Tar(id.digest()));
                Ok(Pulled::unnamed(importer.acquire(&mut source, TreeKind::Image, expected, ids)?))
            }
            Self::Signed(mut source, digest) => {
                let expected = Expected::File(digest);
                Ok(Pulled::unnamed(importer.acquire(&mut source, TreeKind::Image, expected, ids)?))
            }
        }
    }
}

/// Finds images for one command.
#[derive(Clone, Copy, Debug)]
pub struct Finder<'a, 's> {
    /// DIR.
    pub dir: &'a Path,
    /// How images are had from registries.
    pub pulling: &'a Pulling,
    /// The command's session with registries.
    pub session: &'s Session<'s>,
}

impl<'s> Finder<'_, 's> {
    /// Opens an image's file or directory, or finds it in its registry. An argument that is not an existing file may be
    /// the name of an image in the store or in a registry.
    ///
    /// # Errors
    /// If there is no such image, a document of it is refused, or the host's policy rejects it.
    pub fn find(&self, image: &ImageArgument) -> Result<ImageInput<'s>> {
        self.check_keys(image).context("image")?;
        let found = match image {
            ImageArgument::Stored(selector) => Ok(ImageInput::Stored(selector.clone())),
            ImageArgument::Oci(ImageRef::Registry(name)) => self.registry(name),
            ImageArgument::Oci(image) => self.local(image),
            ImageArgument::File { path, id } if path == Path::new(STDIN) => Ok(self.late(None, None, *id)),
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

    /// Checks, if files have to be signed, that an argument means one, or an image by its digest.
    fn check_keys(&self, image: &ImageArgument) -> Result<()> {
        let is_judged = match image {
            ImageArgument::Stored(selector) => matches!(selector, Selector::Id(_)),
            ImageArgument::File { path, .. } => path != Path::new(STDIN) && !path.is_dir(),
            ImageArgument::Oci(_) => false,
        };
        if self.pulling.keys.is_empty() || is_judged {
            return Ok(());
        }
        Err(anyhow!(
            "it has no signature beside it: expected the file of an app container image, or a digest"
        ))
        .hint("--verify-key is for files; policy.json has the keys of images in registries")
    }

    /// Finds what an argument names that is no file.
    fn named(&self, name: &str, missing: OpenError) -> Result<ImageInput<'s>> {
        if !self.pulling.keys.is_empty() || name.starts_with(['/', '.']) {
            return Err(missing.into());
        }
        match self.by_name(name)? {
            Some(found) => Ok(found),
            None => Err(missing.into()),
        }
    }

    /// Finds an image by its name: in the store, or in the registry that the name means. Nothing is looked for in files.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) fn called(&self, name: &str) -> Result<ImageInput<'s>> {
        let selector = Selector::Name(name.to_owned());
        self.check_keys(&ImageArgument::Stored(selector.clone())).context("image")?;
        let found = self.by_name(name).context("image")?;
        found.ok_or_else(|| report::told(store::NoImage(selector)).context("image"))
    }

    /// Finds what is called so; `None` if nothing can be.
    fn by_name(&self, name: &str) -> Result<Option<ImageInput<'s>>> {
        let selector = Selector::Name(name.to_owned());
        let found = match RegistryRef::parse(name) {
            Ok(full) => match self.stored_as(&selector)? {
                true => Ok(ImageInput::Stored(selector)),
                false => {
                    self.registry(&full).hint(format!("{} image list shows the store's", report::program()))
                }
            },
            Err(_) if is_name(name) => self.short(name, selector),
            Err(_) => return Ok(None),
        };
        found.map(Some)
    }

    /// Finds what a short name means: an image of the store that was fetched from no registry, what the host has an alias
    /// or one registry for, or any image of the store. Nothing is guessed.
    fn short(&self, name: &str, selector: Selector) -> Result<ImageInput<'s>> {
        if self.stored_as(&selector)? {
            return Ok(ImageInput::Stored(selector));
        }
        let candidates = match self.session.meant(name)? {
            Ok(full) => return self.registry(&RegistryRef::parse(&full.to_string())?),
            Err(candidates) => candidates,
        };
        let is_there = match self.data_dir()? {
            Some(data_dir) => store::find(&data_dir, &selector)?.is_some(),
            None => false,
        };
        if is_there || candidates.is_empty() {
            return Ok(ImageInput::Stored(selector));
        }
        let list = format!("{} image list shows what there is", report::program());
        let full = candidates.join(" or ");
        Err(anyhow!(store::NoImage(selector))).hint(format!("{list}; in a registry, its full name is {full}"))
    }

    /// Finds an image in the registry that a name means, full or short.
    ///
    /// # Errors
    /// If the host doesn't say what a short name means; as [`Self::find`].
    pub fn pull(&self, name: &str) -> Result<ImageInput<'s>> {
        let full = self.session.resolve(name)?;
        self.registry(&RegistryRef::parse(&full.to_string())?).context("image")
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
        let refused = match &stored {
            Some((_, named)) => self.unseen(name, named)?,
            None => None,
        };
        let known = |tree| Ok(ImageInput::Known(Box::new(tree), name.clone()));
        match (stored, when, refused) {
            (Some((tree, _)), When::Missing | When::Never, None) => known(tree),
            (None, When::Never, _) => Err(anyhow!("{}: the store does not have it", shown(name)))
                .hint("--pull=missing asks its registry"),
            (_, When::Never, Some(refused)) => Err(refused.into()),
            (stored, _, refused) => {
                let found = RemoteImage::find(name, self.pulling, self.session);
                match (found, stored, refused) {
                    (Err(error), Some((tree, _)), None) if error.is_unavailable() => {
                        let error = anyhow::Error::from(error);
                        self.session.listener().warn(&format!("{error:#}: the store's image is taken"));
                        known(tree)
                    }
                    (found, _, _) => Ok(ImageInput::Remote(Box::new(found?))),
                }
            }
        }
    }

    /// Asks the host's policy about an image of the store by a name of a registry. Returns why it is not taken for that one
    /// without asking the registry: its signature was not checked.
    ///
    /// # Errors
    /// If the policy rejects the name.
    fn unseen(&self, name: &RegistryRef, named: &NamedImage) -> Result<Option<registry::Error>> {
        let reference = self.session.resolve(&name.to_string())?;
        let image = Image::Registry(&reference);
        Ok(match self.session.decide(&image)? {
            Decision::Signed(signatures) if !judge::is_signed(Some(named), &reference, &signatures) => {
                Some(signatures.unseen(&image))
            }
            _ => None,
        })
    }

    /// Returns the tree of the image that the store has by a name of a registry, if it is for the platform, and what is
    /// known of it.
    fn stored(&self, name: &RegistryRef) -> Result<Option<(Tree, NamedImage)>> {
        let Some(data_dir) = self.data_dir()? else { return Ok(None) };
        let text = name.digest.map(|digest| format!("{}/{}@{digest}", name.host, name.repository));
        let names = Names::read(&data_dir)?;
        let Some(id) = names.called(&text.unwrap_or_else(|| name.tagged())) else { return Ok(None) };
        let Some(tree) = Tree::open(&data_dir, id, TreeKind::Image)? else { return Ok(None) };
        let found = oci::platform_of(&tree.in_root(".")?)?;
        let runs = found.is_none_or(|found| self.pulling.check(&found).is_ok());
        Ok(runs.then(|| (tree, names.of(id).cloned().unwrap_or_default())))
    }

    fn local(&self, image: &ImageRef) -> Result<ImageInput<'s>> {
        let (path, name, transport) = match image {
            ImageRef::Oci { directory, image } => (directory, image, Some(policy::Layout::Oci)),
            ImageRef::OciArchive { file, image } => (file, image, Some(policy::Layout::OciArchive)),
            ImageRef::DockerArchive { file, image } => (file, image, None),
            other => return Err(anyhow!("{other}: expected an image in a directory or a file")),
        };
        let form = if transport.is_some() { Form::Oci } else { Form::DockerSave };
        let form = Some((form, name.clone()));
        if transport != Some(policy::Layout::Oci) && path == Path::new(STDIN) {
            return Ok(self.late(None, form, None));
        }
        let scope = scope_of(path)?;
        allow(self.session, &scope, transport, name.as_deref())?;
        let found = match oci::open(image, &self.pulling.platform()) {
            Err(Failure::Image(oci::Error::Compressed { .. })) => {
                return Ok(self.late(Some((InputFile::open(path)?, path)), form, None));
            }
            found => found?,
        };
        check(self.session, self.pulling, &scope, transport, &found)?;
        let named = named(&found, &scope, transport);
        Ok(ImageInput::Oci(Box::new(found), image.to_string(), named))
    }

    fn directory(&self, path: &Path, id: Option<ImageId>) -> Result<ImageInput<'s>> {
        let (scope, transport) = (scope_of(path)?, Some(policy::Layout::Oci));
        allow(self.session, &scope, transport, None)?;
        let found = oci::open_directory(path, &self.pulling.platform())?;
        check(self.session, self.pulling, &scope, transport, &found)?;
        let (shown, named) = (escape(&path.to_string_lossy()), named(&found, &scope, transport));
        Ok(ImageInput::Oci(Box::new(with_id(found, &shown, id)?), shown, named))
    }

    fn file(&self, path: &Path, mut source: InputFile, id: Option<ImageId>) -> Result<ImageInput<'s>> {
        let (content, scope) = (oci::recognise(source.file())?, scope_of(path)?);
        if !self.pulling.keys.is_empty() {
            self.session.decide(&Image::Other(&scope))?;
            let digest = signed::check(&self.pulling.keys, &mut source, path, self.session.interrupt())?;
            // A digest that a person gives is one of the tar.
            return Ok(match id {
                Some(_) => ImageInput::File(Box::new(source), id),
                None => ImageInput::Signed(Box::new(source), digest),
            });
        }
        let transport = (content == Content::Oci).then_some(policy::Layout::OciArchive);
        match content {
            Content::Oci | Content::DockerSave => allow(self.session, &scope, transport, None)?,
            Content::Compressed => return Ok(self.late(Some((source, path)), None, id)),
            Content::Aci | Content::Other => drop(self.session.decide(&Image::Other(&scope))?),
        }
        match oci::open_file(source.file(), source.shown(), content, &self.pulling.platform())? {
            Some(found) => {
                check(self.session, self.pulling, &scope, transport, &found)?;
                let (shown, named) = (source.shown(), named(&found, &scope, transport));
                Ok(ImageInput::Oci(Box::new(with_id(found, &shown, id)?), shown, named))
            }
            None => Ok(ImageInput::File(Box::new(source), id)),
        }
    }

    fn late(
        &self,
        file: Option<(InputFile, &Path)>,
        form: Option<(Form, Option<String>)>,
        id: Option<ImageId>,
    ) -> ImageInput<'s> {
        let file = file.map(|(file, path)| (Box::new(file), path.to_owned()));
        let (session, pulling) = (self.session, self.pulling.clone());
        ImageInput::Late(Box::new(LateImage { session, pulling, file, form, id }))
    }
}

/// Tells whether `text` can be an image's name in the store.
fn is_name(text: &str) -> bool {
    if let Some(labelled) = Labelled::parse(text) {
        return labelled.name.parse::<pod::name::Identifier>().is_ok();
    }
    text.parse::<pod::name::Identifier>().is_ok() || RegistryRef::parse(&format!("localhost/{text}")).is_ok()
}
