// SPDX-License-Identifier: Apache-2.0
//! `installer run`: prepares a pod, or takes a prepared one, and becomes it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use pods::Selector;
use prepare::Inputs;

use crate::context::Context;
use crate::exit::Exit;
use crate::help::examples;
use crate::options::PodOptions;
use crate::pod_process::{self, InitOptions};
use crate::ui::Ui;

/// Run a pod: a prepared one, or a new one made of images
///
/// This process becomes the pod: it keeps stdin, stdout and stderr, and ends with the pod's exit code. Of its
/// environment, the pod gets TERM alone. SIGTERM stops the pod in order.
#[derive(Debug, clap::Args)]
#[command(after_long_help = examples())]
pub(crate) struct Args {
    /// A pod directory, or the UUID of a pod in DIR, or the beginning of one
    #[arg(
        value_name = "POD",
        conflicts_with_all = ["images", "volumes", "stage1", "stage1_sha256", "pod_manifest", "layout"]
    )]
    pod: Option<PathBuf>,
    /// Show the messages of systemd-nspawn and systemd
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    options: PodOptions,
}

impl Args {
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        match self.pod {
            Some(_) => Ok(()),
            None => self.options.check(),
        }
    }
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit> {
    let pod = match args.pod {
        Some(pod) => find(&pod, context)?,
        None => {
            let inputs = Inputs::open(&args.options.request(context.dir.clone()), &context.interrupt)?;
            prepare::apply(inputs, &context.interrupt, &Ui, |_| Ok(()))?.path
        }
    };
    // A signal from here on stays pending until `/init` takes it as a request to stop.
    let requests = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    requests.thread_block().context("cannot hold signals back")?;
    context.interrupt.check()?;
    let never: Infallible = pod_process::exec(&pod, &InitOptions { debug: args.debug })?;
    match never {}
}

/// Returns the directory of the pod that a command line names.
fn find(pod: &Path, context: &Context) -> Result<PathBuf> {
    match pod.to_str().map(|name| (name, Selector::parse(name))) {
        // A directory may be called like the beginning of an id.
        Some((name, Selector::Prefix(_))) if !pod.exists() => {
            context.on_pod(name, |_, pod| Ok(pod.path().to_owned()))
        }
        _ => Ok(pod_process::find(pod, &context.dir)),
    }
}
