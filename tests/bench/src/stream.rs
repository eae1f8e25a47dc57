// SPDX-License-Identifier: Apache-2.0
//! The two ends of a stream of TCP, as this program's own words, so that one program is at both ends everywhere.
//!
//! ```text
//! bench --sink PORT             reads what is sent to a port, for as long as it runs
//! bench --pour ADDRESS BYTES    sends so many bytes, and prints the seconds until all of them were read
//! ```

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// What is written and read at a time.
const PIECE: usize = 128 << 10;

/// Reads what is sent to a port. Each client gets a byte once it has sent everything.
pub(crate) fn sink(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).context("cannot listen")?;
    for client in listener.incoming() {
        let mut client = client?;
        thread::spawn(move || {
            let mut piece = vec![0; PIECE];
            while client.read(&mut piece).is_ok_and(|length| length > 0) {}
            let _ = client.write_all(&[1]);
        });
    }
    Ok(())
}

/// Sends bytes to a sink, and prints how long that took.
pub(crate) fn pour(address: &str, bytes: u64) -> Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
    let (piece, begun) = (vec![0; PIECE], Instant::now());
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        let length = left.min(PIECE);
        stream.write_all(&piece[..length])?;
        left -= length;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = [0; 2];
    ensure!(stream.read(&mut answer)? == 1, "the sink has not read everything");
    println!("{}", begun.elapsed().as_secs_f64());
    Ok(())
}
