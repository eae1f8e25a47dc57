// SPDX-License-Identifier: Apache-2.0
//! The commands. Each is one file, with its arguments on top and its implementation below.

mod gc;
mod image;
mod prepare;
mod run;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use pod::text::escape;
use store::Home;
use store::staging::{Mounted, Staging};
use sys::Interrupt;

use crate::pod_process;
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
    #[command(subcommand)]
    Image(image::Command),
    Gc(gc::Args),
    Verify(verify::Args),
}

impl Command {
    /// Checks what the parser can't.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        match self {
            Self::Prepare(args) => args.check(),
            Self::Run(args) => args.check(),
            Self::Image(_) | Self::Gc(_) | Self::Verify(_) => Ok(()),
        }
    }

    /// Returns the command's exit code for a failure.
    pub(crate) fn failure(&self) -> u8 {
        match self {
            Self::Run(_) => pod_process::FAILURE,
            Self::Prepare(_) | Self::Image(_) | Self::Gc(_) | Self::Verify(_) => 1,
        }
    }

    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> Result<ExitCode> {
        match self {
            Self::Prepare(args) => prepare::run(args, context),
            Self::Run(args) => run::run(args, context),
            Self::Image(command) => image::run(command, context),
            Self::Gc(args) => gc::run(&args, context),
            Self::Verify(args) => verify::run(&args, context),
        }
    }
}

impl Context {
    /// Runs `task` on DIR's store, if there is one. Leaves no directories behind that opening the store has created.
    fn in_store(&self, task: impl FnOnce(&Home) -> Result<ExitCode>) -> Result<Option<ExitCode>> {
        let Some(home) = Home::find(&self.dir, &self.interrupt, &Ui)? else { return Ok(None) };
        // If the store was removed right before it was opened, then opening it has created it anew. It is not kept.
        task(&home).map(Some)
    }

    /// Checks that DIR is a directory. Its owner doesn't matter.
    fn check_dir(&self) -> Result<()> {
        if !Path::is_dir(&self.dir) {
            let dir = escape(&self.dir.to_string_lossy());
            bail!("no directory {dir}: expected --dir to say where images are");
        }
        Ok(())
    }
}

/// Sweeps staging and reports the directories that stay because something is mounted in them. Tells whether there are
/// any.
fn swept_but_mounted(home: &Home) -> Result<bool> {
    let all = Staging::sweep(home)?;
    let is_mounted = !all.is_empty();
    all.into_iter()
        .for_each(|mounted| report_mounted("cannot remove a dead run's directory".into(), mounted));
    Ok(is_mounted)
}

fn report_mounted(what: String, mounted: Mounted) {
    terminal::error(&anyhow::Error::new(mounted).context(what));
}

/// Returns the exit code of a command that has done all it could.
fn code(failed: bool) -> ExitCode {
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
