// SPDX-License-Identifier: Apache-2.0
//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use pod::digest::Digest;
use pod::layout;
use pod::text::one_line;

use crate::input::{ImageArgument, VolumeArgument};
use crate::interrupt::Interrupt;
use crate::prepare::{Request, prepare, require_root};
use crate::run;

const EXAMPLES: &str = "\
Examples:
  installer run --image hello.aci
  installer run --image web.aci --image redis.aci --volume data,kind=host,source=/srv/data
  cd \"$(installer prepare --image redis.aci@sha256-HEX)\" && ./stage1/init

An image is a tar (plain, gzip, bzip2, xz or zstd) with a file \"manifest\" and a directory \"rootfs\".

Exit codes:
  prepare  0 done, 1 failed and nothing left, 2 wrong usage
  run      the pod's: 0, or that of the first app that failed; 254 Gantry failed, 2 wrong usage";

/// Prepares and runs pods: several app images, supervised together by systemd, on any Linux host.
#[derive(Debug, Parser)]
#[command(name = "installer", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    /// Where pods are kept
    #[arg(long, value_name = "DIR", env = "GANTRY_DIR", hide_env_values = true, default_value = layout::DEFAULT_DIR)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify and unpack images and stage1, and print the pod's directory
    Prepare {
        #[command(flatten)]
        what: What,
    },
    /// Run a pod, prepared before or now
    Run {
        /// A pod that is prepared: its id or its directory
        #[arg(value_name = "POD", conflicts_with_all = ["image", "volume", "pod_manifest", "stage1_sha256"])]
        pod: Option<PathBuf>,
        /// Show what nspawn and systemd say, on stderr
        #[arg(long)]
        debug: bool,
        #[command(flatten)]
        what: What,
    },
}

/// What a pod is made of.
#[derive(Debug, Args)]
struct What {
    /// An app's image; with a digest, that of its uncompressed tar
    #[arg(long, value_name = "FILE[@sha256-HEX]",
          value_parser = OsStringValueParser::new().try_map(|text: OsString| ImageArgument::parse(&text)))]
    image: Vec<ImageArgument>,
    /// A file or directory of the host's, for the apps' mount points of this name
    #[arg(long, value_name = "NAME,kind=host,source=/PATH[,readOnly=true]", value_parser = VolumeArgument::parse)]
    volume: Vec<VolumeArgument>,
    /// The stage1 tarball [default: ../lib/gantry/stage1.tar.xz beside this program]
    #[arg(long, value_name = "FILE", env = "GANTRY_STAGE1", hide_env_values = true)]
    stage1: Option<PathBuf>,
    /// The tarball's sha256 [default: what FILE.sha256 says]
    #[arg(long, value_name = "HEX", value_parser = Digest::from_hex)]
    stage1_sha256: Option<Digest>,
    /// A pod manifest (appc 0.8) in place of a generated one; its images have to be given
    #[arg(long, value_name = "FILE")]
    pod_manifest: Option<PathBuf>,
}

/// The program.
pub fn main() -> ExitCode {
    let Arguments { dir, command } = Arguments::parse();
    if let Command::Prepare { what } | Command::Run { pod: None, what, .. } = &command
        && what.image.is_empty()
    {
        let missing = "an image or, for run, a pod is required: --image FILE[@sha256-HEX]";
        Arguments::command().error(ErrorKind::MissingRequiredArgument, missing).exit();
    }
    let (result, failure) = match command {
        Command::Prepare { what } => (with_interrupt(|interrupt| print(dir, what, interrupt)), 1),
        Command::Run { pod: Some(pod), debug, .. } => (start(&dir, &pod, debug), run::FAILURE),
        Command::Run { pod: None, debug, what } => {
            let prepared =
                with_interrupt(|interrupt| prepare(&request(dir, what), interrupt).map(Outcome::Prepared));
            (prepared.and_then(|outcome| outcome.run(debug)), run::FAILURE)
        }
    };
    match result {
        Ok(Outcome::Interrupted(code)) => ExitCode::from(code),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&format!("{error:#}")));
            ExitCode::from(failure)
        }
    }
}

/// How a command ended that did not fail.
enum Outcome {
    Done,
    Prepared(PathBuf),
    Interrupted(u8),
}

impl Outcome {
    fn run(self, debug: bool) -> Result<Self> {
        match self {
            Self::Prepared(pod) => run::exec(&pod, debug).map(|never| match never {}),
            other => Ok(other),
        }
    }
}

fn with_interrupt(work: impl FnOnce(&Interrupt) -> Result<Outcome>) -> Result<Outcome> {
    let interrupt = Interrupt::watch().context("cannot watch for signals")?;
    let result = work(&interrupt);
    match interrupt.check() {
        Err(interrupted) if result.is_err() => {
            eprintln!("error: {interrupted}");
            Ok(Outcome::Interrupted(interrupted.code()))
        }
        _ => result,
    }
}

fn print(dir: PathBuf, what: What, interrupt: &Interrupt) -> Result<Outcome> {
    let pod = prepare(&request(dir, what), interrupt)?;
    let mut line = pod.into_os_string();
    line.push("\n");
    let written = std::io::Write::write_all(&mut std::io::stdout(), line.as_encoded_bytes());
    written.context("cannot print the pod's directory")?;
    Ok(Outcome::Done)
}

fn start(dir: &Path, pod: &Path, debug: bool) -> Result<Outcome> {
    require_root()?;
    run::exec(&run::find(dir, pod)?, debug).map(|never| match never {})
}

fn request(directory: PathBuf, what: What) -> Request {
    let What { image, volume, stage1, stage1_sha256, pod_manifest } = what;
    Request { directory, images: image, volumes: volume, stage1, stage1_digest: stage1_sha256, pod_manifest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
