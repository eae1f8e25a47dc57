// SPDX-License-Identifier: Apache-2.0
//! `installer image`: the commands about images.

mod import;
mod inspect;
mod list;
mod pull;
mod rm;
mod save;
mod tag;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::exit::Exit;

/// Pull, import, list, name, save and remove images in the store
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(import::Args),
    Inspect(inspect::Args),
    List(list::Args),
    Pull(pull::Args),
    Rm(rm::Args),
    Save(save::Args),
    Tag(tag::Args),
}

pub(super) fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Import(args) => import::run(&args, context),
        Command::Inspect(args) => inspect::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::Pull(args) => pull::run(&args, context),
        Command::Rm(args) => rm::run(&args, context),
        Command::Save(args) => save::run(&args, context),
        Command::Tag(args) => tag::run(&args, context),
    }
}
