// SPDX-License-Identifier: Apache-2.0
//! Becomes an app's program. systemd has already set its root, user, groups and capabilities.
//!
//! Command line: `APP DIRECTORY [NAME=VALUE]... -- PROGRAM [ARGUMENT]...`. The environment is exactly what is given
//! here: whatever systemd adds to a service's own is not the app's.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::unistd::{chdir, execve};

use crate::failure::report;
use crate::{stdio, sys};

/// What a shell exits with where a program is not to be found (POSIX, Shell Command Language, 2.8.2).
const NOT_FOUND: u8 = 127;
/// Likewise where it is there and can't be run.
const NOT_RUNNABLE: u8 = 126;

struct Launch {
    app: CString,
    directory: CString,
    environment: Vec<CString>,
    words: Vec<CString>,
}

/// Becomes the app, or says why not, on its stderr, and returns.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    // Without the caller's stdio there is nobody to tell.
    if sys::take_listen_fd().map_err(Into::into).and_then(|socket| stdio::receive(&socket)).is_err() {
        return ExitCode::from(NOT_RUNNABLE);
    }
    match parse(args).and_then(|launch| become_app(&launch)) {
        Ok(never) => match never {},
        Err(error) => {
            report(&error);
            let missing = matches!(error.downcast_ref(), Some(Errno::ENOENT));
            ExitCode::from(if missing { NOT_FOUND } else { NOT_RUNNABLE })
        }
    }
}

fn parse(args: Vec<OsString>) -> Result<Launch> {
    let mut args = args.into_iter().map(|arg| CString::new(arg.into_vec()).expect("an argument has no NUL"));
    let mut next = || args.next().context("the launcher's command line is cut short");
    let (app, directory) = (next()?, next()?);
    let mut environment = Vec::new();
    loop {
        match next()? {
            word if word.as_bytes() == b"--" => break,
            word => environment.push(word),
        }
    }
    let words: Vec<_> = args.collect();
    ensure!(!words.is_empty(), "the launcher's command line is cut short");
    Ok(Launch { app, directory, environment, words })
}

fn become_app(launch: &Launch) -> Result<std::convert::Infallible> {
    let app = || format!("app {}", launch.app.to_string_lossy());
    let shown = |text: &CString| pod::text::escape_bytes(text.as_bytes());
    chdir(launch.directory.as_c_str()).with_context(|| {
        format!("{}: cannot enter its working directory {}", app(), shown(&launch.directory))
    })?;
    let mut first_error = Errno::ENOENT;
    for program in candidates(launch) {
        let Err(error) = execve(&program, &launch.words, &launch.environment);
        // As execvp(3): go on where nothing is there, remember what is there and can't be run.
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => first_error = error,
            _ => {
                first_error = error;
                break;
            }
        }
    }
    bail!(anyhow::Error::new(first_error).context(format!(
        "{}: cannot run {}",
        app(),
        shown(&launch.words[0])
    )))
}

/// The paths to try: the program itself where it is one, else that name in every directory of the app's PATH.
fn candidates(launch: &Launch) -> Vec<CString> {
    let program = &launch.words[0];
    if program.as_bytes().contains(&b'/') {
        return vec![program.clone()];
    }
    let path = launch
        .environment
        .iter()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or_default();
    path.split(|byte| *byte == b':')
        .filter(|directory| directory.starts_with(b"/"))
        .map(|directory| [directory, b"/", program.as_bytes()].concat())
        .map(|path| CString::new(path).expect("its parts have no NUL"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(words: &[&str]) -> Result<Launch> {
        parse(words.iter().map(Into::into).collect())
    }

    #[test]
    fn programs_are_looked_up_in_the_apps_path() {
        let found = candidates(&launch(&["a", "/", "PATH=/x::y:/z", "--", "prog"]).unwrap());
        assert_eq!(found, [c"/x/prog".to_owned(), c"/z/prog".to_owned()]);
        assert_eq!(candidates(&launch(&["a", "/", "--", "/p q"]).unwrap()), [c"/p q".to_owned()]);
    }

    #[test]
    fn words_after_the_dashes_are_the_programs() {
        let launch = launch(&["a", "/", "A=--", "--", "p", "--", ""]).unwrap();
        assert_eq!(launch.environment, [c"A=--".to_owned()]);
        assert_eq!(launch.words, [c"p".to_owned(), c"--".to_owned(), c"".to_owned()]);
    }

    #[test]
    fn a_cut_command_line_is_refused() {
        for words in [&[][..], &["a"], &["a", "/", "A=1"], &["a", "/", "--"]] {
            assert!(launch(words).is_err(), "{words:?}");
        }
    }
}
