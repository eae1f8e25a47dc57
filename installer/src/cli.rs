// SPDX-License-Identifier: Apache-2.0
//! The command line: arguments in, a path on stdout, messages on stderr, and an exit code out.
//!
//! `prepare`: 0 prepared, 1 failed, 2 wrong usage. `run`: the pod's code, 254 where Gantry fails, 2 wrong usage.
//! Either: 128 and the signal's number where one ended it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use pod::digest::Digest;
use pod::layout;

use crate::interrupt::Interrupt;
use crate::prepare::{self, Plan};
use crate::report::{self, Hint as _};
use crate::request::{ImageArgument, Request, VolumeArgument};
use crate::run;
use crate::worker;

const EXAMPLES: &str = "\
Examples:
  installer run --image hello.aci
      prepare a pod of one image, and become it

  cd \"$(installer prepare --image hello.aci)\" && ./stage1/init
      the same in two steps

  installer run --image web.aci --image redis.aci@sha256-9f86d0… \\
      --volume data,kind=host,source=/srv/data,readOnly=true
      two apps in one pod; the second image must have this digest

Environment:
  GANTRY_DIR     where pods are kept, unless --dir says [default: /var/lib/gantry]
  GANTRY_STAGE1  stage1's file, unless --stage1 says

Exit codes:
  prepare  0 prepared, 1 failed (nothing is left behind), 2 wrong usage
  run      the pod's; 254 where Gantry itself failed, 2 wrong usage
  both     130 or 143 when interrupted by SIGINT or SIGTERM before a pod runs";

/// Runs app images as pods.
///
/// A pod is one or more app images, supervised together by systemd inside systemd-nspawn. `prepare` verifies and
/// unpacks images and stage1 (which has that systemd) into a pod directory; `run` does that and becomes the pod.
/// Nothing of the host's userland is used. Needs root.
#[derive(Debug, Parser)]
#[command(name = "installer", version, after_long_help = EXAMPLES, subcommand_required = true)]
struct Arguments {
    /// Where pods are kept [default: $GANTRY_DIR or /var/lib/gantry]
    ///
    /// Pod directories are in DIR/containers. DIR is created, for root alone, where it is missing.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lay out a pod directory and print its path
    ///
    /// The directory is complete and on disk when its path, one line, is printed. Where anything fails, nothing is
    /// left behind.
    #[command(after_long_help = EXAMPLES)]
    Prepare {
        #[command(flatten)]
        options: PodOptions,
    },
    /// Run a pod: a prepared one, or one of these images
    ///
    /// This process becomes the pod: it keeps stdin, stdout and stderr, passes on no environment but TERM, and ends
    /// with the pod's exit code. SIGTERM stops the pod in order.
    #[command(after_long_help = EXAMPLES)]
    Run {
        /// A pod directory, or the UUID of a pod in DIR
        #[arg(
            value_name = "POD",
            conflicts_with_all = ["images", "volumes", "stage1", "stage1_sha256", "pod_manifest"]
        )]
        pod: Option<PathBuf>,
        #[command(flatten)]
        options: PodOptions,
        /// Show what nspawn and systemd say
        #[arg(long)]
        debug: bool,
    },
}

#[derive(Debug, Args)]
struct PodOptions {
    /// An app image; once for each app
    ///
    /// A tar, plain or compressed with gzip, bzip2, xz or zstd, of a file `manifest` and a directory `rootfs`.
    /// DIGEST, sha256-HEX or sha512-HEX, is what its uncompressed tar must hash to.
    #[arg(
        long = "image",
        value_name = "FILE[@DIGEST]",
        value_parser = OsStringValueParser::new().try_map(|argument: OsString| ImageArgument::parse(&argument))
    )]
    images: Vec<ImageArgument>,
    /// What is mounted at the apps' mount points called NAME
    ///
    /// A file or directory of the host, as in `data,kind=host,source=/srv/data`: with what is mounted below it, unless
    /// `,recursive=false`. Or a directory of the pod's own, as in `tmp,kind=empty,mode=1777,uid=0,gid=0` (root's and
    /// 0755 where nothing is said). With `,readOnly=true` apps can't write to it.
    #[arg(
        long = "volume",
        value_name = "NAME,kind=host,source=PATH|NAME,kind=empty[,FIELD=VALUE…]",
        value_parser = VolumeArgument::parse
    )]
    volumes: Vec<VolumeArgument>,
    /// Stage1's tarball [default: $GANTRY_STAGE1 or ../lib/gantry/stage1.tar.xz beside this program]
    ///
    /// Its sha256 is checked before anything of it is unpacked: against FILE.sha256 beside it, in sha256sum's
    /// format, or against --stage1-sha256.
    #[arg(long, value_name = "FILE")]
    stage1: Option<PathBuf>,
    /// The sha256 of stage1's tarball, in place of FILE.sha256
    #[arg(long, value_name = "HEX", value_parser = Digest::from_hex)]
    stage1_sha256: Option<Digest>,
    /// An appc PodManifest, in place of one made from the images
    ///
    /// It names apps, images (by the digests of those given with --image) and volumes, and is stored as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "volumes")]
    pod_manifest: Option<PathBuf>,
}

/// What is to be done, all arguments understood.
enum Task {
    Prepare(Request),
    PrepareAndRun(Request, bool),
    Run(PathBuf, bool),
}

/// The program. Called by a name of its own, it is the [worker].
pub fn main() -> ExitCode {
    if let Some(code) = worker::main() {
        return code;
    }
    match Arguments::try_parse().and_then(task) {
        Ok(task) => execute(&task),
        Err(error) => usage(&error),
    }
}

fn task(arguments: Arguments) -> Result<Task, clap::Error> {
    let dir = directory(arguments.dir)?;
    match arguments.command {
        Command::Prepare { options } => Ok(Task::Prepare(request(dir, options)?)),
        Command::Run { pod: Some(pod), debug, .. } => Ok(Task::Run(run::find(&pod, &dir), debug)),
        Command::Run { pod: None, options, debug } => Ok(Task::PrepareAndRun(request(dir, options)?, debug)),
    }
}

fn request(dir: PathBuf, options: PodOptions) -> Result<Request, clap::Error> {
    let PodOptions { images, volumes, stage1, stage1_sha256, pod_manifest } = options;
    if images.is_empty() {
        return Err(invalid(ErrorKind::MissingRequiredArgument, "expected --image FILE, once or more"));
    }
    let stage1 = stage1.or_else(|| environment("GANTRY_STAGE1"));
    Ok(Request { dir, images, volumes, stage1, stage1_digest: stage1_sha256, pod_manifest })
}

/// DIR as an absolute path that makes one line.
fn directory(given: Option<PathBuf>) -> Result<PathBuf, clap::Error> {
    let dir = given.or_else(|| environment("GANTRY_DIR")).unwrap_or_else(|| layout::DEFAULT_DIR.into());
    match std::path::absolute(&dir) {
        Ok(dir) if !dir.as_os_str().as_encoded_bytes().contains(&b'\n') => Ok(dir),
        _ => Err(invalid(ErrorKind::ValueValidation, "invalid --dir: expected a path without newlines")),
    }
}

fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn invalid(kind: ErrorKind, expected: &str) -> clap::Error {
    Arguments::command().error(kind, expected)
}

/// Prints help, or what was not understood.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let text = error.render().to_string();
    let lines: Vec<_> = text.trim_end().split('\n').map(pod::text::one_line).collect();
    eprintln!("{}", lines.join("\n"));
    ExitCode::from(2)
}

fn execute(task: &Task) -> ExitCode {
    let failure = if matches!(task, Task::Prepare(_)) { 1 } else { run::FAILURE };
    let mut interrupt = Interrupt::default();
    match try_execute(task, &mut interrupt) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match interrupt.signal() {
            Some(signal) => {
                eprintln!("interrupted");
                ExitCode::from(128 + signal)
            }
            None => {
                eprintln!("{}", report::line(&error));
                ExitCode::from(failure)
            }
        },
    }
}

fn try_execute(task: &Task, interrupt: &mut Interrupt) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(anyhow::anyhow!("not root: expected to run as root")).hint("sudo, or a root shell");
    }
    *interrupt = Interrupt::watch().context("cannot watch for signals")?;
    match task {
        Task::Prepare(request) => prepare::apply(Plan::open(request)?, interrupt, print).map(drop),
        Task::PrepareAndRun(request, debug) => {
            let pod = prepare::apply(Plan::open(request)?, interrupt, |_| Ok(()))?;
            start(&pod, *debug, interrupt)
        }
        Task::Run(pod, debug) => start(pod, *debug, interrupt),
    }
}

fn start(pod: &Path, debug: bool, interrupt: &Interrupt) -> Result<()> {
    interrupt.check()?;
    let never: Infallible = run::exec(pod, debug)?;
    match never {}
}

fn print(pod: &Path) -> Result<()> {
    let mut line = pod.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).context("cannot write to stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn usage_table() {
        let parse = |words: &[&str]| {
            let words = std::iter::once("installer").chain(words.iter().copied());
            Arguments::try_parse_from(words).and_then(task)
        };
        for good in [
            &["prepare", "--image", "a"][..],
            &["--dir", "d", "run", "--image", "a", "--image", "b", "--debug"],
            &["run", "pod", "--dir", "d"],
            &["prepare", "--image", "a", "--pod-manifest", "m"],
            &["prepare", "--image", "a", "--volume", "v,kind=host,source=/"],
        ] {
            assert!(parse(good).is_ok(), "{good:?}");
        }
        for bad in [
            &[][..],
            &["prepare"],
            &["run"],
            &["run", "pod", "--image", "a"],
            &["run", "pod", "--stage1", "a"],
            &["prepare", "--image", "a", "--pod-manifest", "m", "--volume", "v,kind=host,source=/"],
            &["prepare", "--image", "a", "--stage1-sha256", "x"],
            &["prepare", "--image", "a@sha256-x"],
            &["prepare", "--image", "a", "--dir", "a\nb"],
            &["prepare", "--image", "a", "b"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
