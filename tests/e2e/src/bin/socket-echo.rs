// SPDX-License-Identifier: Apache-2.0
//! An app that is started with sockets. It answers each connection and each datagram with the app's name and the
//! socket's (sd_listen_fds_with_names(3)). It ends well by SIGTERM, and answers the connections that it has accepted before.
//!
//! ```text
//! socket-echo PROTOCOL…     tcp or udp, one for each socket, in their order
//! ```

use std::env;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use listenfd::ListenFd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

/// Held while a connection is answered, and by the thread that ends this program.
static ANSWERS: Mutex<()> = Mutex::new(());

fn main() -> Result<()> {
    let app = env::var("AC_APP_NAME")?;
    let names = env::var("LISTEN_FDNAMES")?;
    let names: Vec<_> = names.split(':').collect();
    let protocols: Vec<_> = env::args().skip(1).collect();
    let mut sockets = ListenFd::from_env();
    ensure!(sockets.len() == protocols.len() && names.len() == protocols.len(), "{} sockets", sockets.len());
    let requests = SigSet::from(Signal::SIGTERM);
    requests.thread_block()?;
    for (index, (protocol, name)) in protocols.iter().zip(names).enumerate() {
        let answer = format!("{app} {name}\n");
        match protocol.as_str() {
            "tcp" => {
                let listener = sockets.take_tcp_listener(index)?.context("taken already")?;
                thread::spawn(move || answer_connections(&listener, &answer))
            }
            "udp" => {
                let socket = sockets.take_udp_socket(index)?.context("taken already")?;
                thread::spawn(move || answer_datagrams(&socket, &answer))
            }
            other => bail!("unknown protocol {other}"),
        };
    }
    requests.wait()?;
    let _answered = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    std::process::exit(0)
}

fn answer_connections(listener: &TcpListener, answer: &str) -> Result<()> {
    loop {
        poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        let _answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut connection, _) = listener.accept()?;
        connection.write_all(answer.as_bytes())?;
    }
}

fn answer_datagrams(socket: &UdpSocket, answer: &str) -> Result<()> {
    loop {
        let (_, from) = socket.recv_from(&mut [0])?;
        socket.send_to(answer.as_bytes(), from)?;
    }
}
