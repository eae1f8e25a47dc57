// SPDX-License-Identifier: Apache-2.0
//! Options about images of registries, for the commands that fetch some. Comments on them are the help that a person
//! reads.

use clap::{Args, ValueEnum};
use image::oci::Platform;
use image::signed::Key;
use prepare::{Pulling, When};

use crate::ui::Ui;

/// When a registry is asked for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// If the store has no image of this name
    Missing,
    /// Each time; it is an error if that fails
    Always,
    /// Each time, but if that fails, the image in the store is taken
    Newer,
    /// Never
    Never,
}

impl From<Pull> for When {
    fn from(pull: Pull) -> Self {
        match pull {
            Pull::Missing => Self::Missing,
            Pull::Always => Self::Always,
            Pull::Newer => Self::Newer,
            Pull::Never => Self::Never,
        }
    }
}

/// How images are had from registries.
#[derive(Debug, Args)]
#[command(next_help_heading = "OCI images")]
pub(crate) struct PullOptions {
    /// The platform of images that are for several [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// When a registry is asked for an image that the store may have [default: missing; import: always]
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,
    /// Don't keep the layers of images of registries as they were fetched
    ///
    /// Kept layers take space beside the images, as much as was fetched. Another image that has one of them doesn't
    /// fetch it again; `verify --repair` extracts damaged images anew from them, and `image save` writes them.
    #[arg(long)]
    no_keep_blobs: bool,
    /// Say each step in a line, with the time since the command began
    #[arg(long, help_heading = "Messages")]
    verbose: bool,
    /// Take only files that minisign has signed with this key, or with one of several
    ///
    /// KEY is the public key or its file. The signature of FILE is FILE.minisig, for images and for stage1 (unless
    /// --stage1-sha256 is given, or it is built in). Images of the store are taken by their digests alone.
    #[arg(long = "verify-key", value_name = "KEY", value_parser = Key::parse, help_heading = "Trust")]
    keys: Vec<Key>,
}

impl PullOptions {
    /// Converts these options to how images are had.
    pub(crate) fn pulling(&self, default: When) -> Pulling {
        if self.verbose {
            Ui.be_verbose();
        }
        let when = self.pull.map_or(default, When::from);
        Pulling {
            platform: self.platform.clone(),
            when,
            drops_blobs: self.no_keep_blobs,
            keys: self.keys.clone(),
        }
    }
}
