// SPDX-License-Identifier: Apache-2.0
//! Pods at a terminal, as jobs of a shell: the foreground job reads what is typed.

use std::fs;
use std::path::{Path, PathBuf};

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testing::broadcast::cgroup;
use testing::image::{script, with_handler};
use testing::pods::{Gantry, status, text, wait_gone};
use testing::rootfs::Rootfs;
use testing::terminal::Terminal;

const INIT: &str = "./stage1/init";
const READS: &str = "echo up; read line; echo got \"$line\"";
/// Tries what a program of another session can read of the terminal: through the descriptors it writes to, and by
/// opening it again.
const STEALS: &str = "exec 4>&2; for fd in '<&1' '<&4' '</proc/self/fd/1' '</proc/self/fd/4'; do \
     eval \"head -n 1 $fd\" 2> /dev/null || echo \"none by $fd\"; done; echo done";

/// Returns the manifest of an app that is root, or another user.
fn image(name: &str, user: &str, text: &str) -> Value {
    let mut image = script(name, text);
    if user == "0" {
        (image["app"]["user"], image["app"]["group"]) = (json!("0"), json!("0"));
    }
    image
}

fn prepare(gantry: &Gantry, images: &[Value]) -> PathBuf {
    let busybox = Rootfs::busybox().unwrap();
    let name = |index| format!("app{index}");
    let images: Vec<_> =
        images.iter().enumerate().map(|(index, image)| gantry.image(&name(index), &busybox, image)).collect();
    gantry.prepare(&images.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &[])
}

/// Returns the pod's cgroup on the host. `init` is the id of the pod's process.
fn cgroup_of(pod: &Path, init: &str) -> PathBuf {
    cgroup(init.parse().unwrap(), &pod.file_name().unwrap().to_string_lossy())
}

fn is_frozen(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.freeze")).unwrap() == "1\n"
}

/// Checks that the shell reads what is typed.
fn the_shell_reads(terminal: &mut Terminal) {
    terminal.types("for the shell\n");
    assert_eq!(terminal.tell(&["read"]), "for the shell");
}

/// Brings the pod to the foreground, and checks that it reads what is typed, and ends.
fn ends_in_the_foreground(terminal: &mut Terminal, pod: &Path) {
    terminal.tell(&["foreground"]);
    terminal.types("for the pod\n");
    terminal.shows("got for the pod\r\n");
    assert_eq!(terminal.tell(&["wait"]), "exited 0");
    wait_gone(pod);
}

#[root_test]
fn a_pod_in_the_foreground_reads_lines_from_its_terminal() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &[script("reads", &format!("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && {READS}"))]);
    let mut terminal = Terminal::new(&pod);
    terminal.tell(&["run", INIT]);
    terminal.shows("up\r\n");
    terminal.types("a line\n");
    terminal.shows("got a line\r\n");
    assert_eq!(terminal.tell(&["wait"]), "exited 0");
    wait_gone(&pod);
}

#[root_test]
fn a_pod_in_the_background_stops_where_it_reads_and_takes_nothing() {
    for user in ["0", "1000"] {
        let gantry = Gantry::new();
        let pod = prepare(&gantry, &[image("reads", user, READS)]);
        let mut terminal = Terminal::new(&pod);
        let init = terminal.tell(&["start", INIT]);
        terminal.shows("up\r\n");
        assert_eq!(terminal.tell(&["wait"]), "stopped SIGTTIN");
        assert!(is_frozen(&cgroup_of(&pod, &init)));
        the_shell_reads(&mut terminal);
        // Continues it as bg does, which changes nothing for it.
        terminal.tell(&["continue"]);
        assert_eq!(terminal.tell(&["wait"]), "stopped SIGTTIN");
        ends_in_the_foreground(&mut terminal, &pod);
    }
}

#[root_test]
fn a_pod_in_the_background_that_only_writes_goes_on() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &[script("writes", "for i in 1 2 3; do echo $i; sleep 0.2; done")]);
    let mut terminal = Terminal::new(&pod);
    terminal.tell(&["start", INIT]);
    terminal.shows("1\r\n2\r\n3\r\n");
    assert_eq!(terminal.tell(&["wait"]), "exited 0");
    wait_gone(&pod);
    assert_eq!(status(&pod, "writes"), 0);
}

#[root_test]
fn a_pod_stops_and_goes_on_with_its_job() {
    for user in ["0", "1000"] {
        let gantry = Gantry::new();
        let pod = prepare(&gantry, &[image("reads", user, READS)]);
        let mut terminal = Terminal::new(&pod);
        let init = terminal.tell(&["run", INIT]);
        terminal.shows("up\r\n");
        terminal.types("\x1a");
        assert_eq!(terminal.tell(&["wait"]), "stopped SIGTSTP");
        assert!(is_frozen(&cgroup_of(&pod, &init)));
        terminal.tell(&["take"]);
        the_shell_reads(&mut terminal);
        terminal.tell(&["continue"]);
        assert_eq!(
            terminal.tell(&["wait"]),
            "stopped SIGTTIN",
            "it has the terminal, and is in the background"
        );
        ends_in_the_foreground(&mut terminal, &pod);
    }
}

/// SIGSTOP stops the pod's process alone, which notices when it is continued.
#[root_test]
fn a_pod_that_sigstop_has_stopped_reads_nothing_in_the_background() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &[script("reads", READS)]);
    let mut terminal = Terminal::new(&pod);
    let init = terminal.tell(&["run", INIT]);
    terminal.shows("up\r\n");
    kill(Pid::from_raw(init.parse().unwrap()), Signal::SIGSTOP).unwrap();
    assert_eq!(terminal.tell(&["wait"]), "stopped SIGSTOP");
    terminal.tell(&["take"]);
    terminal.tell(&["continue"]);
    assert_eq!(terminal.tell(&["wait"]), "stopped SIGTTIN");
    assert!(is_frozen(&cgroup_of(&pod, &init)));
    the_shell_reads(&mut terminal);
    ends_in_the_foreground(&mut terminal, &pod);
}

/// Two apps have no stdin, so the pod holds no terminal.
#[root_test]
fn a_pod_that_does_not_read_goes_on_in_the_background() {
    let gantry = Gantry::new();
    let waits = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let pod = prepare(&gantry, &[script("one", waits), script("two", "exit 0")]);
    let mut terminal = Terminal::new(&pod);
    let init = terminal.tell(&["run", INIT]);
    terminal.shows("up\r\n");
    terminal.types("\x1a");
    assert_eq!(terminal.tell(&["wait"]), "stopped SIGTSTP");
    let cgroup = cgroup_of(&pod, &init);
    assert!(is_frozen(&cgroup));
    terminal.tell(&["take"]);
    terminal.tell(&["continue"]);
    while is_frozen(&cgroup) {
        std::thread::yield_now();
    }
    terminal.tell(&["foreground"]);
    terminal.types("\x03");
    terminal.shows("bye\r\n");
    assert_eq!(terminal.tell(&["wait"]), "exited 0");
    wait_gone(&pod);
}

#[root_test]
fn a_frozen_pod_stops_in_order_when_it_is_asked() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let gantry = Gantry::new();
        let pod = prepare(&gantry, &[with_handler(script("reads", READS), "post-stop", "echo post")]);
        let mut terminal = Terminal::new(&pod);
        let init: i32 = terminal.tell(&["start", INIT]).parse().unwrap();
        assert_eq!(terminal.tell(&["wait"]), "stopped SIGTTIN");
        kill(Pid::from_raw(init), signal).unwrap();
        terminal.tell(&["continue"]);
        terminal.shows("post\r\n");
        assert_eq!(terminal.tell(&["wait"]), "exited 0");
        wait_gone(&pod);
        assert_eq!(status(&pod, "reads"), 143);
    }
}

#[root_test]
fn nothing_is_left_of_a_frozen_pod_that_is_killed() {
    let gantry = Gantry::new();
    let pod = prepare(&gantry, &[script("reads", READS)]);
    let mut terminal = Terminal::new(&pod);
    let init = terminal.tell(&["start", INIT]);
    assert_eq!(terminal.tell(&["wait"]), "stopped SIGTTIN");
    let cgroup = cgroup_of(&pod, &init);
    assert!(is_frozen(&cgroup));
    kill(Pid::from_raw(init.parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(terminal.tell(&["wait"]), "ended SIGKILL");
    wait_gone(&pod);
    assert!(!cgroup.exists());
}

/// The kernel lets a program of another session read any terminal that it has, even in the background.
#[root_test]
fn what_is_typed_can_not_be_read_through_what_is_written_to() {
    let gantry = Gantry::new();
    let none =
        "none by <&1\r\nnone by <&4\r\nnone by </proc/self/fd/1\r\nnone by </proc/self/fd/4\r\ndone\r\n";
    for user in ["0", "1000"] {
        for verb in ["start", "run"] {
            let pod = prepare(&gantry, &[image("steals", user, STEALS), script("other", "exit 0")]);
            let mut terminal = Terminal::new(&pod);
            terminal.types("1\n2\n3\n4\n");
            terminal.shows("4\r\n");
            terminal.tell(&[verb, INIT]);
            assert_eq!(text(terminal.shows("done\r\n").as_bytes()), none, "{user} {verb}");
            assert_eq!(terminal.tell(&["wait"]), "exited 0");
            wait_gone(&pod);
        }
    }
    // Without a pod, the attack succeeds.
    let mut terminal = Terminal::new(&gantry.dir());
    terminal.types("1\n2\n3\n4\n");
    terminal.shows("4\r\n");
    terminal.tell(&["start", "setsid", "sh", "-c", STEALS]);
    assert_eq!(terminal.shows("done\r\n"), "1\r\n2\r\n3\r\n4\r\ndone\r\n");
}
