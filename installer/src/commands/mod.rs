// SPDX-License-Identifier: Apache-2.0
//! The commands. Each is one file, with its arguments on top and its implementation below.

mod cat_manifest;
mod df;
mod enter;
mod gc;
mod image;
mod inspect;
mod kill;
mod list;
mod logs;
mod named;
mod prepare;
mod rm;
mod run;
mod start;
mod status;
mod stop;
mod top;
mod verify;
mod wait;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::exit::Exit;

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Prepare(prepare::Args),
    Run(run::Args),
    Start(start::Args),
    #[command(visible_alias = "ps")]
    List(list::Args),
    #[command(visible_alias = "exec")]
    Enter(enter::Args),
    Logs(logs::Args),
    Status(status::Args),
    Inspect(inspect::Args),
    CatManifest(cat_manifest::Args),
    Top(top::Args),
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

impl Command {
    /// Checks what the parser can't.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        match self {
            Self::Prepare(args) => args.check(),
            Self::Run(args) => args.check(),
            Self::Start(args) => args.check(),
            _ => Ok(()),
        }
    }

    /// Returns how the command ends if it fails.
    pub(crate) fn failure(&self) -> Exit {
        match self {
            Self::Run(_) | Self::Enter(_) => Exit::NoPod,
            _ => Exit::Failed,
        }
    }

    /// Runs the command.
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Prepare(args) => prepare::run(args, context),
            Self::Run(args) => run::run(args, context),
            Self::Start(args) => start::run(&args, context),
            Self::Enter(args) => enter::run(&args, context),
            Self::Logs(args) => logs::run(&args, context),
            Self::Image(command) => image::run(command, context),
            Self::Gc(args) => gc::run(&args, context),
            Self::List(args) => list::run(&args, context),
            Self::Status(args) => status::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context),
            Self::CatManifest(args) => cat_manifest::run(&args, context),
            Self::Top(args) => top::run(&args, context),
            Self::Wait(args) => wait::run(&args, context),
            Self::Stop(args) => stop::run(&args, context),
            Self::Kill(args) => kill::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Df(args) => df::run(&args, context),
            Self::Verify(args) => verify::run(&args, context),
        }
    }
}
