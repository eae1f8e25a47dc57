// SPDX-License-Identifier: Apache-2.0
//! Options that several commands have. Comments on them are the help that a person reads.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};
use pod::digest::Sha256;
use pod::isolators::{Quantity, Unit};
use pod::manifest::{Metadata, Users};
use pod::{HostName, PodName};

use archive::Limits;
use pods::logs::{Driver, LogOptions};
use prepare::apps::{Grouped, PodSettings, Setting};
use prepare::{LayoutArgument, PodEntry, Request, When};

use crate::apps::{self, Apps};
use crate::bound_options::{BoundOptions, POD};
use crate::context::Context;
use crate::network_options::NetworkOptions;
use crate::pull_options::PullOptions;

/// How a pod gets its trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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

/// The options for the parts of a pod.
#[derive(Debug, Args)]
pub(crate) struct PodOptions {
    #[command(flatten)]
    pub(crate) apps: Apps,
    /// The pod's name, which no other pod in DIR has; it can be used wherever a POD is named
    #[arg(long, value_name = "NAME", help_heading = POD)]
    pub(crate) name: Option<PodName>,
    /// The host name that the apps see [default: gantry- and the first digits of the pod's UUID]
    #[arg(long, value_name = "NAME", conflicts_with = "pod_manifest", help_heading = POD)]
    pub(crate) hostname: Option<HostName>,
    /// The users that apps have: own (each app its own), shared (the pod's) or host (the host's) [default: own]
    #[arg(
        long,
        value_name = "USERS",
        value_parser = users,
        conflicts_with = "pod_manifest",
        help_heading = POD
    )]
    pub(crate) userns: Option<Users>,
    #[command(flatten)]
    pub(crate) bounds: BoundOptions,
    /// A label of the pod; it is in its manifest
    #[arg(
        long = "label",
        short = 'l',
        value_name = "NAME[=VALUE]",
        value_parser = label,
        conflicts_with = "pod_manifest",
        help_heading = POD
    )]
    pub(crate) labels: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) network: NetworkOptions,
    /// No metadata service: the apps have no $AC_METADATA_URL
    #[arg(long, conflicts_with = "pod_manifest", help_heading = POD)]
    pub(crate) no_metadata: bool,
    /// Remove the pod when it has ended
    #[arg(long = "rm", help_heading = POD)]
    pub(crate) is_removed_at_end: bool,
    /// Write the pod's UUID to FILE, before the pod runs
    #[arg(long, value_name = "FILE", alias = "cidfile", help_heading = POD)]
    pub(crate) uuid_file: Option<PathBuf>,
    /// The tarball of stage1 [default: $GANTRY_STAGE1, the one that is built into this program, or
    /// ../lib/gantry/stage1.tar.xz beside it]
    ///
    /// Its sha256 is checked before it is unpacked. The expected one is in FILE.sha256, in sha256sum's format, or is
    /// given with --stage1-sha256.
    #[arg(long, value_name = "FILE")]
    pub(crate) stage1: Option<PathBuf>,
    /// The expected sha256 of stage1's tarball, instead of FILE.sha256
    #[arg(long, value_name = "HEX", value_parser = Sha256::from_hex)]
    pub(crate) stage1_sha256: Option<Sha256>,
    /// A program that the pod has in place of stage1's /init
    #[arg(long, value_name = "FILE")]
    pub(crate) stage1_init: Option<PathBuf>,
    /// An appc PodManifest, instead of one generated from the images
    ///
    /// It names the apps, their images (by the digests of images given with --image or, without --image, of images in
    /// the store) and the volumes. An app may name its image instead: by the annotation gantry/image, which takes what
    /// --image takes, or by name and labels; the pod has the id then. All else is stored unchanged.
    #[arg(long, value_name = "FILE", conflicts_with_all = apps::OF_MANIFEST)]
    pub(crate) pod_manifest: Option<PathBuf>,
    /// How the pod gets the files of its images
    #[arg(long, value_enum, default_value_t = Layout::Auto)]
    pub(crate) layout: Layout,
    #[command(flatten)]
    pub(crate) pull: PullOptions,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
}

impl PodOptions {
    /// Checks what the parser can't.
    ///
    /// # Errors
    /// Fails if nothing says what the pod is made of.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        if self.apps.grouped.images.is_empty() && self.pod_manifest.is_none() {
            return Err(clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                "expected an image, or several",
            ));
        }
        self.network.check()
    }

    /// Tells whether something is said about how a pod is made, beside an image.
    pub(crate) fn has_more(&self) -> bool {
        let Self { apps, name, hostname, labels, is_removed_at_end, stage1, .. } = self;
        let of_apps = apps.grouped.apps.iter().any(|app| !app.is_empty()) || !apps.grouped.volumes.is_empty();
        let of_pod = name.is_some()
            || hostname.is_some()
            || self.userns.is_some()
            || self.bounds.is_given()
            || self.network.is_given()
            || self.no_metadata
            || !labels.is_empty()
            || *is_removed_at_end;
        let of_layout = stage1.is_some()
            || self.stage1_sha256.is_some()
            || self.stage1_init.is_some()
            || self.layout != Layout::Auto;
        of_apps || of_pod || of_layout || self.pod_manifest.is_some()
    }

    /// Returns the request for a pod.
    pub(crate) fn request(self, context: &Context) -> Request {
        let Grouped { images, apps, volumes } = self.apps.grouped;
        let (network, published) = self.network.parts();
        Request {
            dir: context.dir.clone(),
            images,
            apps,
            settings: PodSettings {
                host_name: self.hostname,
                users: self.userns,
                shm: self.bounds.shm_size,
                tasks: self.bounds.pod_pids_limit,
                labels: self.labels.into_iter().collect(),
                network,
                metadata: if self.no_metadata { Metadata::None } else { Metadata::Served },
                published,
            },
            entry: PodEntry { name: self.name, is_removed_at_end: self.is_removed_at_end, starter: None },
            volumes,
            stage1: self.stage1.or_else(|| environment("GANTRY_STAGE1")),
            stage1_digest: self.stage1_sha256,
            stage1_init: self.stage1_init,
            built_in: context.built_in,
            pod_manifest: self.pod_manifest,
            layout: self.layout.into(),
            limits: self.limits.limits(),
            pulling: self.pull.pulling(When::Missing),
        }
    }
}

/// Parses whose users apps' users are.
fn users(text: &str) -> Result<Users, String> {
    Users::named(text).ok_or_else(|| "expected own, shared or host".to_owned())
}

/// Parses a label: a name and maybe a value.
fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(format!("invalid label {}: expected NAME=VALUE", pod::text::escape(text)));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Whether an app has a terminal.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TerminalArgs {
    /// Give the app a terminal of the pod's own, shown on this command's terminal; with several apps, APP says which
    #[arg(
        long,
        short = 't',
        value_name = "APP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        help_heading = POD
    )]
    pub(crate) tty: Option<String>,
    /// Keep stdin. The only app of a pod has it anyway; with --tty, a stdin that is no terminal is typed at the app's
    #[arg(long, short, help_heading = POD)]
    pub(crate) interactive: bool,
}

impl TerminalArgs {
    /// Checks that they make sense for a pod in the background, or in the foreground.
    pub(crate) fn check(&self, is_in_background: bool) -> Result<(), clap::Error> {
        if is_in_background && (self.tty.is_some() || self.interactive) {
            return Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "a pod in the background has no terminal and no stdin: expected no --tty and no --interactive; \
                 enter --tty gives a program in it a terminal",
            ));
        }
        Ok(())
    }

    /// Tells whether the terminal is for the pod's only app.
    pub(crate) fn needs_name(&self) -> bool {
        self.tty.as_deref() == Some("")
    }
}

/// Says that a pod of several apps needs to know which one has the terminal.
pub(crate) fn several() -> clap::Error {
    clap::Error::raw(ErrorKind::MissingRequiredArgument, "the pod has several apps: expected --tty=APP")
}

/// How the output of a pod in the background is kept.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Where the output of a pod in the background goes
    #[arg(long, value_enum, value_name = "DRIVER")]
    log_driver: Option<LogDriver>,
    /// How logs are kept: max-size=BYTES (or unlimited), max-file=N [default: max-size=10m, max-file=5]
    #[arg(long = "log-opt", value_name = "NAME=VALUE", value_parser = log_option)]
    log_options: Vec<LogOption>,
}

/// The destination of what apps write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogDriver {
    /// To a file for each app; `logs` shows it
    File,
    /// To the host's journal, by the app's name; journalctl GANTRY_POD=UUID shows it
    Journald,
    /// Nowhere
    None,
}

/// A setting of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogOption {
    Size(Option<u64>),
    Files(u32),
}

impl LogArgs {
    /// Tells whether something is said.
    pub(crate) fn is_given(&self) -> bool {
        self.log_driver.is_some() || !self.log_options.is_empty()
    }

    /// Returns how logs are written.
    pub(crate) fn options(&self) -> LogOptions {
        let driver = match self.log_driver {
            None | Some(LogDriver::File) => Driver::File,
            Some(LogDriver::Journald) => Driver::Journal,
            Some(LogDriver::None) => Driver::None,
        };
        let mut options = LogOptions { driver, ..LogOptions::default() };
        for option in &self.log_options {
            match option {
                LogOption::Size(size) => options.size = *size,
                LogOption::Files(files) => options.files = *files,
            }
        }
        options
    }
}

fn log_option(text: &str) -> Result<LogOption, String> {
    let expected = || "expected max-size=BYTES, max-size=unlimited or max-file=N, N from 1 to 100".to_owned();
    match text.split_once('=').ok_or_else(expected)? {
        ("max-size", "unlimited" | "-1") => Ok(LogOption::Size(None)),
        ("max-size", size) => match Setting::memory(size) {
            Ok(Setting::Memory(size)) => Ok(LogOption::Size(Some(size.units()))),
            _ => Err(expected()),
        },
        ("max-file", files) => match files.parse() {
            Ok(files @ 1..=100) => Ok(LogOption::Files(files)),
            _ => Err(expected()),
        },
        _ => Err(expected()),
    }
}

/// Returns the path in an environment variable; an empty value counts as unset.
pub(crate) fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The options that limit what archives may ask for.
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
    /// 66Mi is enough for xz -9 and for zstd windows of 64 MiB; zstd --long takes 129Mi.
    #[arg(long, value_name = "BYTES", default_value = "66Mi", value_parser = bytes)]
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

fn bytes(text: &str) -> pod::Result<Quantity> {
    Quantity::parse(text, Unit::Byte)
}
