// SPDX-License-Identifier: Apache-2.0
//! The caller's three descriptors, in any state and in any combination: each command ends with a code that is documented,
//! and leaves nothing behind. A message that nobody gets changes nothing.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gate::root_test;
use nix::pty::openpty;
use testing::image::script;
use testing::pods::Gantry;
use testing::rootfs::Rootfs;
use testing::tiny::Tiny;

use crate::living::wait_until;

/// What a caller's descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Full,
    /// A pipe whose other end is closed.
    Gone,
    Terminal,
    Socket,
    File,
    Directory,
    Null,
}

const STATES: [State; 8] = [
    State::Closed,
    State::Full,
    State::Gone,
    State::Terminal,
    State::Socket,
    State::File,
    State::Directory,
    State::Null,
];

impl State {
    /// Tells whether all that is written to it arrives somewhere.
    fn takes(self) -> bool {
        !matches!(self, Self::Closed | Self::Full | Self::Gone | Self::Directory)
    }

    /// Returns what the shell does to descriptor `number`.
    fn redirection(self, number: usize) -> String {
        match self {
            Self::Closed => format!("{number}>&-"),
            Self::Full if number == 0 => "</dev/full".to_owned(),
            Self::Full => format!("{number}>/dev/full"),
            Self::Directory => format!("{number}</"),
            _ => String::new(),
        }
    }

    /// Returns a descriptor, and what has to stay open while it is used.
    fn open(self, number: usize, place: &Path) -> (Stdio, Option<OwnedFd>) {
        match self {
            Self::Closed | Self::Full | Self::Directory | Self::Null => (Stdio::null(), None),
            Self::Gone => {
                let (reader, writer) = std::io::pipe().unwrap();
                let end: OwnedFd = if number == 0 { reader.into() } else { writer.into() };
                (end.into(), None)
            }
            Self::Terminal => {
                let pair = openpty(None, None).unwrap();
                (pair.slave.into(), Some(pair.master))
            }
            Self::Socket => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                (OwnedFd::from(theirs).into(), Some(ours.into()))
            }
            Self::File => {
                let file = File::options().create(true).read(true).append(true).open(place).unwrap();
                (file.into(), None)
            }
        }
    }
}

/// Runs a command with these three descriptors; returns its code, if it ended by one.
fn run(command: &Command, states: [State; 3], place: &Path) -> Result<i32, String> {
    let redirections: Vec<_> = (0..3).map(|number| states[number].redirection(number)).collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$@\" {}", redirections.join(" "))).arg("sh");
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    let [input, output, error] = [0, 1, 2].map(|number| states[number].open(number, place));
    let mut child = shell.stdin(input.0).stdout(output.0).stderr(error.0).spawn().unwrap();
    drop(shell);
    let status = child.wait().unwrap();
    drop((input.1, output.1, error.1));
    status.code().ok_or_else(|| format!("signal {:?}", status.signal()))
}

fn count(directory: PathBuf) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

fn random_states(random: &mut fastrand::Rng) -> [State; 3] {
    [(); 3].map(|()| STATES[random.usize(..STATES.len())])
}

#[root_test]
fn commands_end_with_their_codes_whatever_their_descriptors_are() {
    let seed = 16;
    let mut random = fastrand::Rng::with_seed(seed);
    let tiny = Tiny::new();
    let place = tiny.path().join("file");
    tiny.installer(&["image", "import", "a.aci"]).output().unwrap();
    for number in 0..400 {
        let (words, codes): (&[&str], &[i32]) = match number % 4 {
            0 => (&["prepare", "--image", "a.aci"], &[0, 1]),
            1 => (&["image", "import", "a.aci"], &[0, 1]),
            2 => (&["verify"], &[0, 1]),
            _ => (&["list"], &[0, 1]),
        };
        let states = random_states(&mut random);
        let pods = count(tiny.dir().join("containers"));
        let code = run(&tiny.installer(words), states, &place);
        let about = format!("seed {seed}, {number}: {words:?} with {states:?}: {code:?}");
        let code = code.unwrap_or_else(|_| panic!("{about}"));
        assert!(codes.contains(&code), "{about}");
        // What was asked for has to arrive. `verify` and `list` may have nothing to write.
        if states[1].takes() {
            assert_eq!(code, 0, "{about}");
        } else if number % 4 < 2 {
            assert_eq!(code, 1, "{about}");
        }
        let made = usize::from(number % 4 == 0 && code == 0);
        assert_eq!(count(tiny.dir().join("containers")), pods + made, "{about}");
        assert_eq!(count(tiny.dir().join("staging")), 0, "{about}");
    }
}

#[root_test]
fn pods_end_with_their_codes_whatever_their_descriptors_are() {
    let seed = 16;
    let mut random = fastrand::Rng::with_seed(seed);
    let gantry = Gantry::new();
    let image = gantry.image(
        "field",
        &Rootfs::busybox().unwrap(),
        &script("field", "echo out; echo err >&2; exit 7"),
    );
    let place = gantry.beside("file");
    for number in 0..24 {
        let states = random_states(&mut random);
        let code = run(&gantry.with_images("run", &[&image], &["--rm"]), states, &place);
        gantry.wait_all();
        let about = format!("seed {seed}, {number}: run with {states:?}: {code:?}");
        let code = code.unwrap_or_else(|_| panic!("{about}"));
        // A directory is no place for an app's output, or for its input.
        let is_refused = states.contains(&State::Directory);
        // Without a reader, a program that writes gets SIGPIPE, as anywhere.
        let is_ended = states[1..].contains(&State::Gone);
        let expected = if is_refused {
            254
        } else if is_ended {
            141
        } else {
            7
        };
        assert_eq!(code, expected, "{about}");
        // One that could not be started is removed, too, once nothing of it is left.
        let left = || count(gantry.dir().join("staging")) + gantry.pods().len();
        wait_until(&about, || left() == 0);
    }
}
