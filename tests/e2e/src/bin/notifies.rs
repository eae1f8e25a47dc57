// SPDX-License-Identifier: Apache-2.0
//! An app that says when it is up (sd_notify(3)): once a file is there, and then it waits.
//!
//! ```text
//! notifies FILE [WORD]     says WORD, which is READY=1 if it is not given
//! ```

use std::env;
use std::fs::exists;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut words = env::args().skip(1);
    let file = words.next().context("expected a file")?;
    let word = words.next().unwrap_or_else(|| "READY=1".to_owned());
    let mut out = std::io::stdout();
    writeln!(out, "starts")?;
    while !exists(&file)? {
        sleep(Duration::from_millis(20));
    }
    let socket = UnixDatagram::unbound()?;
    socket.send_to(word.as_bytes(), env::var("NOTIFY_SOCKET")?)?;
    writeln!(out, "said {word}")?;
    loop {
        std::thread::park();
    }
}
