// SPDX-License-Identifier: Apache-2.0
//! `installer kill`: sends a signal to pods, or to an app of theirs.

use anyhow::{Result, anyhow};
use nix::sys::signal;
use report::Hint as _;
use rustix::process::Signal;

use crate::context::Context;
use crate::exit::Exit;

/// The signals that mean something to a pod's process.
const POD_SIGNALS: [Signal; 7] =
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::KILL, Signal::TSTP, Signal::CONT];

/// Send a signal to pods, or to the first process of an app
///
/// To a pod, TERM, INT, QUIT and HUP are requests to stop in order, KILL ends it at once, TSTP freezes it, and CONT lets
/// it go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pods by UUID, the beginning of one, name, or directory
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// The signal, by name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL", value_parser = parse)]
    signal: Signal,
    /// Send it to the first process of this app
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit> {
    if args.app.is_none() && !POD_SIGNALS.contains(&args.signal) {
        return Err(anyhow!("a pod takes no such signal: expected TERM, INT, QUIT, HUP, KILL, TSTP or CONT"))
            .hint("--app NAME sends it to an app");
    }
    context.on_each(&args.pods, |_, pod| match &args.app {
        Some(app) => {
            pods::wait_for_app(&pod, Some(app), &context.interrupt)?;
            pods::signal_app(&pod, app, args.signal)
        }
        None => pods::signal(&pod, args.signal),
    })
}

fn parse(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let number = text.parse().ok().or_else(|| Some(name.parse::<signal::Signal>().ok()? as i32));
    number.and_then(Signal::from_named_raw).ok_or_else(|| "expected a signal such as TERM or 15".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for term in ["TERM", "SIGTERM", "sigterm", "term", "15"] {
            assert_eq!(parse(term), Ok(Signal::TERM), "{term}");
        }
        for bad in ["", "0", "-1", "99", "TERMINATE", "SIG"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
