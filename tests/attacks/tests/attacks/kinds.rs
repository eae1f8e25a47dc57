// SPDX-License-Identifier: Apache-2.0
//! Kinds of apps in one pod, beside a victim: root, a user, root beside an app that it shares a volume with, root with a
//! read-only root, and root with a volume of the host's. Each makes all attacks and stays until the test has seen enough.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, Running, image_id, text};

use crate::subject::{Said, parse, rootfs};

/// An app that attacks.
pub(crate) struct App<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its user and group.
    pub(crate) user: u32,
    /// Whether its root is read-only.
    pub(crate) is_read_only: bool,
    /// The volume that it has, at `/volume`.
    pub(crate) volume: Option<&'a str>,
    /// Its isolators, as in a manifest.
    pub(crate) isolators: Vec<Value>,
}

/// A pod with a victim, and what its apps have said.
pub(crate) struct Pod {
    gantry: Gantry,
    running: Running,
    directory: PathBuf,
    /// The outcomes of its apps' attacks.
    pub(crate) said: Said,
}

/// The victim's name.
const VICTIM: &str = "first";
/// The user 1000, of an app and of the host.
pub(crate) const USER: u32 = 1000;

/// An app of uid 0 with nothing special about it.
pub(crate) fn root() -> App<'static> {
    App { name: "root", user: 0, is_read_only: false, volume: None, isolators: vec![tasks()] }
}

/// All five kinds.
pub(crate) fn all() -> [App<'static>; 5] {
    [
        root(),
        App { name: "user", user: USER, ..root() },
        App { name: "second", volume: Some("shared"), ..root() },
        App { name: "read-only", is_read_only: true, ..root() },
        App { name: "volume", volume: Some("host"), ..root() },
    ]
}

/// The victim, of uid 0.
pub(crate) fn victims() -> App<'static> {
    App { name: VICTIM, volume: Some("shared"), ..root() }
}

/// Lets an app have fewer processes than an attack wants, so that not many are made.
fn tasks() -> Value {
    json!({"name": "resource/tasks", "value": {"limit": 100}})
}

/// Has the kernel tell of a device until it is dropped, and listens where nobody in a pod may connect.
pub(crate) struct Host {
    _loopback: TcpListener,
    _abstract: UnixListener,
    done: std::sync::Arc<AtomicBool>,
    teller: Option<thread::JoinHandle<()>>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let address = SocketAddr::from_abstract_name("gantry-attack").unwrap();
        let done = std::sync::Arc::new(AtomicBool::new(false));
        let told = std::sync::Arc::clone(&done);
        let teller = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                fs::write("/sys/class/mem/null/uevent", "change").unwrap();
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            _loopback: TcpListener::bind("127.0.0.1:4242").unwrap(),
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            done,
            teller: Some(teller),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.teller.take().map(thread::JoinHandle::join);
    }
}

impl Pod {
    /// Starts a pod with these annotations, in which a victim of this user and these apps are, and waits until all
    /// attacks were made.
    pub(crate) fn start(annotations: &Value, victim: u32, apps: &[App<'_>], attacks: &[&str]) -> Self {
        Self::start_in("overlay", annotations, victim, apps, attacks)
    }

    /// Does the same with the apps' roots in this layout.
    pub(crate) fn start_in(
        layout: &str,
        annotations: &Value,
        victim: u32,
        apps: &[App<'_>],
        attacks: &[&str],
    ) -> Self {
        let gantry = Gantry::new();
        // An account of the host's gets there.
        let temporary = gantry.beside("");
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).unwrap();
        let victim = App { user: victim, ..victims() };
        let directory = prepare(&gantry, layout, annotations, Some(&victim), apps, attacks);
        let mut running = gantry.start(&directory);
        // The victim stays, too.
        let said: String = (0..=apps.len()).map(|_| running.read_until(" stays\n")).collect();
        let said = parse(&said);
        assert_eq!(said.len(), apps.len() * attacks.len(), "{said:#?}");
        Self { gantry, running, directory, said }
    }

    /// Makes the attacks by `enter`, beside an app.
    pub(crate) fn entered(&self, app: &str, attacks: &[&str]) -> Said {
        let mut enter = self.gantry.installer();
        enter.arg("enter").arg(&self.directory).args(["--app", app, "--", "/attack"]).args(attacks);
        let output = enter.output().unwrap();
        assert!(output.status.success(), "{app}: {}", text(&output.stderr));
        parse(&text(&output.stdout))
    }

    /// Makes the attacks as an account of the host's that has an app's user.
    pub(crate) fn by_account(&self, app: &str, attacks: &[&str]) -> Said {
        let program = self.gantry.beside("attack");
        fs::copy(testing::program("attack"), &program).unwrap();
        let mut attack = Command::new(program);
        attack.uid(USER).gid(USER).current_dir("/").env_clear().env("ATTACK_VICTIM", mark(&self.gantry, app));
        let output = attack.args(attacks).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        parse(&text(&output.stdout))
    }

    /// Ends the pod.
    pub(crate) fn end(self) -> Said {
        self.running.signal(Signal::SIGTERM);
        let (code, output) = self.running.wait();
        assert_eq!(code, 0, "{}", text(&output.stderr));
        self.said
    }
}

/// The mark of an app's process, which no process of another test has.
fn mark(gantry: &Gantry, app: &str) -> String {
    format!("{}-{app}", unique(gantry))
}

fn unique(gantry: &Gantry) -> String {
    let temporary = gantry.dir();
    temporary.parent().and_then(Path::file_name).unwrap().to_str().unwrap().to_owned()
}

/// Prepares a pod of these apps, and with a victim, with one that stays as they do.
pub(crate) fn prepare(
    gantry: &Gantry,
    layout: &str,
    annotations: &Value,
    victim: Option<&App<'_>>,
    apps: &[App<'_>],
    attacks: &[&str],
) -> PathBuf {
    let image = gantry.image("attack", &rootfs(), &manifest("attack", &["/attack"]));
    let host = gantry.beside("host");
    fs::create_dir(&host).unwrap();
    let mut pod = pod(&unique(gantry), host.to_str().unwrap(), &image_id(&image), victim, apps, attacks);
    pod["annotations"] = annotations.clone();
    let path = gantry.beside("pod.json");
    fs::write(&path, pod.to_string()).unwrap();
    gantry.prepare(&[&image], &["--layout", layout, "--pod-manifest", path.to_str().unwrap()])
}

/// Returns the manifest of a pod of these apps, whose processes' marks begin with `unique`.
pub(crate) fn pod(
    unique: &str,
    host: &str,
    image: &str,
    victim: Option<&App<'_>>,
    apps: &[App<'_>],
    attacks: &[&str],
) -> Value {
    let stay = victim.map(|_| "--stay");
    let words: Vec<_> = stay.iter().chain(attacks).copied().collect();
    let entries = apps.iter().map(|app| (app, &words[..])).chain(victim.map(|app| (app, &["--stay"][..])));
    let entries: Vec<_> = entries.map(|(app, words)| entry(unique, image, app, words)).collect();
    json!({
        "acKind": "PodManifest", "acVersion": "0.8.11", "apps": entries,
        "volumes": [{"name": "shared", "kind": "empty"}, {"name": "host", "kind": "host", "source": host}],
    })
}

fn entry(unique: &str, id: &str, app: &App<'_>, words: &[&str]) -> Value {
    let own = format!("{unique}-{}", app.name);
    let exec: Vec<_> = ["/attack", "--as", &own].into_iter().chain(words.iter().copied()).collect();
    let place = if app.volume.is_some() { "/volume" } else { "/tmp" };
    let environment = json!([
        {"name": "ATTACK_VICTIM", "value": format!("{unique}-{VICTIM}")},
        {"name": "ATTACK_PLACE", "value": place},
    ]);
    let mounts: Vec<_> = app.volume.iter().map(|name| json!({"volume": name, "path": "/volume"})).collect();
    let user = app.user.to_string();
    json!({
        "name": app.name, "image": {"id": id}, "readOnlyRootFS": app.is_read_only, "mounts": mounts,
        "app": {
            "exec": exec, "user": user, "group": user, "isolators": app.isolators, "environment": environment,
        },
    })
}
