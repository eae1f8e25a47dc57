// SPDX-License-Identifier: Apache-2.0
//! Stands in for `/init`: a pod that has ended as soon as it has begun. It locks its pod and keeps the history, as `/init`
//! does, so that a start can be repeated hundreds of times.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::process::ExitCode;

use nix::fcntl::{Flock, FlockArg};

/// How many lines it writes.
const LINES: u32 = 7;

fn run() -> io::Result<()> {
    // Held until the end of this process.
    let lock = Flock::lock(File::open(".")?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let mut history = OpenOptions::new().create(true).append(true).open("history")?;
    history.write_all(b"started 1.000\n")?;
    // Each a record of its own in the pod's log.
    for number in 1..=LINES {
        let _ = writeln!(io::stderr(), "said {number}");
    }
    history.write_all(b"ended 2.000 code 0\n")?;
    drop(lock);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It goes to the pod's own log.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
