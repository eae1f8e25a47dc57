// SPDX-License-Identifier: Apache-2.0
//! Runs a test only where it can run: as root, or on a machine that boots virtual machines.
//!
//! ```text
//! #[gate::root_test]
//! fn a_pod_ends_with_its_app() { … }
//! ```
//!
//! Elsewhere, the test says *skipped* on stderr and passes. With `CI=true` it fails.
//!
//! A test that runs has a network of its own, with loopback and nothing else, and so have the threads and programs that it
//! starts: pods of tests make links and rules, and none of that is for the machine's own network.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::OnceLock;

use nix::sched::{CloneFlags, unshare};

/// Marks a test that needs root. It takes the place of `#[test]`.
pub use gate_attribute::root_test;
/// Marks a test that boots a virtual machine, as root. It takes the place of `#[test]`.
pub use gate_attribute::vm_test;

/// What becomes of a test.
#[derive(Debug, PartialEq, Eq)]
enum Gate {
    Run,
    Skip,
    Fail,
}

/// Tells whether a test that needs root can run.
///
/// # Panics
/// Panics if it can't, with `CI=true`.
pub fn has_root(test: &str) -> bool {
    let has_root = pass(rustix::process::geteuid().is_root(), test, "root");
    if has_root {
        own_network().unwrap_or_else(|error| panic!("{test}: cannot make a network for it: {error}"));
    }
    has_root
}

/// The machine's network namespace, as the first test found it.
static MACHINES: OnceLock<File> = OnceLock::new();

/// Runs something in the machine's own network, such as a download.
///
/// # Panics
/// Panics if the network can't be entered.
pub fn with_machines_network<T>(visit: impl FnOnce() -> T) -> T {
    match MACHINES.get() {
        None => visit(),
        Some(network) => sys::namespaces::in_network(network, visit).expect("a test may enter a network"),
    }
}

/// Gives this thread a network of its own that forwards, as a host of pods does.
fn own_network() -> Result<(), Box<dyn Error>> {
    let machines = File::open("/proc/thread-self/ns/net")?;
    // A thread that has a network of its own already is that of an earlier test.
    MACHINES.get_or_init(|| machines);
    unshare(CloneFlags::CLONE_NEWNET)?;
    network::setup::loopback()?;
    Ok(fs::write("/proc/sys/net/ipv4/ip_forward", "1")?)
}

/// Tells whether a test that boots a virtual machine can run.
///
/// # Panics
/// Panics if it can't, with `CI=true`.
pub fn has_machine(test: &str) -> bool {
    has_root(test) && pass(cfg!(target_arch = "x86_64"), test, "an x86_64 machine")
}

fn pass(there: bool, test: &str, what: &str) -> bool {
    let gate = gate(there, env::var_os("CI").as_deref());
    assert!(gate != Gate::Fail, "{test} needs {what}, and CI=true forbids a skip");
    if gate == Gate::Skip {
        // Not by eprintln!: the harness keeps to itself what a test prints and then passes.
        let _ = io::stderr().write_all(format!("skipped: {test} needs {what}\n").as_bytes());
    }
    gate == Gate::Run
}

fn gate(there: bool, ci: Option<&OsStr>) -> Gate {
    match there {
        true => Gate::Run,
        false if ci == Some(OsStr::new("true")) => Gate::Fail,
        false => Gate::Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_can_not_run_is_skipped_or_fails_in_ci() {
        for (ci, otherwise) in [(None, Gate::Skip), (Some("false"), Gate::Skip), (Some("true"), Gate::Fail)] {
            let ci = ci.map(OsStr::new);
            assert_eq!((gate(true, ci), gate(false, ci)), (Gate::Run, otherwise));
        }
    }
}
