// SPDX-License-Identifier: Apache-2.0
//! `installer run`: prepares a pod, or takes a prepared one, and becomes it or starts it in the background.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::error::ErrorKind;
use image::ImageArgument;
use pod::id::PodId;
use pods::Selector;
use prepare::{Inputs, Prepared, Session, Told};
use store::listener::Listener as _;

use super::start::{Start, start};
use crate::context::Context;
use crate::exit::Exit;
use crate::help::examples;
use crate::options::{LogArgs, PodOptions, TerminalArgs, several};
use crate::pod_process::{self, InitOptions};
use crate::remover;
use crate::ui::Ui;

/// Run a pod: a new one made of images, or a prepared one
///
/// This process becomes the pod: it keeps stdin, stdout and stderr, and ends with the pod's exit code. Of its
/// environment, the pod gets only TERM. SIGTERM stops the pod in order. With --detach, the pod runs in the background.
/// With --tty, the app has a terminal of the pod's own, and this process shows it.
///
/// In place of images, a prepared pod may be given: its UUID, the beginning of one, or its directory.
#[derive(Debug, clap::Args)]
#[command(after_long_help = examples())]
pub(crate) struct Args {
    /// Run the pod in the background, and print its UUID once it runs
    #[arg(long, short, help_heading = "Options of the pod")]
    detach: bool,
    #[command(flatten)]
    at_terminal: TerminalArgs,
    #[command(flatten)]
    logs: LogArgs,
    /// Show the messages of systemd-nspawn and systemd
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    options: PodOptions,
}

impl Args {
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        if self.logs.is_given() && !self.detach {
            return Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "--log-driver and --log-opt are for --detach",
            ));
        }
        self.at_terminal.check(self.detach)?;
        if self.at_terminal.needs_name() && self.options.apps.grouped.images.len() > 1 {
            return Err(several());
        }
        self.options.check()
    }
}

pub(super) fn run(args: Args, context: &Context) -> Result<Exit> {
    let how = Start {
        detach: args.detach.then(|| args.logs.options()),
        at_terminal: args.at_terminal,
        init: InitOptions { debug: args.debug, terminal: None },
    };
    if args.detach {
        Ui.check()?;
    }
    let is_removed_at_end = args.options.is_removed_at_end;
    let (path, is_new) = match given(&args.options, context)? {
        Some(pod) => {
            if args.options.has_more() || args.options.apps.has_arguments {
                anyhow::bail!(
                    "{} is a prepared pod: expected no options about how it is made",
                    pod.display()
                );
            }
            (pod, false)
        }
        None => (prepare(args.options, context)?, true),
    };
    Ui.step("starting the pod's init");
    let started = start(&path, &how, context);
    if started.is_err() && is_new && is_removed_at_end {
        // The first error is returned: why it was not started.
        let _ = remover::remove(&path, &context.dir);
    }
    started
}

/// Prepares the pod and returns its directory.
fn prepare(options: PodOptions, context: &Context) -> Result<PathBuf> {
    let (uuid_file, name) = (options.uuid_file.clone(), options.name.clone());
    options.network.find()?;
    let told = Told(&Ui);
    let session = Session::new(&told, &context.interrupt);
    let mut request = options.request(context);
    request.entry.starter = pods::this_process();
    let inputs = Inputs::open(&request, &session)?;
    if let Some(name) = &name {
        context.in_store(|data_dir| pods::release(data_dir, name).map(|()| Exit::Done))?;
    }
    let prepared =
        prepare::apply(inputs, &context.interrupt, &Ui, |pod| write_uuid(uuid_file.as_deref(), pod))?;
    Ok(prepared.path)
}

/// Writes the pod's UUID to a file, if there is to be one.
pub(super) fn write_uuid(file: Option<&Path>, pod: &Prepared) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let id = pod.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shown = || format!("cannot write the pod's UUID to {}", pod::text::escape(&file.to_string_lossy()));
    fs::write(file, id + "\n").with_context(shown)
}

/// Returns the directory of the pod that is given in place of images.
fn given(options: &PodOptions, context: &Context) -> Result<Option<PathBuf>> {
    let Some(ImageArgument::File { path, id: None }) = &options.apps.only_argument else { return Ok(None) };
    let Some(text) = path.to_str() else { return Ok(None) };
    match Selector::parse(text) {
        Selector::Id(_) => Ok(Some(pod_process::find(path, &context.dir))),
        Selector::Directory(_) => Ok(is_pod(path).then(|| path.clone())),
        // A file or an image may be called like the beginning of an id. Names of pods don't count here: `start` takes
        // them.
        Selector::Called(text) if !path.exists() && is_beginning(&text) => {
            let found = context.on_pod(&text, |_, pod| {
                let is_it = pod.id().to_string().starts_with(&text.to_ascii_lowercase());
                Ok(is_it.then(|| pod.path().to_owned()))
            });
            Ok(found.ok().flatten())
        }
        Selector::Called(_) | Selector::Other(_) => Ok(is_pod(path).then(|| path.clone())),
    }
}

/// Tells whether this is a directory as a pod's is: it is called like one, whatever is in it, or has what pods have.
fn is_pod(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_called = name.is_some_and(|name| name.parse::<PodId>().is_ok());
    is_called || path.join(pod::layout::MANIFEST).is_file() && path.join(pod::layout::STAGE1).is_dir()
}

fn is_beginning(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
