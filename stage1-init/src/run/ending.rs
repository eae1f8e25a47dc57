// SPDX-License-Identifier: Apache-2.0
//! The pod's end, as its process sees it: the exit code that the pod has recorded, or the reason why there is none.

use std::io::{PipeReader, Read as _, Write as _};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::Signal;
use rustix::process::WaitStatus;
use sys::users::acting_as;

use crate::exchange::outcome::{OURS, REMOVED, is_removed};
use crate::exchange::statuses;
use crate::failure::{At, Failure, Step};
use crate::names::POD;
use crate::run::limits;

/// Records the end of a pod that was asked to stop before anything ran in it.
///
/// Each app gets the status of one that was asked to end before it could begin, and the pod's code is 0. If an app may
/// have started, there is nothing to do. The host's user `root` is root in the pod, whose the statuses are.
pub(crate) fn none_began(root: u32) -> Result<()> {
    if OURS.has_begun()? {
        return Ok(());
    }
    let apps = OURS.apps()?;
    acting_as(root, || {
        apps.iter().try_for_each(|app| {
            let written = statuses::write(POD, app, statuses::ASKED_TO_END);
            written.with_context(|| format!("cannot write the status of app {app}"))?;
            statuses::tidy(POD, app);
            anyhow::Ok(())
        })
    })??;
    ensure!(!is_removed(POD), "{REMOVED}");
    OURS.decide(0).context("cannot record the pod's code")
}

/// Returns the exit code that the pod has recorded.
///
/// Without one, fails with how `ended` ended and what nspawn `said`. `ended` is `None` if the pod has said that its end is
/// recorded.
pub(crate) fn conclude(
    ended: Option<(&'static str, WaitStatus)>,
    mut said: PipeReader,
) -> Result<u8, Failure> {
    let mut text = Vec::new();
    // Reads only what is there now: processes of the pod may still have the other end open.
    let _ = said.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    if let Some(code) = OURS.read()? {
        let _ = std::io::stderr().write_all(text.as_bytes());
        return Ok(code);
    }
    let (name, ended) = ended.map_or(("the pod", None), |(name, ended)| (name, Some(ended)));
    let code = ended.and_then(WaitStatus::exit_status);
    let ended = match (code, ended.and_then(WaitStatus::terminating_signal)) {
        (Some(code), _) => format!("exited with {code}"),
        (_, Some(signal)) => format!("was ended by {}", signal_name(signal)),
        _ => "ended".into(),
    };
    let reason = if is_removed(POD) { Some(REMOVED.into()) } else { limits::reason(code) };
    let reasons = text.lines().map(str::to_owned).chain(reason);
    let reasons: String = reasons.map(|reason| format!(": {reason}")).collect();
    Err(anyhow!("{name} {ended} before the pod had a code{reasons}")).at(Step::Exec)
}

fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}
