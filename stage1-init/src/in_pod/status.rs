// SPDX-License-Identifier: Apache-2.0
//! How an app ended: on disk before the pod ends, and in the pod's exit code.
//!
//! systemd tells an `ExecStopPost=` program in its environment (systemd.exec(5), `$SERVICE_RESULT`, `$EXIT_CODE`,
//! `$EXIT_STATUS`). The first app to fail decides the pod's code: it makes [`FAILED`], which is never made twice.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use pod::layout;
use pod::name::AppName;

use crate::failure::report;
use crate::plan;

/// The status is that of the app.
pub(crate) const APP: &str = "app";
/// The status is that of an app that is started again: only its end when asked to stop counts for the pod.
pub(crate) const RESTARTED_APP: &str = "restarted-app";
/// The status is that of the app's pre-start handler, and the app's own where the handler failed.
pub(crate) const PRE_START: &str = "pre-start";

/// The pod's exit code, once an app or the apps' mounts have failed. On the pod's /run: gone with it.
pub(super) const FAILED: &str = "/run/gantry-failed";
/// With an app's name behind it: that app was asked to stop.
const STOPPING: &str = "/run/gantry-stopping-";
/// A process that a signal ended has this and the signal's number as its status.
const SIGNALLED: u8 = 128;

/// How a service ended, as systemd tells it.
#[derive(Debug, PartialEq, Eq)]
struct End {
    code: u8,
    failed: bool,
}

/// Writes the status of an app; fails where the app failed, so that its service does too.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let recorded = (|| {
        let [of, name] = args else { bail!("expected what ended and an app's name") };
        let name = app_name(name)?;
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let asked = fs::exists(format!("{STOPPING}{name}"))?;
        let end = end(&variable("SERVICE_RESULT"), &variable("EXIT_CODE"), &variable("EXIT_STATUS"), asked);
        // A handler that ended well says nothing about the app.
        if of != PRE_START || end.failed {
            record(&name, &end, of != RESTARTED_APP || asked)?;
        }
        Ok(end.failed)
    })();
    finish(recorded.map(u8::from))
}

/// Notes that an app was asked to stop. systemd calls `ExecStop=` for an app that ended by itself as well, but
/// without `$MAINPID` then.
pub(crate) fn mark_stopping(args: &[OsString]) -> ExitCode {
    let marked = (|| {
        let [name] = args else { bail!("expected an app's name") };
        if std::env::var_os("MAINPID").is_some() {
            File::create(format!("{STOPPING}{}", app_name(name)?))?;
        }
        Ok(0)
    })();
    finish(marked)
}

/// Ends with the pod's exit code: of the first app that failed; 1 where an app never came to an end, so that nothing
/// passes for success that was not; else 0.
pub(crate) fn exit_code() -> ExitCode {
    finish(match fs::read_to_string(FAILED) {
        Ok(code) => code.trim().parse().context("the failed app's status is not a number"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => all_ended().map(|all| u8::from(!all)),
        Err(error) => Err(error.into()),
    })
}

/// Whether every app that `/init` linked into the pod has a status.
fn all_ended() -> Result<bool> {
    for unit in fs::read_dir(format!("/{}", plan::WANTS)).context("cannot list the apps")? {
        let unit = unit?.file_name().into_string().unwrap_or_default();
        let app: AppName = plan::app_of(&unit).context("a unit that is no app's")?.parse()?;
        if !fs::exists(format!("/{}", layout::status(&app)))? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn finish(code: Result<u8>) -> ExitCode {
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn app_name(name: &OsString) -> Result<AppName> {
    Ok(name.to_string_lossy().parse()?)
}

/// `asked`: the app was asked to stop, so that SIGTERM is a good end.
fn end(result: &str, code: &str, status: &str, asked: bool) -> End {
    match code {
        "exited" => {
            let code = status.parse().unwrap_or(u8::MAX);
            End { code, failed: code != 0 }
        }
        "killed" | "dumped" => {
            let signal = Signal::from_str(&format!("SIG{status}")).map_or(0, |signal| signal as i32);
            let failed = !(asked && signal == Signal::SIGTERM as i32);
            End { code: SIGNALLED + u8::try_from(signal).unwrap_or(0), failed }
        }
        // It never ran. Where it was to run, systemd could not start it.
        _ => End { code: u8::from(result != "success"), failed: result != "success" },
    }
}

/// Writes an app's status; where it `decides`, its failure is the pod's.
fn record(name: &AppName, end: &End, decides: bool) -> Result<()> {
    let path = format!("/{}", layout::status(name));
    replace(&path, end.code).with_context(|| format!("cannot write {path}"))?;
    if end.failed && decides {
        match File::create_new(FAILED) {
            Ok(mut file) => writeln!(file, "{}", end.code)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A reader finds the whole status or none, and it is on disk.
fn replace(path: &str, code: u8) -> io::Result<()> {
    let new = format!("{path}.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{code}")?;
    file.sync_data()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        for (result, code, status, asked, expected, failed) in [
            ("success", "exited", "0", false, 0, false),
            ("exit-code", "exited", "7", false, 7, true),
            ("success", "killed", "TERM", true, 143, false),
            ("success", "killed", "TERM", false, 143, true),
            ("timeout", "killed", "KILL", true, 137, true),
            ("core-dump", "dumped", "SEGV", false, 139, true),
            ("signal", "killed", "RTMIN+1", false, 128, true),
            ("success", "", "", false, 0, false),
            ("resources", "", "", false, 1, true),
        ] {
            assert_eq!(
                end(result, code, status, asked),
                End { code: expected, failed },
                "{result} {code} {status}"
            );
        }
    }
}
