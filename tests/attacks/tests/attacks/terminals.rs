// SPDX-License-Identifier: Apache-2.0
//! An app tries to read what is typed to the shell that its pod was started from.

use gate::root_test;
use testing::pods::wait_gone;
use testing::terminal::Terminal;

use crate::subject::{Said, THROUGH, assert_said, attackers, parse, pod_of, root};

const ATTACKS: [&str; 2] = ["terminal-read", "terminal-reopen"];

/// Reads `count` lines of outcomes from the terminal.
pub(crate) fn said(terminal: &mut Terminal, count: usize) -> Said {
    let lines: String = (0..count).map(|_| terminal.shows("\r\n")).collect();
    parse(&lines.replace('\r', ""))
}

/// Opens a terminal that always has input to read.
pub(crate) fn at_a_terminal(directory: &std::path::Path) -> Terminal {
    let mut terminal = Terminal::new(directory);
    terminal.types("1\n2\n3\n4\n");
    terminal.shows("4\r\n");
    terminal
}

#[root_test]
fn no_app_reads_what_is_typed_through_what_it_writes_to() {
    for (layout, verb) in [("overlay", "start"), ("overlay", "run"), ("copy", "start"), ("copy", "run")] {
        let attackers = attackers();
        let (_gantry, pod) = pod_of(&attackers, &ATTACKS, layout);
        let mut terminal = at_a_terminal(&pod);
        terminal.tell(&[verb, "./stage1/init"]);
        let said = said(&mut terminal, attackers.len() * ATTACKS.len());
        assert_eq!(terminal.tell(&["wait"]), "exited 0");
        wait_gone(&pod);
        assert_said(&said, |_, attack| match attack {
            "terminal-read" => "read: EBADF".into(),
            _ => "open: EACCES".into(),
        });
    }
}

#[root_test]
fn where_nothing_is_defended_what_is_typed_is_read() {
    let gantry = testing::pods::Gantry::new();
    let mut terminal = at_a_terminal(&root(&gantry));
    let words = ["start", "setsid", "./attack"].into_iter().chain(ATTACKS);
    terminal.tell(&words.collect::<Vec<_>>());
    assert_said(&said(&mut terminal, ATTACKS.len()), |_, _| THROUGH.into());
}
