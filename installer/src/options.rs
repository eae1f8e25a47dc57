// SPDX-License-Identifier: Apache-2.0
//! Options that several commands have. Comments on them are the help that a person reads.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, ValueEnum};
use pod::digest::Sha256;
use pod::isolators::{Quantity, Unit};

use archive::Limits;
use image::ImageArgument;
use prepare::{LayoutArgument, Request, VolumeArgument};

use crate::cli::Arguments;

/// How a pod gets its trees.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Layout {
    /// As overlays where they can be made there, else as copies
    Auto,
    /// As overlays, with the pod's changes over trees of the store
    Overlay,
    /// As copies of its own, by reflink where the file system can
    Copy,
}

impl From<Layout> for LayoutArgument {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Auto => Self::Auto,
            Layout::Overlay => Self::Overlay,
            Layout::Copy => Self::Copy,
        }
    }
}

/// What a pod is made of.
#[derive(Debug, Args)]
pub(crate) struct PodOptions {
    /// An app image; once for each app
    ///
    /// A file: a tar, plain or compressed with gzip, bzip2, xz or zstd, of a file `manifest` and a directory `rootfs`.
    /// DIGEST, sha256-HEX or sha512-HEX, is what its uncompressed tar must hash to; an image of that digest that is in
    /// the store is not read again. Or an image in the store: its id, the beginning of its id, or its name.
    #[arg(long = "image", value_name = "FILE[@DIGEST]|ID|NAME", value_parser = image_parser())]
    pub(crate) images: Vec<ImageArgument>,
    /// What is mounted at the apps' mount points called NAME
    ///
    /// A file or directory of the host, as in `data,kind=host,source=/srv/data`: with what is mounted below it, unless
    /// `,recursive=false`. Or a directory of the pod's own, as in `tmp,kind=empty,mode=1777,uid=0,gid=0` (root's and
    /// 0755 where nothing is said). With `,readOnly=true` apps can't write to it.
    #[arg(
        long = "volume",
        value_name = "NAME,kind=host,source=PATH|NAME,kind=empty[,FIELD=VALUE…]",
        value_parser = VolumeArgument::parse
    )]
    pub(crate) volumes: Vec<VolumeArgument>,
    /// Stage1's tarball [default: $GANTRY_STAGE1 or ../lib/gantry/stage1.tar.xz beside this program]
    ///
    /// Its sha256 is checked before anything of it is unpacked: against FILE.sha256 beside it, in sha256sum's
    /// format, or against --stage1-sha256.
    #[arg(long, value_name = "FILE")]
    pub(crate) stage1: Option<PathBuf>,
    /// The sha256 of stage1's tarball, in place of FILE.sha256
    #[arg(long, value_name = "HEX", value_parser = Sha256::from_hex)]
    pub(crate) stage1_sha256: Option<Sha256>,
    /// An appc PodManifest, in place of one made from the images
    ///
    /// It names apps, images (by the digests of those given with --image) and volumes, and is stored as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "volumes")]
    pub(crate) pod_manifest: Option<PathBuf>,
    /// How the pod gets its trees
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    pub(crate) layout: Layout,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

impl PodOptions {
    /// Checks what the parser can't.
    ///
    /// # Errors
    /// Fails if no image is given.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        match self.images.as_slice() {
            [] => Err(invalid(ErrorKind::MissingRequiredArgument, "expected --image FILE, once or more")),
            _ => Ok(()),
        }
    }

    /// Returns the request for a pod in `dir`.
    pub(crate) fn request(self, dir: PathBuf) -> Request {
        let Self { images, volumes, stage1, stage1_sha256, pod_manifest, layout, limits } = self;
        let stage1 = stage1.or_else(|| environment("GANTRY_STAGE1"));
        let (layout, limits) = (layout.into(), limits.limits());
        Request { dir, images, volumes, stage1, stage1_digest: stage1_sha256, pod_manifest, layout, limits }
    }
}

/// Returns the path in an environment variable; an empty value counts as unset.
pub(crate) fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Makes a usage error in the parser's format.
pub(crate) fn invalid(kind: ErrorKind, expected: &str) -> clap::Error {
    Arguments::command().error(kind, expected)
}

/// What archives may ask for at most.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of archives")]
pub(crate) struct LimitOptions {
    /// Bytes of an archive's tar stream, such as 64Gi
    #[arg(long, value_name = "BYTES", default_value = "64Gi", value_parser = bytes)]
    max_bytes: Quantity,
    /// Entries of an archive
    #[arg(long, value_name = "N", default_value_t = Limits::default().entries)]
    max_entries: u64,
    /// Components of a path
    #[arg(long, value_name = "N", default_value_t = Limits::default().depth)]
    max_depth: usize,
    /// Bytes of memory that decompressing an archive takes
    ///
    /// 38Mi is enough for xz -8 and for zstd windows of 32 MiB; xz -9 takes 65Mi.
    #[arg(long, value_name = "BYTES", default_value = "38Mi", value_parser = bytes)]
    max_decoder_memory: Quantity,
}

impl LimitOptions {
    /// Converts these options to the limits that the archive reader takes.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            bytes: self.max_bytes.units(),
            entries: self.max_entries,
            depth: self.max_depth,
            decoder_memory: self.max_decoder_memory.units(),
            ..Limits::default()
        }
    }
}

/// Returns the parser of image arguments.
pub(crate) fn image_parser() -> impl clap::builder::TypedValueParser<Value = ImageArgument> {
    OsStringValueParser::new().try_map(|argument: OsString| ImageArgument::parse(&argument))
}

fn bytes(text: &str) -> pod::Result<Quantity> {
    Quantity::parse(text, Unit::Byte)
}
