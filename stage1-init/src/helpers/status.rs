// SPDX-License-Identifier: Apache-2.0
//! Records how an app ended: on disk before the pod ends, and in the pod's exit code.
//!
//! systemd passes the end of a service to its `ExecStopPost=` program in the environment (systemd.exec(5),
//! `$SERVICE_RESULT`, `$EXIT_CODE`, `$EXIT_STATUS`). The first app to fail decides the pod's code: its status writer
//! creates [`FAILED`], which is created only once.
//!
//! The pod's code is recorded in its [`outcome`](crate::exchange::outcome), in memory, and an app's status in room that was
//! reserved for it ([`statuses`]): neither depends on space that an app can use up.
//!
//! systemd's own result is of no use for this: it is also a failure if systemd had to kill processes that a successful
//! program left behind. So a service that ended well leaves a marker file ([`ended_well`]), which the units look for. So does
//! an app that systemd will start again: no end of it is the pod's.
//!
//! Invariant: only a failed app or a request to the pod's process ends a running pod. So if there is either, an app
//! that SIGTERM ended was asked to end, and an app that never ran was asked to end before it could run. The request may
//! also come right after such an end ([`terminated`]).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail, ensure};
use pod::name::AppName;
use pod::signal::Signal;

use sys::activation;

use super::terminated;
use crate::exchange::outcome::{PODS, REMOVED, is_removed};
use crate::exchange::stdio_message::{receive, withdraw};
use crate::exchange::timing::Marks;
use crate::exchange::{fresh, ready, statuses};
use crate::failure::{Step, report};
use crate::names::{
    BEFORE_APP, FAILED, GOOD_CODES, OF_APP, OF_POST_STOP, OF_PRE_START, OF_RESTARTED_APP, RENEW, Role,
    STOPPED_BY, TERMINATED, TIMED, TO_TELL, WELL, begun, ended_well,
};

/// The status of a process that a signal ended is this plus the signal's number.
const SIGNALLED: u8 = 128;

/// SIGTERM.
const TERM: u8 = 15;

/// The status of an app that systemd could not start; not a code of the app's.
const NOT_STARTED: u8 = 254;

/// How a service ended, as systemd reports it.
#[derive(Debug, PartialEq, Eq)]
struct End {
    code: u8,
    failed: bool,
}

/// The end of an app that is asked to end before it began.
const ASKED_TO_END: End = End { code: statuses::ASKED_TO_END, failed: false };

/// Writes the status of an app. Fails if the app failed, so that its service fails too.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let recorded = (|| {
        let [of, name, more @ ..] = args else { bail!("expected what ended and an app's name") };
        let (timed, more) = timed(more);
        let good = Good::of(more)?;
        let name = app_name(name)?;
        let service = if of == OF_RESTARTED_APP { OF_APP.as_ref() } else { of.as_os_str() };
        let service = format!("{}-{name}", service.display());
        let marks = Marks::of_pod(timed, 0);
        marks.add_of(&service, ": it has ended, and the status writer has begun");
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        if of == BEFORE_APP {
            return Ok(!fs::exists(ended_well(&Role::PreStart.service(&name)))?);
        }
        if of == RENEW {
            return fresh::renew(&name).context("cannot empty what belongs to a run").map(|()| false);
        }
        let asked = stopping()?;
        let how = variable("EXIT_CODE");
        // It was not started again, since its pre-start handler has failed, which is its status.
        if of == OF_RESTARTED_APP && asked && how.is_empty() && statuses::is_there("", &name)? {
            return Ok(false);
        }
        let end = end(&variable("SERVICE_RESULT"), &how, &variable("EXIT_STATUS"), asked, &good);
        if of == OF_POST_STOP {
            fs::remove_dir(format!("/run/{}", begun(&name)))?;
            // The handler, or a process it left behind, has held up the pod's end.
            let late = variable("SERVICE_RESULT") == "timeout";
            if end.failed || late {
                let how = if late { "took too long".to_owned() } else { format!("ended with {}", end.code) };
                let mut told = File::options().create(true).append(true).open(TO_TELL)?;
                writeln!(told, "warning: app {name}: its post-stop handler {how}")?;
            }
            return Ok(false);
        }
        let again = of == OF_RESTARTED_APP && !asked;
        mark(of, &name, again || !end.failed)?;
        // A handler that ended well says nothing about the app.
        if of != OF_PRE_START || end.failed {
            let sign = if variable("EXIT_STATUS") == "TERM" { TERMINATED } else { FAILED };
            record(&name, &end, (!again).then_some(sign))?;
        }
        marks.add_of(&service, ": its end is written down");
        Ok(end.failed)
    })();
    finish(recorded.map(u8::from))
}

/// Leaves the marker file of an end that does not end the pod, or none.
///
/// From systemd 254 on, an app's failure triggers `OnFailure=` also where the app is started again.
///
/// Removes that of the pre-start handler, too: the app's next run needs a pre-start of its own.
fn mark(of: &OsString, name: &AppName, well: bool) -> Result<()> {
    let pre_start = ended_well(&Role::PreStart.service(name));
    let own = if of == OF_PRE_START { pre_start.clone() } else { ended_well(&Role::App.service(name)) };
    for path in [&own, &pre_start] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    if well {
        fs::create_dir_all(WELL)?;
        File::create(own)?;
    }
    Ok(())
}

/// Tells whether the pod is being stopped.
fn stopping() -> io::Result<bool> {
    Ok(fs::exists(FAILED)? || fs::exists(TERMINATED)? || PODS.asked()?.is_some() || PODS.has_failed()?)
}

/// Returns the code of the first app that failed.
fn failure() -> Result<Option<u8>> {
    let first = if terminated::is_failure()? { TERMINATED } else { FAILED };
    match fs::read_to_string(first) {
        Ok(code) => Ok(Some(code.trim().parse().context("the failed app's status is not a number")?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Records the pod's exit code, or why no app decides it, and exits with it.
///
/// Everything else of the pod has ended: the apps, whose statuses are written, and the handlers (`units/`). So `/init` is
/// told once nothing more can be written to the caller's stdio.
pub(crate) fn exit_code(args: &[OsString]) -> ExitCode {
    let marks = Marks::of_pod(timed(args).0, 0);
    marks.add("all has ended, and the recorder of the pod's code has begun");
    // Without the caller's stdio there is nowhere to print the messages.
    let socket = activation::take(0);
    let _ = socket.as_ref().map(receive);
    let _ = File::open(TO_TELL).and_then(|mut told| io::copy(&mut told, &mut io::stderr()));
    let recorded = match conclude() {
        Ok(code) => PODS.decide(code).map(|()| code).context("cannot record the pod's code"),
        // `/init` reports the error.
        Err(error) => PODS.fail(Step::Exec, &error).map(|()| 1).context("cannot record the pod's failure"),
    };
    let is_recorded = recorded.is_ok();
    let code = finish(recorded);
    marks.add("the pod's code is recorded");
    if let Ok(socket) = socket
        && is_recorded
    {
        // If this fails, `/init` waits until nspawn has ended.
        let _ = withdraw(&socket).and_then(|()| ready::tell_end());
    }
    code
}

/// Returns the pod's exit code: that of the first app that failed, else 0. It is an error if all apps succeeded but the
/// status of one is not on disk.
fn conclude() -> Result<u8> {
    let without = complete(stopping()?)?;
    ensure!(!is_removed(""), "{REMOVED}");
    match failure()? {
        Some(code) => {
            without.iter().for_each(|why| report(&anyhow!("{why}")));
            Ok(code)
        }
        None => {
            ensure!(without.is_empty(), "{}", without.join("; "));
            Ok(0)
        }
    }
}

/// Returns why apps have no status, one reason each.
///
/// If the pod is `stopping`, writes the status of an app that was asked to end for each app that never ran.
fn complete(stopping: bool) -> Result<Vec<String>> {
    let mut without = Vec::new();
    for app in PODS.apps()? {
        let has_ended = statuses::is_there("", &app)? || PODS.lost(&app)?.is_some();
        if !has_ended && stopping {
            record(&app, &ASKED_TO_END, None)?;
        } else if !has_ended {
            without.push(format!("app {app} has no status: it did not come to an end"));
        }
        without.extend(PODS.lost(&app)?);
        statuses::tidy("", &app);
    }
    Ok(without)
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

/// Tells whether a helper is to record times, by its last argument, and returns the others.
fn timed(words: &[OsString]) -> (bool, &[OsString]) {
    match words.split_last() {
        Some((last, others)) if last == TIMED => (true, others),
        _ => (false, words),
    }
}

fn app_name(name: &OsString) -> Result<AppName> {
    Ok(name.to_string_lossy().parse()?)
}

/// The good ends of an app, beside the code 0.
#[derive(Debug, PartialEq, Eq)]
struct Good {
    /// The signal that asks it to stop.
    stop_signal: u8,
    codes: Vec<u8>,
}

impl Default for Good {
    fn default() -> Self {
        Self { stop_signal: TERM, codes: Vec::new() }
    }
}

impl Good {
    /// Reads the last words of the command line.
    fn of(words: &[OsString]) -> Result<Self> {
        let mut good = Self::default();
        for word in words {
            let word = word.to_str().context("expected ASCII")?;
            if let Some(signal) = word.strip_prefix(STOPPED_BY) {
                good.stop_signal = signal.parse()?;
            } else if let Some(codes) = word.strip_prefix(GOOD_CODES) {
                good.codes = codes.split(',').map(str::parse).collect::<Result<_, _>>()?;
            } else {
                bail!("expected a signal or codes");
            }
        }
        Ok(good)
    }
}

/// Translates the end that systemd reports. If the app was `asked` to stop, an end by its signal is a good one. So is
/// the code 128+N, with which shells, JVMs and others end then.
fn end(result: &str, code: &str, status: &str, asked: bool, good: &Good) -> End {
    let is_stopped = |signal: u8| asked && [TERM, good.stop_signal].contains(&signal);
    match code {
        "exited" => {
            let code: u8 = status.parse().unwrap_or(u8::MAX);
            let is_good = code == 0 || good.codes.contains(&code);
            End { code, failed: !(is_good || code.checked_sub(SIGNALLED).is_some_and(is_stopped)) }
        }
        "killed" | "dumped" => {
            // The C library's own two signals have a number instead of a name.
            let signal = status.parse().map_or(0, Signal::number);
            let failed = code == "dumped" || !is_stopped(signal);
            End { code: SIGNALLED + signal, failed }
        }
        // It never ran. If the result is not a success, systemd could not start it.
        _ if result == "success" => End { code: 0, failed: false },
        _ => End { code: NOT_STARTED, failed: true },
    }
}

/// Writes an app's status.
///
/// If the app failed and `decides` names a marker file, creates that file: the failure is then the pod's. This does not
/// depend on whether the status can be written.
fn record(name: &AppName, end: &End, decides: Option<&str>) -> Result<()> {
    match statuses::write("", name, end.code)
        .with_context(|| format!("cannot write the status of app {name}"))
    {
        Ok(()) => PODS.forget_lost(name)?,
        Err(error) => PODS.lose(name, &error)?,
    }
    if let Some(sign) = decides.filter(|_| end.failed) {
        match File::create_new(sign) {
            Ok(mut file) => writeln!(file, "{}", end.code)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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
            ("signal", "killed", "RTMIN+0", false, 162, true),
            ("signal", "killed", "RTMIN+6", false, 168, true),
            ("core-dump", "dumped", "RTMIN+30", true, 192, true),
            ("signal", "killed", "33", false, 161, true),
            ("exit-code", "exited", "143", true, 143, false),
            ("exit-code", "exited", "143", false, 143, true),
            ("exit-code", "exited", "142", true, 142, true),
            ("success", "", "", false, 0, false),
            ("resources", "", "", false, NOT_STARTED, true),
        ] {
            assert_eq!(
                end(result, code, status, asked, &Good::default()),
                End { code: expected, failed },
                "{result} {code} {status}"
            );
        }
        let words = |all: &[&str]| Good::of(&all.iter().map(OsString::from).collect::<Vec<_>>());
        let good = words(&["stop=3", "good=3,17"]).unwrap();
        assert_eq!(good, Good { stop_signal: 3, codes: vec![3, 17] });
        for (code, status, asked, failed) in [
            ("exited", "3", false, false),
            ("exited", "17", true, false),
            ("exited", "131", true, false),
            ("exited", "131", false, true),
            ("killed", "QUIT", true, false),
            ("killed", "QUIT", false, true),
            ("dumped", "QUIT", false, true),
        ] {
            assert_eq!(end("", code, status, asked, &good).failed, failed, "{code} {status}");
        }
        assert_eq!(words(&[]).unwrap(), Good::default());
        assert!(words(&["x"]).is_err() && words(&["stop=x"]).is_err());
    }
}
