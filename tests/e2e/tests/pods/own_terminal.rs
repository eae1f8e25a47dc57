// SPDX-License-Identifier: Apache-2.0
//! Apps and programs beside them with a terminal of the pod's own, as a person sees it: `run -t`, `start -a -t`, `enter -t`.

use std::fs;
use std::io::Write as _;
use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use gate::root_test;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use testing::broadcast::cgroup;
use testing::image::script;
use testing::pods::{Gantry, assert_says, text, wait_gone};
use testing::program;
use testing::rootfs::Rootfs;
use testing::terminal::{SIZE, Terminal};

use crate::living::said;

/// A job that says when it is in the foreground, at first and again.
const JOB: &str = r#"sh -c 'trap "echo again" CONT; echo on; while :; do sleep 1; done'"#;
/// The prompt of the shell in a pod.
const PROMPT: &str = "pod> ";

/// A pod that is a shell, and a terminal at which its user types.
struct Shell {
    gantry: Gantry,
    pod: PathBuf,
    terminal: Terminal,
    /// How many lines were typed.
    lines: u32,
}

impl Shell {
    /// Prepares a pod that is a shell of this user's.
    fn prepare(user: &str) -> Self {
        let mut image = script("shell", "");
        image["app"]["exec"] = json!(["/bin/sh"]);
        (image["app"]["user"], image["app"]["group"]) = (json!(user), json!(user));
        image["app"]["environment"] = json!([{"name": "PS1", "value": PROMPT}]);
        Self::of(&image)
    }

    /// Prepares a pod of this image.
    fn of(image: &Value) -> Self {
        let gantry = Gantry::new();
        let image = gantry.image("shell", &Rootfs::busybox().unwrap(), image);
        let pod = gantry.prepare(&[&image], &[]);
        let terminal = Terminal::new(&gantry.dir());
        Self { gantry, pod, terminal, lines: 0 }
    }

    /// Has the shell of the caller run a command of Gantry's as its job, and returns the job's process.
    fn command(&mut self, verb: &str, words: &[&str]) -> i32 {
        let (program, dir) = (program("installer"), self.gantry.dir());
        let own = [
            verb,
            "/usr/bin/env",
            "-i",
            "TERM=vt100",
            program.to_str().unwrap(),
            "--dir",
            dir.to_str().unwrap(),
        ];
        self.terminal.tell(&[&own[..], words].concat()).parse().unwrap()
    }

    fn run(&mut self) -> i32 {
        let pod = self.pod.to_str().unwrap().to_owned();
        let job = self.command("run", &["run", "-t", &pod]);
        self.prompts();
        job
    }

    /// Waits for the shell in the pod to be ready.
    fn prompts(&mut self) {
        self.terminal.looks("a prompt", |screen| last_line(&plain(screen)) == PROMPT.trim_end());
    }

    /// Types a line at the shell in the pod, and returns what it has written when it is ready again.
    fn line(&mut self, line: &str) -> String {
        self.lines += 1;
        // The same line may be on the screen already.
        let line = format!("{line} # {}", self.lines);
        self.terminal.types(&format!("{line}\n"));
        self.answer(&line)
    }

    /// Returns what a line that was typed has come to.
    fn answer(&mut self, line: &str) -> String {
        let typed = format!("{PROMPT}{line}\n");
        let done = |shown: &str| -> Option<String> {
            let (_, after) = shown.rsplit_once(&typed)?;
            Some(after.strip_suffix(PROMPT.trim_end())?.to_owned())
        };
        let looks = self.terminal.looks(line, |screen| done(&plain(screen)).is_some());
        done(&plain(looks)).unwrap()
    }

    /// Ends the shell in the pod, and checks that the terminal is as it was.
    fn ends(mut self, before: &rustix::termios::Termios) {
        self.terminal.types("exit 7\n");
        assert_eq!(self.terminal.tell(&["wait"]), "exited 7");
        self.is_as_before(before);
        wait_gone(&self.pod);
    }

    fn is_as_before(&self, before: &rustix::termios::Termios) {
        let now = self.terminal.modes();
        assert_eq!(format!("{now:?}"), format!("{before:?}"));
    }
}

/// Returns what a screen shows, without the blanks at the ends of its lines.
fn plain(screen: &vt100::Screen) -> String {
    let lines = screen.contents().lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
    lines.trim_end().to_owned()
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

/// Returns the processes of a pod, by the cgroup of the pod's process.
fn processes(pod: &Path, init: i32) -> Vec<i32> {
    let mut all = Vec::new();
    let mut directories = vec![cgroup(init, &pod.file_name().unwrap().to_string_lossy())];
    while let Some(directory) = directories.pop() {
        let list = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        all.extend(list.lines().map(|line| line.parse::<i32>().unwrap()));
        directories.extend(
            fs::read_dir(&directory)
                .unwrap()
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    all
}

/// Returns the pod's process, which is a child of the one that shows the terminal.
fn init_of(shows: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{shows}/task/{shows}/children")).unwrap();
    children.split_whitespace().next().expect("it has started the pod").parse().unwrap()
}

#[root_test]
fn a_shell_at_a_terminal_suspends_resumes_and_interrupts_a_job() {
    for user in ["0", "1000"] {
        let mut shell = Shell::prepare(user);
        let before = shell.terminal.modes();
        shell.run();
        assert!(shell.line("tty").starts_with("/dev/pts/"), "it is one of the pod's own");
        assert_eq!(shell.line("stty size"), format!("{} {}\n", SIZE.0, SIZE.1));
        assert_eq!(shell.line("echo $TERM"), "vt100\n");
        assert_eq!(shell.line("echo by name >/dev/tty && echo again >/dev/stdout"), "by name\nagain\n");
        shell.terminal.types(&format!("{JOB}\n"));
        shell.terminal.looks("a job", |screen| last_line(&plain(screen)) == "on");
        shell.terminal.types("\x1a");
        assert_says(&shell.answer(JOB), &["Stopped"]);
        assert_says(&shell.line("jobs"), &["Stopped", "sleep 1"]);
        shell.terminal.types("fg\n");
        shell.terminal.looks("it goes on", |screen| last_line(&plain(screen)) == "again");
        shell.terminal.types("\x03");
        shell.prompts();
        assert_eq!(shell.line("echo $?"), "130\n");
        assert_eq!(shell.line("jobs"), "");
        shell.ends(&before);
    }
}

#[root_test]
fn vi_and_less_work_at_a_terminal() {
    let mut shell = Shell::prepare("0");
    let before = shell.terminal.modes();
    shell.run();
    shell.terminal.types("vi /tmp/text\n");
    shell.terminal.looks("vi", |screen| plain(screen).lines().nth(1) == Some("~"));
    shell.terminal.types("ifirst\nsecond");
    shell.terminal.looks("what is typed", |screen| plain(screen).starts_with("first\nsecond\n~\n"));
    // What follows ESC at once is a key of its own.
    shell.terminal.types("\x1b");
    shell.terminal.looks("the end of what is typed", |screen| last_line(&plain(screen)).starts_with("- "));
    shell.terminal.types("kdd");
    shell.terminal.looks("a line is gone", |screen| plain(screen).starts_with("second\n~\n"));
    shell.terminal.types("u");
    shell.terminal.looks("it is there again", |screen| plain(screen).starts_with("first\nsecond\n~\n"));
    shell.terminal.types(":wq\n");
    shell.prompts();
    assert_eq!(shell.line("cat /tmp/text"), "first\nsecond\n");
    shell.line("seq 1 200 >/tmp/numbers");
    shell.terminal.types("less /tmp/numbers\n");
    let rows = usize::from(SIZE.0);
    let page = |first: usize| {
        move |screen: &vt100::Screen| {
            let contents = plain(screen);
            let lines: Vec<_> = contents.lines().collect();
            let expected: Vec<_> = (first..first + rows - 1).map(|number| number.to_string()).collect();
            lines.len() == rows && lines[..rows - 1] == expected
        }
    };
    shell.terminal.looks("the first page", page(1));
    shell.terminal.types("jj");
    shell.terminal.looks("two lines on", page(3));
    shell.terminal.types("G");
    shell.terminal.looks("the last page", |screen| plain(screen).contains("\n200\n"));
    shell.terminal.types("q");
    shell.prompts();
    shell.ends(&before);
}

#[root_test]
fn a_program_is_told_when_the_terminal_has_another_size() {
    let mut shell = Shell::prepare("0");
    let before = shell.terminal.modes();
    shell.run();
    shell.terminal.types("trap 'stty size' WINCH; echo set; read line\n");
    shell.terminal.looks("it waits", |screen| plain(screen).ends_with("\nset"));
    shell.terminal.resize((30, 100));
    shell.terminal.looks("the new size", |screen| plain(screen).contains("\n30 100"));
    shell.terminal.types("\n");
    shell.prompts();
    shell.ends(&before);
}

#[root_test]
fn no_process_of_a_pod_has_the_callers_terminal() {
    let mut shell = Shell::prepare("0");
    let shows = shell.run();
    let caller = fs::metadata(format!("/proc/{shows}/fd/0")).unwrap();
    let init = init_of(shows);
    let mut seen = 0;
    for process in processes(&shell.pod, init).into_iter().chain([init]) {
        for descriptor in fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten() {
            let Ok(found) = fs::metadata(descriptor.path()) else { continue };
            let is_it = (found.st_dev(), found.st_ino()) == (caller.st_dev(), caller.st_ino());
            assert!(!is_it, "process {process} has it as {:?}", descriptor.path());
            seen += 1;
        }
    }
    assert!(seen > 10, "their descriptors can be seen: {seen}");
    shell.terminal.types("exit\n");
    assert_eq!(shell.terminal.tell(&["wait"]), "exited 0");
    wait_gone(&shell.pod);
}

#[root_test]
fn the_terminal_is_as_before_however_the_command_ends() {
    for (signal, how) in
        [(Signal::SIGTERM, "exited 0"), (Signal::SIGHUP, "exited 0"), (Signal::SIGINT, "exited 0")]
    {
        let waits = "trap 'exit 0' TERM HUP; echo up; while :; do sleep 60 & wait; done";
        let mut shell = Shell::of(&script("waits", waits));
        let before = shell.terminal.modes();
        let pod = shell.pod.to_str().unwrap().to_owned();
        let shows = shell.command("run", &["run", "-t", &pod]);
        // With the host's users, a warning may stand above it.
        shell.terminal.looks("the app", |screen| plain(screen).lines().last() == Some("up"));
        assert_ne!(format!("{:?}", shell.terminal.modes()), format!("{before:?}"), "it is raw");
        kill(Pid::from_raw(shows), signal).unwrap();
        assert_eq!(shell.terminal.tell(&["wait"]), how, "{signal}");
        shell.is_as_before(&before);
        wait_gone(&shell.pod);
    }
}

#[root_test]
fn a_pod_whose_terminal_is_killed_stops() {
    let mut shell = Shell::prepare("0");
    let shows = shell.run();
    shell.line("trap '' HUP");
    kill(Pid::from_raw(shows), Signal::SIGKILL).unwrap();
    assert_eq!(shell.terminal.tell(&["wait"]), "ended SIGKILL");
    wait_gone(&shell.pod);
    let status = said(&shell.gantry, &["status", "--format", "json", shell.pod.to_str().unwrap()]);
    assert!(status.contains("\"exited\""), "{status}");
}

#[root_test]
fn a_pod_at_a_terminal_is_a_job_of_the_callers_shell() {
    let mut shell = Shell::prepare("0");
    let before = shell.terminal.modes();
    let shows = shell.run();
    let group = cgroup(init_of(shows), &shell.pod.file_name().unwrap().to_string_lossy());
    let is_frozen = || fs::read_to_string(group.join("cgroup.freeze")).unwrap() == "1\n";
    kill(Pid::from_raw(shows), Signal::SIGTSTP).unwrap();
    assert_eq!(shell.terminal.tell(&["wait"]), "stopped SIGTSTP");
    shell.is_as_before(&before);
    while !is_frozen() {
        std::thread::yield_now();
    }
    shell.terminal.tell(&["take"]);
    shell.terminal.types("for the shell\n");
    assert_eq!(shell.terminal.tell(&["read"]), "for the shell");
    shell.terminal.tell(&["continue"]);
    assert_eq!(shell.terminal.tell(&["wait"]), "stopped SIGTTOU", "it is in the background");
    assert!(is_frozen());
    shell.terminal.tell(&["foreground"]);
    shell.terminal.types("\n");
    shell.prompts();
    assert_eq!(shell.line("echo on"), "on\n");
    shell.ends(&before);
}

#[root_test]
fn a_pod_that_starts_in_the_background_waits_for_its_terminal() {
    let mut shell = Shell::prepare("0");
    let pod = shell.pod.to_str().unwrap().to_owned();
    let before = shell.terminal.modes();
    shell.command("start", &["start", "-a", "-it", &pod]);
    assert_eq!(shell.terminal.tell(&["wait"]), "stopped SIGTTOU");
    shell.is_as_before(&before);
    shell.terminal.tell(&["foreground"]);
    shell.prompts();
    shell.ends(&before);
}

#[root_test]
fn what_is_no_terminal_is_typed() {
    let gantry = Gantry::new();
    let mut image = script("shell", "");
    image["app"]["exec"] = json!(["/bin/sh"]);
    let image = gantry.image("shell", &Rootfs::busybox().unwrap(), &image);
    let pod = gantry.prepare(&[&image], &[]);
    let mut command = gantry.installer();
    command
        .args(["run", "-it"])
        .arg(&pod)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"tty; stty size; exit 5\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_says(&text(&output.stdout), &["/dev/pts/", "24 80\r\n"]);
    assert_says(&text(&output.stderr), &["warning: stdin is no terminal"]);
    wait_gone(&pod);
    // Its end ends the input, and without --interactive there is none.
    for (option, code) in [("-it", 0), ("-t", 9)] {
        let waits = script("reads", "trap 'exit 9' TERM; stty -echo; echo ready; read line; echo \"$line\"");
        let image = gantry.image("reads", &Rootfs::busybox().unwrap(), &waits);
        let pod = gantry.prepare(&[&image], &[]);
        let mut command = gantry.installer();
        command
            .args(["run", option])
            .arg(&pod)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"typed").unwrap();
        let mut out = child.stdout.take().unwrap();
        if code == 9 {
            let mut seen = [0; 7];
            std::io::Read::read_exact(&mut out, &mut seen).unwrap();
            kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(code), "{option}");
        wait_gone(&pod);
    }
}

#[root_test]
fn one_of_several_apps_has_the_terminal() {
    let gantry = Gantry::new();
    let busybox = Rootfs::busybox().unwrap();
    let one = gantry.image("one", &busybox, &script("one", "[ -t 1 ] || echo no terminal; sleep 1000"));
    let two = gantry.image("two", &busybox, &script("two", "[ -t 0 ] && [ -t 1 ] && tty; read line; exit 3"));
    let pod = gantry.prepare(&[&one, &two], &[]);
    let pod_name = pod.to_str().unwrap();
    for (words, code, why) in [
        (vec!["run", "-t", pod_name], 254, "several apps"),
        (vec!["run", "--tty=three", pod_name], 254, "has no app \"three\""),
        (vec!["run", "-t", one.to_str().unwrap(), two.to_str().unwrap()], 2, "expected --tty=APP"),
        (vec!["run", "-dt", pod_name], 2, "a pod in the background has no terminal"),
        (vec!["start", "-i", pod_name], 2, "a pod in the background has no terminal"),
    ] {
        let output = gantry.installer().args(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert_says(&text(&output.stderr), &[why]);
    }
    let mut terminal = Terminal::new(&gantry.dir());
    let (program, dir) = (program("installer"), gantry.dir());
    terminal.tell(&[
        "run",
        program.to_str().unwrap(),
        "--dir",
        dir.to_str().unwrap(),
        "run",
        "--tty=two",
        pod_name,
    ]);
    terminal.looks("both", |screen| {
        let contents = plain(screen);
        let is_line = |wanted: &str| contents.lines().any(|line| line.starts_with(wanted));
        is_line("no terminal") && is_line("/dev/pts/")
    });
    terminal.types("\n");
    assert_eq!(terminal.tell(&["wait"]), "exited 3");
    wait_gone(&pod);
}

#[root_test]
fn a_program_that_enters_has_a_terminal() {
    for user in ["0", "1000"] {
        let mut shell = Shell::prepare(user);
        let pod = shell.pod.to_str().unwrap().to_owned();
        let before = shell.terminal.modes();
        // The app itself has none, and its shell waits for its stdin's end.
        let mut running = shell.gantry.installer();
        running.args(["run", &pod]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut running = running.spawn().unwrap();
        let id = shell.pod.file_name().unwrap().to_string_lossy().into_owned();
        while !said(&shell.gantry, &["list"]).contains("running") {
            std::thread::yield_now();
        }
        loop {
            let output = shell.gantry.installer().args(["enter", &id, "--", "/bin/true"]).output().unwrap();
            if output.status.success() {
                break;
            }
        }
        shell.command("run", &["enter", "-it", &id]);
        shell.prompts();
        assert!(shell.line("tty").starts_with("/dev/pts/"));
        assert_eq!(shell.line("stty size; echo $TERM"), format!("{} {}\nvt100\n", SIZE.0, SIZE.1));
        shell.terminal.types(&format!("{JOB}\n"));
        shell.terminal.looks("a job", |screen| last_line(&plain(screen)) == "on");
        shell.terminal.types("\x1a");
        assert_says(&shell.answer(JOB), &["Stopped"]);
        shell.terminal.types("exit 7\nexit 7\n");
        assert_eq!(shell.terminal.tell(&["wait"]), "exited 7");
        shell.is_as_before(&before);
        // What the program leaves ends with the pod.
        drop(running.stdin.take());
        assert_eq!(running.wait().unwrap().code(), Some(0));
        wait_gone(&shell.pod);
    }
}
