// SPDX-License-Identifier: Apache-2.0
//! Where the app can write. Each attempt shows `success` or the name of its error, and leaves nothing.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::unlink;

use crate::expect::Expectations;
use crate::report::{Report, all};

/// Checks where files can be made and opened for writing.
pub(crate) fn check(report: &mut Report, expected: &Expectations) {
    report
        .check("opens", &expected.opens, |paths| all(paths, &success(), |path| opening(path, OFlag::O_RDWR)));
    report.check("writable", &expected.writable, |paths| all(paths, &success(), making));
    report.check("read_only", &expected.read_only, |paths| all(paths, &erofs(), making));
    report.check("read_only_files", &expected.read_only_files, |paths| {
        all(paths, &erofs(), |path| opening(path, OFlag::O_WRONLY))
    });
    report.check("others_files", &expected.others_files, |paths| {
        all(paths, &name(Err(Errno::EACCES)), |path| opening(path, OFlag::O_WRONLY))
    });
}

fn success() -> String {
    name(Ok(()))
}

fn erofs() -> String {
    name(Err(Errno::EROFS))
}

/// Returns the name of a result: `success`, or that of the error.
pub(crate) fn name(result: nix::Result<()>) -> String {
    result.map_or_else(|errno| format!("{errno:?}"), |()| "success".to_owned())
}

/// Opens an existing file. It does not take a controlling terminal, and does not wait for a pipe.
fn opening(path: &str, mode: OFlag) -> String {
    let flags = mode | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    name(open(path, flags, Mode::empty()).map(drop))
}

/// Makes and removes a file in a directory. A read-only mount comes before permissions here: the kernel's lookup_open
/// has EROFS override EACCES.
fn making(directory: &str) -> String {
    let path = Path::new(directory).join(format!(".conformance-{}", std::process::id()));
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let made = open(&path, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    name(made.and_then(|_file| unlink(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn attempts_are_named_by_what_came_of_them_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        assert_eq!(making(path), "success");
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
        assert_eq!(making("/proc/self/none"), "ENOENT");
        assert_eq!(opening("/dev/null", OFlag::O_RDWR), "success");
        assert_eq!(opening(path, OFlag::O_WRONLY), "EISDIR");
    }
}
