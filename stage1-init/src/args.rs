// SPDX-License-Identifier: Apache-2.0
//! `/init`'s command line.
//!
//! It has so few words that an argument parser isn't worth its size in every stage1.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::plan::{Options, Terminal};

/// The text of `/init --help`.
pub(crate) const HELP: &str = "\
Runs the pod in the current directory, which `installer prepare` made.

Usage: cd POD && ./stage1/init [debug | --dry-run] [--timing] [--failure-code=N] [--terminal=APP]

  --dry-run          print what would be written, mounted and executed, and do none of it
  --timing           print on stderr, at the end, how long each step took
  debug              show what nspawn and systemd say, on stderr
  --failure-code=N   exit with N (1 to 255) instead of 1 to 5 when the pod can't be started
  --terminal=APP     give this app a terminal; its other side goes to the socket that is stdin
  --help             this text

Exit codes: the pod's, once it runs. Before: 1 its manifests can't be loaded, 2 its units
can't be written, 3 its ids, network, namespace, mounts or cgroup can't be had, 4 stage1 is
incomplete, 5 nspawn can't be executed.
";

/// The options that `/init` was called with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) help: bool,
    /// Print what would be done, and do none of it.
    pub(crate) dry_run: bool,
    /// The caller's other wishes.
    pub(crate) options: Options,
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: &[OsString]) -> Result<Args> {
    let mut args = Args::default();
    for word in words {
        let text = word.to_string_lossy();
        match text.as_ref() {
            "debug" => args.options.debug = true,
            "--dry-run" => args.dry_run = true,
            "--timing" => args.options.timing = true,
            "--help" | "-h" => args.help = true,
            _ => {
                let code = text.strip_prefix("--failure-code=").map(str::parse);
                let app = text.strip_prefix("--terminal=").map(str::parse);
                match (code, app) {
                    (Some(Ok(code @ 1..)), _) => args.options.failure_code = Some(code),
                    (_, Some(Ok(app))) => args.options.terminal = Some(Terminal { app, kind: None }),
                    _ => bail!(
                        "unknown argument {}: expected debug, --dry-run, --timing, --failure-code=1 to 255, --terminal=APP or --help",
                        pod::text::escape(&text)
                    ),
                }
            }
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let parse = |words: &[&str]| parse(&words.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(parse(&[]).unwrap(), Args::default());
        let all = parse(&["debug", "--timing", "--failure-code=254"]).unwrap();
        assert_eq!(
            all,
            Args {
                options: Options { debug: true, timing: true, failure_code: Some(254), ..Options::default() },
                ..Args::default()
            }
        );
        let terminal = parse(&["--terminal=web"]).unwrap().options.terminal;
        assert_eq!(terminal, Some(Terminal { app: "web".parse().unwrap(), kind: None }));
        assert!(parse(&["--dry-run"]).unwrap().dry_run);
        for bad in [
            "--failure-code=0",
            "--failure-code=256",
            "--failure-code",
            "--debug",
            "",
            "--terminal",
            "--terminal=",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
