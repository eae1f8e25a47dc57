// SPDX-License-Identifier: Apache-2.0
//! `installer start`: starts pods that are there, prepared or exited, in the background or as this process.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::error::ErrorKind;
use nix::sys::signal::{SigSet, Signal};
use pod::logs::OF_POD;
use pods::logs::{LogOptions, Reader, Wanted};
use pods::{Begun, Ending, Pod, Process, Run, State};
use report::Hint as _;
use store::listener::Listener as _;

use super::named::removed;
use crate::context::Context;
use crate::exit::Exit;
use crate::options::{LogArgs, TerminalArgs};
use crate::pod_process::{self, InitOptions};
use crate::ui::Ui;
use crate::{attached, detached};

/// How often a log writer that is about to end is looked at.
const STEP: Duration = Duration::from_millis(2);
/// How many lines of a pod that could not be started are shown.
const LINES: usize = 5;

/// Start pods again that have ended, or that were never started
///
/// They run in the background, and their UUIDs are printed once they run. With --attach, this process becomes the pod.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods by UUID, the beginning of one, name, or directory
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// Become the pod: it keeps stdin, stdout and stderr, and this process ends with its exit code
    #[arg(long, short)]
    attach: bool,
    #[command(flatten)]
    at_terminal: TerminalArgs,
    #[command(flatten)]
    logs: LogArgs,
    /// Show the messages of systemd-nspawn and systemd
    #[arg(long)]
    debug: bool,
}

impl Args {
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        if self.attach && (self.pods.len() > 1 || self.logs.is_given()) {
            return Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "--attach takes one pod, and no options of logs",
            ));
        }
        self.at_terminal.check(!self.attach)
    }
}

/// How a pod is started.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// How it is logged, if it runs in the background.
    pub(super) detach: Option<LogOptions>,
    /// Whether an app has a terminal.
    pub(super) at_terminal: TerminalArgs,
    pub(super) init: InitOptions,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    let detach = if args.attach { None } else { Some(args.logs.options()) };
    let init = InitOptions { debug: args.debug, terminal: None };
    let how = Start { detach, at_terminal: args.at_terminal.clone(), init };
    if args.attach {
        let path = context.on_pod(&args.pods[0], |_, pod| Ok(pod.path().to_owned()))?;
        return start(&path, &how, context);
    }
    Ui.check()?;
    context.on_each(&args.pods, |_, pod| start(pod.path(), &how, context).map(drop))
}

/// Starts the pod in this directory. Returns if it runs in the background.
pub(super) fn start(path: &Path, how: &Start, context: &Context) -> Result<Exit> {
    if let Some(app) = &how.at_terminal.tty {
        return at_terminal(path, app, how, context);
    }
    let Some(options) = &how.detach else {
        // A signal from here on stays pending until `/init` takes it as a request to stop.
        let requests = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        requests.thread_block().context("cannot hold signals back")?;
        context.interrupt.check()?;
        let never: Infallible = pod_process::exec(path, &how.init)?;
        match never {}
    };
    let named = path.to_str().context("its path is no text: expected UTF-8")?;
    context.on_pod(named, |_, pod| {
        let begun = detach(&pod, &how.init, options, context);
        // If the pod was removed, that is the cause of any other failure.
        begun.map_err(|error| if pod.is_there() { error } else { removed(&pod) })?;
        Ui.print(format!("{}\n", pod.id()).as_bytes())
    })?;
    Ok(Exit::Done)
}

/// Runs the pod in this directory with a terminal for an app, the only one if it has no name.
fn at_terminal(path: &Path, app: &str, how: &Start, context: &Context) -> Result<Exit> {
    let named = path.to_str().context("its path is no text: expected UTF-8")?;
    let app =
        context.on_pod(named, |_, pod| pods::app_called(&pod, Some(app).filter(|app| !app.is_empty())))?;
    context.interrupt.check()?;
    let is_typed = how.at_terminal.interactive;
    if is_typed && !std::io::stdin().is_terminal() {
        Ui.warn("stdin is no terminal: what it has is typed at the app's terminal");
    }
    attached::run_pod(path, app.as_str(), how.init.debug, is_typed)
}

/// Starts a pod in the background, and waits until it runs.
fn detach(pod: &Pod, init: &InitOptions, options: &LogOptions, context: &Context) -> Result<()> {
    let refused = |state: State| {
        let program = report::program();
        Err(anyhow!("pod {} is {state}: expected it to have ended", pod.id()))
            .hint(format!("{program} stop {} stops it", pod.id()))
    };
    let state = pods::look(pod)?.state;
    if state.is_alive() {
        return refused(state);
    }
    let before = pods::runs(pod)?;
    let logging = match pods::logs::start(pod, options, &context.interrupt)? {
        Ok(logging) => logging,
        Err(state) => return refused(state),
    };
    let mut child = detached::start(pod.path(), init, logging)?;
    let process = Process::of_family(child.id())?;
    let begun = pods::wait_for_begin(pod, before, &process, &context.interrupt);
    // The run was short, and the pod is removed by now, with everything that could be looked at.
    let is_gone = !matches!(begun, Ok(Begun::Runs)) && !pod.is_there();
    if is_gone && child.wait()?.code().is_some_and(|code| code != i32::from(Exit::NoPod.code())) {
        return Ok(());
    }
    match begun? {
        Begun::Runs => Ok(()),
        Begun::Ended(run) => match run.as_ref().and_then(Run::ending) {
            // It was short.
            Some(Ending::Code(_)) => Ok(()),
            _ => Err(anyhow!("pod {} does not run: {}", pod.id(), messages(pod, context)?)),
        },
    }
}

/// Returns the last messages of a pod that has ended.
fn messages(pod: &Pod, context: &Context) -> Result<String> {
    let file = pod::logs::file_of(OF_POD).context("the pod has a log")?;
    let mut reader = Reader::open(pod, vec![Wanted { file, name: OF_POD.into() }])?;
    while reader.is_written()? {
        context.interrupt.check()?;
        std::thread::sleep(STEP);
    }
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line()? {
        lines.push(String::from_utf8_lossy(&line.text).into_owned());
    }
    lines.drain(..lines.len().saturating_sub(LINES));
    let plain = lines.iter().map(|line| line.strip_prefix("error: ").unwrap_or(line));
    let text = plain.collect::<Vec<_>>().join("; ");
    Ok(if text.is_empty() { "its process has ended without a word".into() } else { text })
}
