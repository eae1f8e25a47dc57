// SPDX-License-Identifier: Apache-2.0
//! `installer image`: the commands about images.

mod import;
mod list;
mod rm;

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::exit::Exit;

/// Import, list and remove images in the store
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(import::Args),
    List(list::Args),
    Rm(rm::Args),
}

pub(super) fn run(command: Command, context: &Context) -> Result<Exit> {
    match command {
        Command::Import(args) => import::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::Rm(args) => rm::run(&args, context),
    }
}
