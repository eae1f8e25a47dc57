// SPDX-License-Identifier: Apache-2.0
//! The commands. Each is one file, with its arguments on top and its implementation below.

mod cat_manifest;
mod df;
mod gc;
mod image;
mod inspect;
mod kill;
mod list;
mod named;
mod prepare;
mod rm;
mod run;
mod status;
mod stop;
mod verify;
mod wait;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use pod::text::escape;
use store::DataDir;
use store::staging::{Mounted, Staging};
use sys::Interrupt;

use crate::exit::Exit;
use crate::ui::Ui;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The directory DIR, as an absolute path.
    pub(crate) dir: PathBuf,
    /// The signal that ends a command early.
    pub(crate) interrupt: Interrupt,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Prepare(prepare::Args),
    Run(run::Args),
    #[command(visible_alias = "ps")]
    List(list::Args),
    Status(status::Args),
    Inspect(inspect::Args),
    CatManifest(cat_manifest::Args),
    Wait(wait::Args),
    Stop(stop::Args),
    Kill(kill::Args),
    Rm(rm::Args),
    #[command(subcommand)]
    Image(image::Command),
    Gc(gc::Args),
    Df(df::Args),
    Verify(verify::Args),
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

impl Command {
    /// Checks what the parser can't.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        match self {
            Self::Prepare(args) => args.check(),
            Self::Run(args) => args.check(),
            _ => Ok(()),
        }
    }

    /// Returns how the command ends if it fails.
    pub(crate) fn failure(&self) -> Exit {
        match self {
            Self::Run(_) => Exit::NoPod,
            _ => Exit::Failed,
        }
    }

    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Prepare(args) => prepare::run(args, context),
            Self::Run(args) => run::run(args, context),
            Self::Image(command) => image::run(command, context),
            Self::Gc(args) => gc::run(&args, context),
            Self::List(args) => list::run(&args, context),
            Self::Status(args) => status::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context),
            Self::CatManifest(args) => cat_manifest::run(&args, context),
            Self::Wait(args) => wait::run(&args, context),
            Self::Stop(args) => stop::run(&args, context),
            Self::Kill(args) => kill::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Df(args) => df::run(&args, context),
            Self::Verify(args) => verify::run(&args, context),
        }
    }
}

impl Context {
    /// Runs `task` on DIR's store, if there is one. Leaves no directories behind that opening the store has created.
    fn in_store(&self, task: impl FnOnce(&DataDir) -> Result<Exit>) -> Result<Option<Exit>> {
        let Some(data_dir) = DataDir::find(&self.dir, &self.interrupt, &Ui)? else { return Ok(None) };
        // If the store was removed right before it was opened, then opening it has created it anew. It is not kept.
        task(&data_dir).map(Some)
    }

    /// Checks that DIR is a directory. Its owner doesn't matter.
    fn check_dir(&self) -> Result<()> {
        if !Path::is_dir(&self.dir) {
            let dir = escape(&self.dir.to_string_lossy());
            bail!("no directory {dir}: expected --dir to name the directory of pods and images");
        }
        Ok(())
    }
}

/// Sweeps staging. Directories that stay because something is mounted in them are reported, and are a failure.
fn sweep(data_dir: &DataDir) -> Result<Exit> {
    let mut exit = Exit::Done;
    for mounted in Staging::sweep(data_dir)? {
        exit = report_mounted("cannot remove what a dead run left".into(), mounted);
    }
    Ok(exit)
}

/// Reports what stays because something is mounted in it, which is a failure.
fn report_mounted(what: String, mounted: Mounted) -> Exit {
    Ui.error(&anyhow::Error::new(mounted).context(what));
    Exit::Failed
}
