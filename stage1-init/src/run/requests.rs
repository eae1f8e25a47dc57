// SPDX-License-Identifier: Apache-2.0
//! Requests to stop the pod: signals that are held back from the first moment, so none is lost.

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use sys::process::default_signals;

/// The signals that ask a pod to stop.
pub(crate) const REQUESTS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

/// The signals that ask the pod to stop, held back from being acted on.
#[derive(Debug)]
pub(crate) struct Requests {
    asks: SigSet,
    /// Whether ^Z (SIGTSTP) stops the pod.
    stops: bool,
}

impl Requests {
    /// Holds the requests back from now on.
    ///
    /// A hangup that the caller ignores, as nohup(1) does, is no request. Likewise, an ignored ^Z does not stop the
    /// pod.
    pub(crate) fn hold() -> Result<Self> {
        let mut asks = SigSet::from_iter(REQUESTS);
        let mut held = asks;
        held.add(Signal::SIGCHLD);
        held.thread_block()?;
        let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
        if ignores(&status, Signal::SIGHUP) {
            asks.remove(Signal::SIGHUP);
        }
        let stops = !ignores(&status, Signal::SIGTSTP);
        // A process that ignores SIGCHLD can't wait for its children, and the caller may have set it to ignore that.
        default_signals();
        Ok(Self { asks, stops })
    }

    /// Returns the signals to wait for.
    pub(crate) fn awaited(&self) -> SigSet {
        let mut awaited = self.asks;
        awaited.extend([Signal::SIGCHLD, Signal::SIGCONT]);
        awaited.extend(self.stops.then_some(Signal::SIGTSTP));
        awaited
    }
}

fn ignores(status: &str, signal: Signal) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bit = 1 << (signal as i32 - 1);
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangups_that_the_caller_ignores() {
        assert!(ignores("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n", Signal::SIGHUP));
        assert!(!ignores("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n", Signal::SIGHUP));
    }
}
