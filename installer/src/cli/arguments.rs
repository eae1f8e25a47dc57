// SPDX-License-Identifier: Apache-2.0
//! What can be said on the command line. Comments here are the help a person reads.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use pod::digest::Digest;
use pod::isolators::{Quantity, Unit};

use archive::Limits;
use image::ImageArgument;
use prepare::{LayoutArgument, VolumeArgument};

pub(super) const EXAMPLES: &str = "\
Examples:
  installer run --image hello.aci
      prepare a pod of one image, and become it

  cd \"$(installer prepare --image hello.aci)\" && ./stage1/init
      the same in two steps

  installer run --image web.aci --image redis.aci@sha256-9f86d0… \\
      --volume data,kind=host,source=/srv/data,readOnly=true
      two apps in one pod; the second image must have this digest

  installer image import web.aci && installer run --image example.com/web
      an image that is in the store, by its name (or id, or the beginning of one)

Environment:
  GANTRY_DIR     where pods and images are kept, unless --dir says [default: /var/lib/gantry]
  GANTRY_STAGE1  stage1's file, unless --stage1 says

Exit codes:
  0 done, 1 failed (nothing is left behind), 2 wrong usage
  run     the pod's; 254 where Gantry itself failed, 2 wrong usage
  verify  1 where a tree is damaged and was not renewed, or can't be looked at
  130 or 143 when interrupted by SIGINT or SIGTERM before a pod runs";

/// Runs app images as pods.
///
/// A pod is one or more app images, supervised together by systemd inside systemd-nspawn. `prepare` verifies and
/// unpacks images and stage1 (which has that systemd) into a store, and makes a pod directory of them; `run` does that
/// and becomes the pod. What is in the store already is not unpacked again. Nothing of the host's userland is used.
/// Needs root.
#[derive(Debug, Parser)]
#[command(name = "installer", version, after_long_help = EXAMPLES, subcommand_required = true)]
pub(super) struct Arguments {
    /// Where pods and images are kept [default: $GANTRY_DIR or /var/lib/gantry]
    ///
    /// Pod directories are in DIR/containers, images in DIR/store. DIR is created, for root alone, where it is missing.
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lay out a pod directory and print its path
    ///
    /// The directory is complete and on disk when its path, one line, is printed. Where anything fails, nothing is
    /// left behind.
    #[command(after_long_help = EXAMPLES)]
    Prepare {
        #[command(flatten)]
        options: PodOptions,
    },
    /// Run a pod: a prepared one, or one of these images
    ///
    /// This process becomes the pod: it keeps stdin, stdout and stderr, passes on no environment but TERM, and ends
    /// with the pod's exit code. SIGTERM stops the pod in order.
    #[command(after_long_help = EXAMPLES)]
    Run {
        /// A pod directory, or the UUID of a pod in DIR
        #[arg(
            value_name = "POD",
            conflicts_with_all = ["images", "volumes", "stage1", "stage1_sha256", "pod_manifest", "layout"]
        )]
        pod: Option<PathBuf>,
        #[command(flatten)]
        options: PodOptions,
        /// Show what nspawn and systemd say
        #[arg(long)]
        debug: bool,
    },
    /// Bring images into the store, list them, remove them
    #[command(subcommand)]
    Image(ImageCommand),
    /// Remove every image and stage1 that no pod refers to
    ///
    /// What a prepare or a running pod uses at the moment stays, and so does what any pod directory refers to. A line
    /// is printed for each that goes.
    Gc,
    /// Compare what is in the store with what was recorded when it was extracted
    ///
    /// All metadata and all content is compared. A line is printed for each image and stage1 that is as it was, and for
    /// each difference of one that is not.
    Verify {
        /// Extract damaged ones anew from the files they came from
        ///
        /// One whose file is gone, or makes another tree by now, is taken out of the store. Where a file can't be
        /// unpacked for another reason, its tree stays as it is.
        #[arg(long)]
        repair: bool,
        /// Images by id, the beginning of one, or name; all that is in the store by default
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
        #[command(flatten)]
        limits: LimitOptions,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    /// Unpack images into the store, and print their ids
    ///
    /// Until a pod refers to an image, `installer gc` may remove it again.
    Import {
        /// Image files; DIGEST, sha256-HEX or sha512-HEX, is what the uncompressed tar must hash to
        #[arg(value_name = "FILE[@DIGEST]", required = true, value_parser = image_parser())]
        images: Vec<ImageArgument>,
        #[command(flatten)]
        limits: LimitOptions,
    },
    /// List the images in the store
    List {
        /// How
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Remove images that no pod refers to
    Rm {
        /// Images by id, the beginning of one, or name
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
}

/// How a pod gets its trees.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Layout {
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

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs: an array of objects
    Json,
}

#[derive(Debug, Args)]
pub(super) struct PodOptions {
    /// An app image; once for each app
    ///
    /// A file: a tar, plain or compressed with gzip, bzip2, xz or zstd, of a file `manifest` and a directory `rootfs`.
    /// DIGEST, sha256-HEX or sha512-HEX, is what its uncompressed tar must hash to; an image of that digest that is in
    /// the store is not read again. Or an image in the store: its id, the beginning of its id, or its name.
    #[arg(long = "image", value_name = "FILE[@DIGEST]|ID|NAME", value_parser = image_parser())]
    pub(super) images: Vec<ImageArgument>,
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
    pub(super) volumes: Vec<VolumeArgument>,
    /// Stage1's tarball [default: $GANTRY_STAGE1 or ../lib/gantry/stage1.tar.xz beside this program]
    ///
    /// Its sha256 is checked before anything of it is unpacked: against FILE.sha256 beside it, in sha256sum's
    /// format, or against --stage1-sha256.
    #[arg(long, value_name = "FILE")]
    pub(super) stage1: Option<PathBuf>,
    /// The sha256 of stage1's tarball, in place of FILE.sha256
    #[arg(long, value_name = "HEX", value_parser = Digest::from_hex)]
    pub(super) stage1_sha256: Option<Digest>,
    /// An appc PodManifest, in place of one made from the images
    ///
    /// It names apps, images (by the digests of those given with --image) and volumes, and is stored as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "volumes")]
    pub(super) pod_manifest: Option<PathBuf>,
    /// How the pod gets its trees
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    pub(super) layout: Layout,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

/// What archives may ask for at most.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of archives")]
pub(super) struct LimitOptions {
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
    /// As the archive's reader takes them.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            bytes: self.max_bytes.units(),
            entries: self.max_entries,
            depth: self.max_depth,
            decoder_memory: self.max_decoder_memory.units(),
            ..Limits::default()
        }
    }
}

fn image_parser() -> impl clap::builder::TypedValueParser<Value = ImageArgument> {
    OsStringValueParser::new().try_map(|argument: OsString| ImageArgument::parse(&argument))
}

fn bytes(text: &str) -> pod::Result<Quantity> {
    Quantity::parse(text, Unit::Byte)
}
