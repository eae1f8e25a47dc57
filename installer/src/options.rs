// SPDX-License-Identifier: Apache-2.0
//! Options that several commands have. Comments on them are the help that a person reads.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use pod::digest::Sha256;
use pod::isolators::{Quantity, Unit};

use archive::Limits;
use image::ImageArgument;
use prepare::{LayoutArgument, Request, VolumeArgument};

/// How a pod gets its trees.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Layout {
    /// Overlays where they can be made, copies elsewhere
    Auto,
    /// Overlays: the pod's changes lie over the images in the store
    Overlay,
    /// Copies of the images, by reflink where the file system has that
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
    /// An app image; repeat the option for each app
    ///
    /// Either a file: a tar of a file `manifest` and a directory `rootfs`, plain or compressed with gzip, bzip2, xz or
    /// zstd. With DIGEST (sha256-HEX or sha512-HEX), its uncompressed tar must have this digest; an image that is in the
    /// store by this digest is not read again. Or an OCI image: oci:DIR[:TAG], oci-archive:FILE[:TAG],
    /// docker-archive:FILE[:NAME], docker://HOST/REPO[:TAG][@DIGEST], or the plain path of a layout or archive with one image, whose id DIGEST is then. Or
    /// an image in the store: its id, the beginning of its id, or its name.
    #[arg(long = "image", value_name = "FILE[@DIGEST]|ID|NAME", value_parser = image_parser())]
    pub(crate) images: Vec<ImageArgument>,
    /// A volume for the apps' mount points called NAME
    ///
    /// kind=host is a file or directory of the host: `data,kind=host,source=/srv/data`. File systems mounted below it
    /// are included, unless recursive=false. kind=empty is a new directory that belongs to the pod:
    /// `tmp,kind=empty,mode=1777,uid=0,gid=0`. The defaults are mode=0755, uid=0 and gid=0. With readOnly=true, apps
    /// can't write to the volume.
    #[arg(
        long = "volume",
        value_name = "NAME,kind=host,source=PATH|NAME,kind=empty[,FIELD=VALUE…]",
        value_parser = VolumeArgument::parse
    )]
    pub(crate) volumes: Vec<VolumeArgument>,
    /// The tarball of stage1 [default: $GANTRY_STAGE1 or ../lib/gantry/stage1.tar.xz beside this program]
    ///
    /// Its sha256 is checked before it is unpacked. The expected one is in FILE.sha256, in sha256sum's format, or is
    /// given with --stage1-sha256.
    #[arg(long, value_name = "FILE")]
    pub(crate) stage1: Option<PathBuf>,
    /// The expected sha256 of stage1's tarball, instead of FILE.sha256
    #[arg(long, value_name = "HEX", value_parser = Sha256::from_hex)]
    pub(crate) stage1_sha256: Option<Sha256>,
    /// An appc PodManifest, instead of one generated from the images
    ///
    /// It names the apps, their images (by the digests of those given with --image) and the volumes. It is stored
    /// unchanged.
    #[arg(long, value_name = "FILE", conflicts_with = "volumes")]
    pub(crate) pod_manifest: Option<PathBuf>,
    /// How the pod gets the files of its images
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
            [] => Err(clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                "expected --image FILE, once or more",
            )),
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

/// What archives may ask for at most.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of archives")]
pub(crate) struct LimitOptions {
    /// Maximum size of an archive's uncompressed tar, such as 64Gi
    #[arg(long, value_name = "BYTES", default_value = "64Gi", value_parser = bytes)]
    max_bytes: Quantity,
    /// Maximum number of entries in an archive
    #[arg(long, value_name = "N", default_value_t = Limits::default().entries)]
    max_entries: u64,
    /// Maximum number of components in a path
    #[arg(long, value_name = "N", default_value_t = Limits::default().depth)]
    max_depth: usize,
    /// Maximum memory for decompressing an archive
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
