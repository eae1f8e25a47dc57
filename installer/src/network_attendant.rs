// SPDX-License-Identifier: Apache-2.0
//! The attendant of a pod's network: a process of this program that does what `/init` can't from its private root. It has
//! the host's plugins connect the pod (`--net=cni:NAME`), and tells the pods with aliases of each other.
//!
//! `/init` connects to its socket, passes the pod's network namespace before apps start, and waits for the answer. The
//! connection ends with the last process that is the pod's: `/init`, or the reaper if `/init` was killed. Then the attendant
//! takes back what it has done. Where it was killed itself, the next start of the pod, `gc` and `rm` take a CNI connection
//! back, and the next start or end of a pod with an alias, or `gc`, takes a name back.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use pod::id::PodId;
use pod::layout;
use pod::network::{Mode, Settings};
use pods::cni::{self, Places};
use pods::{Pod, Process};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::RecvFlags;
use rustix::process::{chdir, setsid};
use store::DataDir;
use sys::process::PROGRAM;
use sys::{Interrupt, passing};

use crate::starter;
use crate::ui::Ui;

/// The name (`argv[0]`) under which this program attends to a pod's network.
pub(crate) const NAME: &str = "gantry-network";
/// The answer with which apps may start (`stage1-init/src/exchange/ready.rs`). Any other one says why they may not.
const YES: &[u8] = b"1";

/// Starts the attendant of the pod whose directory is the current one, and which this process is about to become. Does
/// nothing if its network is complete without one.
///
/// # Errors
/// If it can't be started, or if the host has no such network.
pub(crate) fn start(network: &Settings) -> Result<()> {
    match &network.mode {
        Mode::Cni(name) => cni::check(&Places::of_environment(), name, false)?,
        Mode::Private if !network.aliases.is_empty() => {}
        Mode::Private | Mode::None | Mode::Host => return Ok(()),
    }
    let socket = layout::attendant(std::process::id());
    // An earlier process with this number may have left one.
    let _ = std::fs::remove_file(&socket);
    let listener =
        UnixListener::bind(&socket).context("cannot make the socket of the network's attendant")?;
    let mut command = Command::new(PROGRAM);
    command
        .arg0(NAME)
        .arg(std::env::current_dir()?)
        .arg(std::process::id().to_string())
        .env_clear()
        .envs(said())
        .current_dir("/");
    command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).context("cannot start the attendant of the pod's network")
}

/// Returns the variables that say where networks and plugins are.
pub(crate) fn said() -> impl Iterator<Item = (&'static str, OsString)> {
    Places::VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// Attends to the network of the pod that `words` name.
pub(crate) fn run(words: &[OsString]) -> Result<()> {
    let path = PathBuf::from(words.first().context("expected a pod directory")?);
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    setsid().context("cannot leave the caller's session")?;
    chdir("/")?;
    // It ends with the pod. A service manager signals all processes of a service; this one goes on until the pod has ended.
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]).thread_block()?;
    let parent: u32 =
        words.get(1).and_then(|word| word.to_str()?.parse().ok()).context("expected a process")?;
    let accepted = match starter::parent(parent) {
        Ok(Some(process)) => accept(&listener, &process),
        _ => Ok(None),
    };
    let _ = std::fs::remove_file(path.join(layout::attendant(parent)));
    drop(listener);
    let Some(mut connection) = accepted? else { return Ok(()) };
    let Some(namespace) = hear(&connection)? else { return Ok(()) };
    let begun = Attendant::of(&path).and_then(|attendant| {
        let connected = attendant.begin(&namespace)?;
        Ok((attendant, connected))
    });
    let answer = match &begun {
        Ok(_) => YES.to_vec(),
        Err(error) => format!("{error:#}").into_bytes(),
    };
    // A pod that has ended since needs no answer. What was done is taken back all the same.
    let _ = connection.write_all(&answer);
    let (attendant, connected) = begun?;
    // Until it is closed: nothing more is said.
    let _ = hear(&connection);
    attendant.end(connected, &namespace)
}

/// Waits for the pod's process to connect; `None` if it has ended before.
fn accept(listener: &UnixListener, parent: &Process) -> Result<Option<UnixStream>> {
    loop {
        let mut both = [PollFd::new(listener, PollFlags::IN), PollFd::new(parent.handle(), PollFlags::IN)];
        match poll(&mut both, None) {
            Err(rustix::io::Errno::INTR) => continue,
            ready => drop(ready?),
        }
        if !both[0].revents().is_empty() {
            return Ok(Some(listener.accept()?.0));
        }
        if !both[1].revents().is_empty() {
            return Ok(None);
        }
    }
}

/// Waits for the question, and returns the network namespace that comes with it; `None` at the connection's end.
fn hear(connection: &UnixStream) -> Result<Option<OwnedFd>> {
    let heard = passing::receive(connection, &mut [0], 1, RecvFlags::empty())?;
    if heard.bytes == 0 {
        return Ok(None);
    }
    let network = heard.descriptors.into_iter().next();
    Ok(Some(network.context("the pod's process has not passed its network on")?))
}

/// The pod that this process attends to. Its directory is opened anew for each action.
struct Attendant {
    dir: PathBuf,
    id: PodId,
    interrupt: Interrupt,
}

impl Attendant {
    fn of(path: &Path) -> Result<Self> {
        let selector = pods::Selector::parse(&path.to_string_lossy());
        let (dir, id) = selector.data_directory()?.context("expected a pod directory")?;
        Ok(Self { dir, id, interrupt: Interrupt::default() })
    }

    fn with<T>(&self, act: impl FnOnce(&DataDir, &Pod) -> Result<T>) -> Result<T> {
        let data_dir = DataDir::find(&self.dir, &self.interrupt, &Ui)?.context("the pod is gone")?;
        let pod = Pod::open(&data_dir, self.id)?.context("the pod is gone")?;
        act(&data_dir, &pod)
    }

    /// Does what has to be done before the pod's apps start.
    fn begin(&self, namespace: &OwnedFd) -> Result<Option<cni::Connected>> {
        self.with(|data_dir, pod| {
            let network = pod.network()?;
            let connected = match &network.mode {
                Mode::Cni(name) => {
                    let places = Places::of_environment();
                    Some(cni::connect(&places, name, pod, namespace.as_fd(), &self.interrupt)?)
                }
                _ => None,
            };
            let says_nothing = network.servers.is_empty() && network.search.is_empty();
            let mut of_plugins = connected.iter().filter(|_| says_nothing);
            let mut named = of_plugins.try_for_each(|connected| connected.write_names(pod));
            if !network.aliases.is_empty() {
                named = named.and_then(|()| pods::refresh_aliases(data_dir, Some(self.id)));
            }
            match named {
                Ok(()) => Ok(connected),
                Err(error) => {
                    // The first error is returned. If this fails, too, gc tries again.
                    let _ = connected.map(|connected| connected.disconnect(pod, namespace.as_fd()));
                    Err(error)
                }
            }
        })
    }

    /// Takes that back.
    fn end(&self, connected: Option<cni::Connected>, namespace: &OwnedFd) -> Result<()> {
        self.with(|data_dir, pod| {
            let disconnected =
                connected.map_or(Ok(()), |connected| connected.disconnect(pod, namespace.as_fd()));
            if !pod.network()?.aliases.is_empty() {
                pods::refresh_aliases(data_dir, None)?;
            }
            disconnected
        })
    }
}
