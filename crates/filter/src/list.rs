// SPDX-License-Identifier: Apache-2.0
//! An app's own filter: a list of system calls, which are all that it may make, or all that it may not.
//!
//! ```text
//! machine is not this one → deny        (another machine's numbers mean other calls)
//! number is of the x32 ABI → deny       (likewise; x86-64 only)
//! number is one of the calls → deny or allow
//! any other → allow or deny
//! ```

use crate::bpf::{
    ALLOW, IF_AT_LEAST, IF_EQUAL, Instruction, KILL_PROCESS, MACHINE, NUMBER, end, error, load, when,
};
use crate::machine::{OWN, X32};

/// A list of system calls.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// Whether the calls are the only ones allowed; otherwise they are the only ones denied.
    pub retain: bool,
    /// The calls, by this machine's numbers.
    pub calls: &'a [u32],
    /// The error that a denied call returns; without it, SIGSYS ends the program.
    pub errno: Option<u16>,
}

/// Returns the program for a list.
pub fn of_list(list: &List<'_>) -> Vec<Instruction> {
    let denied = list.errno.map_or(KILL_PROCESS, error);
    let (listed, other) = match list.retain {
        true => (ALLOW, denied),
        false => (denied, ALLOW),
    };
    let mut program = vec![
        load(MACHINE),
        when(IF_EQUAL, OWN, 1, 0),
        end(denied),
        load(NUMBER),
        when(IF_AT_LEAST, X32, 0, 1),
        end(denied),
    ];
    program.extend(list.calls.iter().flat_map(|call| [when(IF_EQUAL, *call, 0, 1), end(listed)]));
    program.push(end(other));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::tests::{Call, run};

    fn verdict(program: &[Instruction], machine: u32, number: u32) -> u32 {
        run(program, Call { machine, number, arguments: [0; 6] })
    }

    #[test]
    fn calls_are_retained_or_removed() {
        let calls = &[0, 1, 59, 400];
        let retain = of_list(&List { retain: true, calls, errno: Some(1) });
        let remove = of_list(&List { retain: false, calls, errno: None });
        for (number, retained, removed) in [
            (0, ALLOW, KILL_PROCESS),
            (400, ALLOW, KILL_PROCESS),
            (2, error(1), ALLOW),
            (401, error(1), ALLOW),
        ] {
            assert_eq!(verdict(&retain, OWN, number), retained, "{number}");
            assert_eq!(verdict(&remove, OWN, number), removed, "{number}");
        }
    }

    #[test]
    fn other_machines_numbers_are_denied() {
        let remove = of_list(&List { retain: false, calls: &[], errno: None });
        assert_eq!(verdict(&remove, OWN, 7), ALLOW);
        assert_eq!(verdict(&remove, OWN, X32 | 7), KILL_PROCESS);
        assert_eq!(verdict(&remove, 0x4000_0003, 7), KILL_PROCESS);
    }

    #[test]
    fn the_longest_filter_is_short_enough_for_the_kernel() {
        let calls: Vec<_> = (0..512).collect();
        assert!(of_list(&List { retain: true, calls: &calls, errno: None }).len() < 4096);
    }
}
