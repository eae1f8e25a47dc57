// SPDX-License-Identifier: Apache-2.0
//! A pod with the conformance app in it, and what its checks are to find.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use serde_json::{Value, json};
use testing::pods::{Gantry, status};
use testing::program;
use testing::rootfs::{Node, Rootfs};

/// A pod that can be changed in any part before it runs.
pub(crate) struct Subject {
    /// The tree of both apps.
    pub(crate) rootfs: Rootfs,
    /// The image manifests.
    pub(crate) images: Vec<Value>,
    /// The pod manifest, unless the installer makes it. `IMAGE` in it stands for the first image's id,
    /// `SHA512` for its other one.
    pub(crate) pod: Option<Value>,
    /// The installer's arguments beside images. `HOST` stands for the host's directory.
    pub(crate) arguments: Vec<String>,
    /// What the roles are to see. `HOSTNAME` stands for the pod's hostname, `ADDRESS4` and
    /// `ADDRESS6` for its addresses.
    pub(crate) expectations: Value,
}

/// What the apps printed.
pub(crate) struct Said {
    pub(crate) output: String,
    pub(crate) code: Option<i32>,
}

/// Returns the tree of the conformance app: the program under two names, users, and a working directory.
pub(crate) fn rootfs() -> Rootfs {
    let program = Node::File(0o755, fs::read(program("conformance")).unwrap());
    Rootfs::default()
        .with("conformance", program.clone())
        .with("sidekick", program)
        .with(
            "etc/passwd",
            Node::File(0o644, b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/app\n".into()),
        )
        .with("etc/group", Node::File(0o644, b"root:x:0:\napp:x:1000:\n".into()))
        .with("work", Node::Directory(0o755))
}

/// The data directory, in which a later pod finds what an earlier one has unpacked, and files of the host that a pod
/// gets: a directory to share, one to read, and the expectations in it.
pub(crate) struct Ground {
    gantry: Gantry,
    host: PathBuf,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let gantry = Gantry::new();
        let host = gantry.beside("host : dir");
        Self { gantry, host }
    }

    /// Makes the host's files new, as no pod has seen them.
    fn renew(&self) {
        if self.host.exists() {
            fs::remove_dir_all(&self.host).unwrap();
        }
        for name in ["data", "config"] {
            fs::create_dir_all(self.host.join(name)).unwrap();
        }
        // The app's user writes there.
        fs::set_permissions(self.host.join("data"), Permissions::from_mode(0o1777)).unwrap();
    }
}

impl Subject {
    /// Sets what `role` is to see of `check`, in place of what was set before.
    pub(crate) fn expect(&mut self, role: &str, check: &str, value: Value) {
        self.expectations[role][check] = value;
    }

    /// Runs it, and checks that everything is as expected and that every check was made.
    pub(crate) fn passes(&self) {
        let said = self.run(&Ground::new());
        self.assert_passed(&said);
    }

    pub(crate) fn passes_on_a_terminal(&self) {
        let ground = Ground::new();
        let mut command = self.command(&ground).1;
        let terminal = openpty(None, None).unwrap();
        let slave = || Stdio::from(terminal.slave.try_clone().unwrap());
        let mut child = command.stdout(slave()).stderr(slave()).spawn().unwrap();
        drop((command, terminal.slave));
        let output = read_terminal(terminal.master);
        let code = child.wait().unwrap().code();
        ground.gantry.wait_all();
        self.assert_passed(&Said { output, code });
    }

    fn assert_passed(&self, said: &Said) {
        // With the host's users, a pod may warn that nothing limits its apps' processes, and with the host's network, that an
        // app is root in it.
        let is_expected = |line: &str| {
            let warned = ["no pids controller", " is root in the host's network, "];
            line.starts_with("ok ") || warned.iter().any(|warning| line.contains(warning))
        };
        let failed: Vec<_> = said.output.lines().filter(|line| !is_expected(line)).collect();
        assert!(failed.is_empty() && said.code == Some(0), "{:?}: {failed:#?}", said.code);
        let expected: BTreeSet<String> = self.checks();
        let passed = said.output.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::to_owned);
        assert_eq!(passed.collect::<BTreeSet<_>>(), expected, "checks that were made");
    }

    /// Returns every `ROLE CHECK` that is to be made.
    fn checks(&self) -> BTreeSet<String> {
        let roles = self.expectations.as_object().unwrap().iter();
        let of_role = |(role, checks): (&String, &Value)| {
            let names: Vec<_> =
                checks.as_object().unwrap().keys().map(|name| format!("{role} {name}")).collect();
            names
        };
        roles.flat_map(of_role).filter(|check| !check.ends_with(" exit")).collect()
    }

    /// Runs it, whatever the result, and removes the pod.
    pub(crate) fn run(&self, ground: &Ground) -> Said {
        let (pod, mut command) = self.command(ground);
        let output = command.output().unwrap();
        ground.gantry.wait_all();
        let output_text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            assert_eq!((status(&pod, "main"), status(&pod, "sidekick")), (0, 0));
        }
        fs::remove_dir_all(&pod).unwrap();
        Said { output: output_text.into_owned(), code: output.status.code() }
    }

    /// Prepares the pod, writes its expectations, and returns it with the command that starts it.
    fn command(&self, ground: &Ground) -> (PathBuf, Command) {
        ground.renew();
        let Ground { gantry, host } = ground;
        let images = self.images.iter().enumerate();
        let images: Vec<PathBuf> =
            images.map(|(n, manifest)| gantry.image(&format!("image-{n}"), &self.rootfs, manifest)).collect();
        let in_host = |text: &str| text.replace("HOST/", &format!("{}/", host.display()));
        let mut arguments: Vec<String> = self.arguments.iter().map(|argument| in_host(argument)).collect();
        if let Some(pod) = &self.pod {
            let id = testing::pods::image_id(&images[0]);
            let manifest = gantry.beside("pod.json");
            let text = pod.to_string().replace("SHA512", &testing::pods::image_sha512(&images[0]));
            fs::write(&manifest, in_host(&text.replace("IMAGE", &id))).unwrap();
            arguments.extend(["--pod-manifest".into(), manifest.display().to_string()]);
        }
        let images: Vec<_> = images.iter().map(PathBuf::as_path).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let pod = gantry.prepare(&images, &arguments);
        let id = pod.file_name().unwrap().to_string_lossy().into_owned();
        let expectations = self.expectations.to_string().replace("HOSTNAME", &format!("gantry-{}", &id[..8]));
        fs::write(host.join("config/expectations.json"), expectations).unwrap();
        let mut command = gantry.installer();
        command.arg("run").arg(id);
        (pod, command)
    }
}

/// Reads everything that is written to a terminal, with its line ends made plain again.
fn read_terminal(master: OwnedFd) -> String {
    let (mut file, mut all, mut part) = (File::from(master), Vec::new(), [0; 4096]);
    // EIO: the last process that had the terminal has closed it (pty(7)).
    while let Ok(count @ 1..) = file.read(&mut part) {
        all.extend(&part[..count]);
    }
    String::from_utf8(all).unwrap().replace("\r\n", "\n")
}

/// Returns `["/NAME", "--expectations=…", ROLE, WORD…]`.
pub(crate) fn exec(program: &str, role: &str, words: &[&str]) -> Value {
    let mut exec = vec![program, "--expectations=/config/expectations.json", role];
    exec.extend(words);
    json!(exec)
}

/// The checks for which a handler sees what its app sees.
const AS_THE_APP: [&str; 22] = [
    "environment",
    "user",
    "group",
    "groups",
    "directory",
    "umask",
    "bounding",
    "effective",
    "permitted",
    "inheritable",
    "ambient",
    "no_new_privileges",
    "seccomp",
    "denied_calls",
    "allowed_calls",
    "oom_score_adjust",
    "signals",
    "terminals",
    "hostname",
    "writable",
    "read_only",
    "mounts",
];

/// Returns what a handler sees whose app sees `app`, and which runs after these roles. It has none of the app's
/// sockets, and no input.
pub(crate) fn handler_sees(app: &Value, role: &str, after: &[&str]) -> Value {
    let mut sees = json!({"log": "/data/log", "arguments": [role], "descriptors": [0, 1, 2], "input": ""});
    for check in AS_THE_APP.iter().filter(|check| app.get(check).is_some()) {
        sees[check] = app[check].clone();
    }
    if !after.is_empty() {
        sees["log_before"] = json!(after);
    }
    sees
}
