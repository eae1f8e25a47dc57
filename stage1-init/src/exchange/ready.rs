// SPDX-License-Identifier: Apache-2.0
//! Messages of the pod to `/init`: that its apps are about to start, and that it has ended.
//!
//! `/init` listens on a socket of the outcome (unix(7)), which only the pod's root can connect to. The boot program connects
//! as soon as it runs, and waits before it becomes systemd. `/init` does what it can only do once there is a pod and before an app
//! runs, and answers. No app is started without an answer.
//!
//! `/init` doesn't wait for a process that connects and says nothing. It hears what the process says later, if it ever
//! does.
//!
//! `exit-code` connects once the pod's end is recorded and the caller's stdio is complete. What is left of the pod then has nothing
//! to do: the reaper ends it, which takes longer than `/init` needs to wait. So where `/init` answers that it ends, `exit-code`
//! stays until it is killed: systemd, which would take itself apart once `exit-code` has ended, does nothing meanwhile.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pod::layout;
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, socket_with,
};
use sys::passing;

use crate::exchange::outcome::OURS;
use crate::failure::Step;
use crate::names::{OUTCOME_OF_HELPERS, OUTCOME_OF_INIT, READY};

/// The answer: apps may start, or `/init` ends now.
const YES: &[u8] = b"1";
/// The question.
const QUESTION: u8 = b'?';
/// The pod has ended.
const END: u8 = b'.';
/// How long `exit-code` waits until it is killed. If the reaper was, the pod ends by itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer: one that says no says why.
const ANSWER_MAX: usize = 1024;

/// A message of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    /// It has asked whether apps may start.
    Question,
    /// Its end is recorded.
    End,
}

/// The namespaces of a pod that are passed on with the question.
#[derive(Debug)]
pub(crate) struct Namespaces {
    pub(crate) network: OwnedFd,
    pub(crate) ipc: OwnedFd,
}

/// When `/init` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Once the pod's end is recorded.
    Recorded,
    /// Once nspawn has ended, which copies the pod's console.
    WithNspawn,
}

/// How many connections may be silent at a time. The pod has one at most.
const SILENT_MAX: usize = 4;

/// The socket that the pod's messages arrive at, and its connections.
#[derive(Debug)]
pub(crate) struct Asked {
    listener: OwnedFd,
    /// Connections on which nothing has been said yet, oldest first.
    silent: Vec<OwnedFd>,
    ends: Ends,
}

impl Asked {
    /// Listens for the question of the pod, whose root is the host's user `root`.
    pub(crate) fn listen(root: u32, ends: Ends) -> Result<Self> {
        let path = format!("{OUTCOME_OF_INIT}/{READY}");
        let listener = stream(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        bind(&listener, &SocketAddrUnix::new(&path)?).with_context(|| format!("cannot bind {path}"))?;
        chown(&path, Some(root), Some(root)).with_context(|| format!("cannot give {path} away"))?;
        listen(&listener, 1).with_context(|| format!("cannot listen on {path}"))?;
        Ok(Self { listener, silent: Vec::new(), ends })
    }

    /// Returns the descriptors of which one becomes readable when the pod says something.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(&self.listener).chain(&self.silent).map(AsFd::as_fd)
    }

    /// Hears what the pod says, if it does. Does `work` if that is the question, and answers it.
    ///
    /// If `work` fails, that is recorded as the reason why the pod ends, and there is no answer.
    pub(crate) fn hear(&mut self, work: impl FnOnce(Namespaces) -> Result<()>) -> Result<Heard> {
        // One at a time: more are there when this process looks again.
        match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => {}
            accepted => self.silent.push(accepted.context("cannot hear the pod")?),
        }
        let Some((said, word, passed)) = self.next_word() else { return Ok(Heard::Nothing) };
        if word == END {
            if self.ends == Ends::WithNspawn {
                return Ok(Heard::Nothing);
            }
            // Without an answer, the pod takes itself apart meanwhile.
            let _ = write(said, YES);
            return Ok(Heard::End);
        }
        if let Err(error) = passed.context("the pod has not passed its namespaces on").and_then(work) {
            OURS.fail(Step::Namespace, &error)?;
            return Ok(Heard::Question);
        }
        // If the pod has ended since, no process needs the answer.
        let _ = write(said, YES);
        Ok(Heard::Question)
    }

    /// Returns the next word that is there, with its connection and what comes with it. Forgets connections that have ended
    /// without a word, as one of a process that was killed, and the oldest one if too many are silent.
    fn next_word(&mut self) -> Option<(OwnedFd, u8, Option<Namespaces>)> {
        let mut index = 0;
        while index < self.silent.len() {
            match take(&self.silent[index]) {
                Err(Errno::AGAIN) => index += 1,
                taken => {
                    let said = self.silent.remove(index);
                    if let Ok((Some(word), passed)) = taken {
                        return Some((said, word, passed));
                    }
                }
            }
        }
        if self.silent.len() > SILENT_MAX {
            self.silent.remove(0);
        }
        None
    }
}

/// Reads a word of the pod's, without waiting for one, and returns it with what comes with it. There is none at the
/// connection's end.
fn take(said: &OwnedFd) -> Result<(Option<u8>, Option<Namespaces>), Errno> {
    let mut byte = [0];
    let heard = passing::receive(said, &mut byte, 2, RecvFlags::empty())?;
    let mut passed = heard.descriptors.into_iter();
    let passed = passed.next().zip(passed.next());
    Ok(((heard.bytes > 0).then_some(byte[0]), passed.map(|(network, ipc)| Namespaces { network, ipc })))
}

/// A question that was asked: whether apps may start.
#[derive(Debug)]
pub(crate) struct Pending(OwnedFd);

impl Pending {
    /// Waits for the answer.
    pub(crate) fn wait(self) -> Result<()> {
        hear_over(&self.0).context("the pod's process has not let the apps start")
    }
}

/// Asks `/init` whether apps may start. Namespaces go with the question.
pub(crate) fn ask() -> Result<Pending> {
    let socket = reach()?;
    let open = |kind| {
        File::open(format!("/proc/self/ns/{kind}"))
            .with_context(|| format!("cannot open the pod's {kind} namespace"))
    };
    let (network, ipc) = (open("net")?, open("ipc")?);
    ask_over(&socket, &[network.as_fd(), ipc.as_fd()]).context("cannot ask the pod's process")?;
    Ok(Pending(socket))
}

/// Tells `/init` that the pod's end is recorded. If it ends for that, this process is killed here.
pub(crate) fn tell_end() -> Result<()> {
    let socket = reach()?;
    write(&socket, &[END])?;
    let mut answer = [0];
    if retry_on_intr(|| read(&socket, &mut answer))? > 0 {
        sleep(PATIENCE);
    }
    Ok(())
}

/// Connects to `/init`.
fn reach() -> Result<OwnedFd> {
    let socket = stream(SocketFlags::CLOEXEC)?;
    let address = SocketAddrUnix::new(format!("{OUTCOME_OF_HELPERS}/{READY}"))?;
    connect(&socket, &address).context("cannot reach the pod's process")?;
    Ok(socket)
}

/// Asks over a socket whether apps may start.
fn ask_over(socket: &OwnedFd, passed: &[BorrowedFd<'_>]) -> Result<()> {
    passing::send(socket, &[QUESTION], passed, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for the answer over a socket.
fn hear_over(socket: &OwnedFd) -> Result<()> {
    let mut answer = [0; ANSWER_MAX];
    let count = retry_on_intr(|| read(socket, &mut answer))?;
    match &answer[..count] {
        YES => Ok(()),
        b"" => bail!("there was no answer"),
        why => bail!("{}", String::from_utf8_lossy(why)),
    }
}

/// The attendant of the pod's network: a process of the installer's that connects the pod where plugins do, and tells
/// other pods of it ([`layout::attendant`]). It is asked as `/init` is. What it does lasts as long as the connection.
#[derive(Debug)]
pub(crate) struct Attendant(OwnedFd);

impl Attendant {
    /// Connects to the attendant; the current directory is the pod directory. `None` if there is none.
    pub(crate) fn find() -> Result<Option<Self>> {
        let socket = stream(SocketFlags::CLOEXEC)?;
        match connect(&socket, &SocketAddrUnix::new(layout::attendant(std::process::id()))?) {
            Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
            connected => Ok(connected.map(|()| Some(Self(socket)))?),
        }
    }

    /// Waits until it has prepared the network.
    pub(crate) fn ask(&self, network: BorrowedFd<'_>) -> Result<()> {
        ask_over(&self.0, &[network]).and_then(|()| hear_over(&self.0)).context("the pod's network")
    }

    /// Returns the connection, which must be kept open for as long as the pod has its network.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

fn stream(flags: SocketFlags) -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).context("cannot make a socket")
}
