// SPDX-License-Identifier: Apache-2.0
//! Images that can't be looked at before something is written: what comes by stdin, and archives that are compressed as a
//! whole. They are copied, or decompressed by a confined worker, into a file that has no name.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::oci::{Archive, Content, Form, OciImage, Source, layered, recognise, starts_as_aci};
use pod::id::ImageId;
use registry::policy::{Image, Layout};
use report::told;
use store::extract::Expected;
use store::input::InputFile;
use store::{Importer, TreeKind};

use crate::local::{allow, check, named, with_id};
use crate::pull::Pulled;
use crate::pulling::Pulling;
use crate::session::{Session, scope_of};

/// The path of stdin, for policies.
const STDIN: &str = "/dev/stdin";
/// How much of an archive is decompressed to see what it is: a header, and what may stand before it.
const START: u64 = 1 << 20;

/// An image that is looked at when it is acquired.
#[derive(Debug)]
pub struct LateImage<'s> {
    pub(crate) session: &'s Session<'s>,
    pub(crate) pulling: Pulling,
    /// The file, and its path as a person gave it; `None` is stdin.
    pub(crate) file: Option<(Box<InputFile>, PathBuf)>,
    /// The form that a person says it has, and the name of the image in it.
    pub(crate) form: Option<(Form, Option<String>)>,
    /// The id that the image must have.
    pub(crate) id: Option<ImageId>,
}

impl LateImage<'_> {
    /// Returns its name for messages.
    pub(crate) fn shown(&self) -> String {
        self.file.as_ref().map_or_else(|| "stdin".to_owned(), |(file, _)| file.shown())
    }

    /// Returns the image's tree, from the store, or unpacked.
    ///
    /// # Errors
    /// If it holds no image, is refused, or the system fails. Nothing is left behind then.
    pub(crate) fn acquire<'h>(mut self, importer: &Importer<'h>, ids: &[ImageId]) -> Result<Pulled<'h>> {
        let shown = self.shown();
        let path = self.file.as_ref().map_or_else(|| Ok(STDIN.into()), |(_, path)| scope_of(path))?;
        let mut file = match self.file.take() {
            Some((file, _)) => *file,
            None => InputFile::unnamed(&shown, importer.spool(io::stdin())?)?,
        };
        let mut content = recognise(file.file())?;
        if self.form.is_none() && matches!(content, Content::Aci | Content::Compressed | Content::Other) {
            self.session.decide(&Image::Other(&path))?;
            let expected = self.id.map_or(Expected::Anything, |id| Expected::Tar(id.digest()));
            match importer.acquire(&mut file, TreeKind::Image, expected, ids) {
                Err(error)
                    if matches!(error.cause(), store::Error::Refused(_))
                        && self.may_be_oci(importer, &file, content)? => {}
                acquired => return Ok(Pulled::unnamed(acquired?)),
            }
        }
        let mut plain = file.file().try_clone()?;
        if content == Content::Compressed {
            plain = importer.decompress(&plain, importer.limits)?;
            content = recognise(&plain)?;
        }
        let (image, transport) = self.open(plain, &path, &shown, content)?;
        let image = with_id(image, &shown, self.id)?;
        let tree = importer.acquire_layers(&layered(&image)?)?;
        Ok(Pulled { named: named(&image, &path, transport), ..Pulled::unnamed(tree) })
    }

    /// Tells whether a file that is no app container image may hold OCI images.
    fn may_be_oci(&self, importer: &Importer<'_>, file: &InputFile, content: Content) -> Result<bool> {
        if content != Content::Compressed {
            return Ok(false);
        }
        Ok(!starts_as_aci(&importer.decompress_start(file.file(), START)?))
    }

    /// Opens the image in a plain tar, and asks the host's policy about it. Returns as what the policy knows it, too.
    fn open(
        &self,
        file: std::fs::File,
        path: &Path,
        shown: &str,
        content: Content,
    ) -> Result<(OciImage, Option<Layout>)> {
        let (form, name) = match &self.form {
            Some((form, name)) => (*form, name.as_deref()),
            None if content == Content::DockerSave => (Form::DockerSave, None),
            None => (Form::Either, None),
        };
        let transport = (form != Form::DockerSave).then_some(Layout::OciArchive);
        allow(self.session, path, transport, name)?;
        let archive = Archive::open(file, shown.to_owned()).map_err(told)?;
        let image = Source::Archive(archive).image(form, name, &self.pulling.platform()).map_err(told);
        let image = image.with_context(|| format!("image {shown}"))?;
        check(self.session, &self.pulling, path, transport, &image)?;
        Ok((image, transport))
    }
}
