// SPDX-License-Identifier: Apache-2.0
//! `installer prepare`: lays out a pod directory and prints its path.

use anyhow::Result;
use prepare::{Inputs, Prepared, Session, Told};
use store::listener::Listener as _;

use super::run::write_uuid;
use crate::context::Context;
use crate::exit::Exit;
use crate::help::examples;
use crate::options::PodOptions;
use crate::ui::Ui;

/// Make a pod directory and print its path
///
/// When the path is printed, in one line, the directory is complete and on disk. After a failure, nothing is left
/// behind.
#[derive(Debug, clap::Args)]
#[command(after_long_help = examples())]
pub(crate) struct Args {
    #[command(flatten)]
    options: PodOptions,
}

impl Args {
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        self.options.check()
    }
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit> {
    Ui.check()?;
    let uuid_file = args.options.uuid_file.clone();
    if let Some(name) = &args.options.name {
        context.in_store(|data_dir| pods::release(data_dir, name).map(|()| Exit::Done))?;
    }
    args.options.network.find()?;
    let told = Told(&Ui);
    let session = Session::new(&told, &context.interrupt);
    let inputs = Inputs::open(&args.options.request(context), &session)?;
    let tell = |pod: &Prepared| {
        write_uuid(uuid_file.as_deref(), pod)?;
        announce(pod)
    };
    prepare::apply(inputs, &context.interrupt, &Ui, tell).map(|_| Exit::Done)
}

fn announce(pod: &Prepared) -> Result<()> {
    let mut line = pod.path.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    Ui.print(&line)?;
    Ui.tell(&format!("layout: {}", pod.layout));
    pod.warnings.iter().for_each(|warning| Ui.warn(warning));
    Ok(())
}
