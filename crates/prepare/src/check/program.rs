// SPDX-License-Identifier: Apache-2.0
//! Checks that the kernel would start an app's program as the app's user.
//!
//! That takes the file, its interpreter, and every directory on the way to both.

use std::fs::File;

use anyhow::{Result, bail};
use pod::App;
use pod::exec::{Exec, search};
use pod::text::{escape, escape_bytes};
use rustix::io::Errno;

use super::access::{Permissions, Who};
use super::binfmt_misc;
use super::format::{self, Format};
use super::kernel_files::{self, KernelFile};
use super::view::{Found, Obstacle, View};
use sys::in_root::reopen;

/// The maximum number of scripts that may interpret each other (fs/exec.c, `exec_binprm`).
const SCRIPTS_MAX: usize = 5;

/// The user and the file system that programs are started with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) who: &'a Who,
    /// The working directory without links, or `None` if that can't be known beforehand.
    pub(super) directory: Option<&'a [u8]>,
    /// Whether files may have been added by then in places that are empty when the pod starts.
    pub(super) comes_later: bool,
    /// Whether only programs of 64 bits can run: the app's own filter has the numbers of their system calls.
    pub(super) is_native: bool,
}

/// The reason why a program can't be started.
struct Refusal {
    errno: Errno,
    why: String,
    /// Whether the program itself is missing, as opposed to its interpreter.
    is_absent: bool,
}

/// Checks a program as the launcher starts it: the file it names, or the first in PATH that can be executed. Files that
/// don't exist, or may not be executed, are skipped (execvp(3)).
pub(super) fn check(app: &App, exec: &Exec, start: Start<'_>) -> Result<()> {
    let program = exec.program();
    let path = app.path();
    let is_path = program.contains('/');
    let candidates: Vec<String> =
        if is_path { vec![program.into()] } else { search(path, program).collect() };
    let mut first = None;
    for candidate in &candidates {
        match start.try_program(candidate.as_bytes()) {
            Ok(()) => return Ok(()),
            Err(refusal) if refusal.is_absent && !is_path => {}
            Err(Refusal { errno: Errno::NOENT | Errno::NOTDIR | Errno::ACCESS, why, .. }) => {
                first.get_or_insert(why);
            }
            Err(Refusal { why, .. }) => bail!(why),
        }
    }
    match first {
        Some(why) => bail!(why),
        None => bail!(
            "program {} is not in the image: expected it in a directory of PATH, {}",
            escape(program),
            escape(path)
        ),
    }
}

impl Start<'_> {
    fn try_program(&self, path: &[u8]) -> Result<(), Refusal> {
        let mut what = "program".to_owned();
        let mut path = path.to_vec();
        for _ in 0..=SCRIPTS_MAX {
            let Some((file, at)) = self.open(&what, &path)? else { return Ok(()) };
            match self.format(&file, &at).map_err(|why| refusal(Errno::NOEXEC, &what, &path, &why))? {
                None | Some(Format::Elf(None)) => return Ok(()),
                Some(Format::Elf(Some(loader))) => return self.try_loader(&what, &path, &loader),
                Some(Format::Script(interpreter)) => {
                    what = format!("{what} {}: its interpreter", escape_bytes(&path));
                    path = interpreter;
                }
            }
        }
        Err(refusal(Errno::LOOP, &what, &path, "is one script too many"))
    }

    /// Checks the interpreter (loader) of an ELF program. It has to be an ELF file; its own interpreter is not used.
    fn try_loader(&self, what: &str, path: &[u8], loader: &[u8]) -> Result<(), Refusal> {
        let what = format!("{what} {}: its interpreter", escape_bytes(path));
        let Some((file, _)) = self.open(&what, loader)? else { return Ok(()) };
        match format::read(&file) {
            Ok(Format::Elf(_)) => Ok(()),
            Ok(Format::Script(_)) => {
                Err(refusal(Errno::LIBBAD, &what, loader, "is a script: expected an ELF file"))
            }
            Err(why) => Err(refusal(Errno::LIBBAD, &what, loader, &why)),
        }
    }

    /// Opens a file that the user may execute, and returns it with its path; `None` if that can't be known beforehand.
    fn open(&self, what: &str, path: &[u8]) -> Result<Option<(File, Vec<u8>)>, Refusal> {
        let from = match self.directory {
            None if !path.starts_with(b"/") => return Ok(None),
            directory => directory.unwrap_or_default(),
        };
        let refused = |obstacle: Obstacle| Refusal {
            errno: obstacle.errno,
            is_absent: what == "program" && matches!(obstacle.errno, Errno::NOENT | Errno::NOTDIR),
            why: obstacle.shown(what, path),
        };
        let (permissions, file, at) = match self.view.find(self.who, from, path) {
            Ok(Found::Unknown) => return Ok(None),
            Ok(Found::File(permissions, file, at)) => (permissions, file, at),
            Ok(Found::Directory(_, at)) => return Err(refused(not_a_file(at))),
            Ok(Found::Kernel(at)) => return in_kernel(at).map_err(refused),
            Err(obstacle) if obstacle.may_come && self.comes_later => return Ok(None),
            Err(obstacle) => return Err(refused(obstacle)),
        };
        if !self.who.may_execute(&permissions) {
            return Err(refused(no_execution(at, &permissions, self.who)));
        }
        match reopen(&file) {
            Ok(file) => Ok(Some((file, at))),
            Err(error) => Err(refusal(Errno::IO, what, path, &format!("can't be read: {error}"))),
        }
    }

    /// Returns the file's format; `None` for a format that only the host knows.
    fn format(&self, file: &File, at: &[u8]) -> Result<Option<Format>, String> {
        let format = format::read(file);
        let head = format::head(file).unwrap_or_default();
        // ELFCLASS32 (elf(5)).
        if self.is_native && head.starts_with(b"\x7fELF\x01") {
            return Err("is a 32-bit program, and the app has a seccomp isolator, which has the system calls of 64-bit \
                        programs: expected such a program, or no seccomp isolator"
                .into());
        }
        if binfmt_misc::knows(at, &head) { Ok(None) } else { format.map(Some) }
    }
}

/// Refuses a path below /proc or /sys. Only files behind a process's links could be executed there. They are not files
/// of the image, and the launcher follows no such link.
fn in_kernel<T>(at: Vec<u8>) -> Result<Option<T>, Obstacle> {
    match kernel_files::look(&at) {
        KernelFile::Unknown => {
            Err(Obstacle::new(Errno::ACCESS, at, "is the kernel's: expected a file of the image"))
        }
        KernelFile::Nothing => {
            Err(Obstacle::new(Errno::NOENT, at, "is the kernel's, which has no such file"))
        }
        KernelFile::Directory | KernelFile::File => {
            Err(Obstacle::new(Errno::ACCESS, at, "is the kernel's, where nothing can be executed"))
        }
    }
}

fn not_a_file(at: Vec<u8>) -> Obstacle {
    Obstacle::new(Errno::ACCESS, at, "is a directory: expected a file that can be executed")
}

fn no_execution(at: Vec<u8>, permissions: &Permissions, who: &Who) -> Obstacle {
    let (has, who) = (permissions.shown(), who.shown());
    Obstacle::new(Errno::ACCESS, at, &format!("has {has}: expected a file that {who} can execute"))
}

fn refusal(errno: Errno, what: &str, path: &[u8], why: &str) -> Refusal {
    Refusal { errno, why: format!("{what} {} {why}", escape_bytes(path)), is_absent: false }
}
