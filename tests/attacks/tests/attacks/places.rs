// SPDX-License-Identifier: Apache-2.0
//! A user of the host puts a program of its own where root looks for a pod's. Nothing is made or executed in a place
//! that users other than root can change.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gate::root_test;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use testing::image::script;
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::Rootfs;
use testing::{program, stage1};

/// The attacking user.
const USER: u32 = 1000;
/// What the user's program prints.
const ATTACKED: &str = "attacked\n";
const PROGRAM: &str = "#!/bin/sh\necho attacked\n";

/// A directory that users can reach, with an image in it.
struct Host {
    gantry: Gantry,
    image: PathBuf,
}

impl Host {
    fn new() -> Self {
        let gantry = Gantry::new();
        mode(gantry.dir().parent().unwrap(), 0o755);
        let image = gantry.image("own", &Rootfs::busybox().unwrap(), &script("own", "echo own"));
        Self { gantry, image }
    }

    /// Makes a directory with this owner and mode.
    fn directory(&self, path: &str, owner: u32, bits: u32) -> PathBuf {
        let path = self.gantry.beside(path);
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        mode(&path, bits);
        path
    }

    fn installer(&self, dir: &Path, words: &[&str]) -> Output {
        let mut installer = Command::new(program("installer"));
        installer.env_clear().env("GANTRY_STAGE1", stage1()).arg("--dir").arg(dir).args(words);
        installer.output().unwrap()
    }

    fn prepare(&self, dir: &Path) -> Output {
        self.installer(dir, &["prepare", "--image", self.image.to_str().unwrap()])
    }

    /// Prepares a pod in a place that only root can change, and moves everything to `dir`.
    fn pod_in(&self, dir: &Path) -> PathBuf {
        let pod = self.gantry.prepare(&[&self.image], &[]);
        fs::rename(self.gantry.dir(), dir).unwrap();
        dir.join("containers").join(pod.file_name().unwrap())
    }
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
}

/// Runs a shell script as the user. It must succeed.
fn user(script: &str, path: &Path) {
    let mut shell = Command::new("/bin/sh");
    shell.uid(USER).gid(USER).current_dir("/").args(["-ec", script, "sh"]).arg(path);
    assert!(shell.status().unwrap().success(), "{script}");
}

/// Enters a pod directory by its path and executes what is there, as a careless program would.
fn follow(pod: &Path) -> String {
    let script = "cd \"$1\" && exec ./stage1/init --failure-code=254";
    text(&Command::new("/bin/sh").args(["-c", script, "sh"]).arg(pod).output().unwrap().stdout)
}

/// Checks that the installer failed with one line that contains all of `parts`, and printed nothing else.
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_says(&error, parts);
}

/// Returns what the error says of a directory on the way.
fn on_the_way(path: &Path, owner: u32, bits: u32) -> String {
    format!("\"{}\", which is on the way to it: owner {owner}, mode {bits:04o}", path.display())
}

#[root_test]
fn a_pod_below_a_users_directory_is_not_run() {
    let host = Host::new();
    let home = host.directory("home", USER, 0o755);
    let dir = home.join("gantry");
    let pod = host.pod_in(&dir);
    let id = pod.file_name().unwrap().to_str().unwrap();
    let named = on_the_way(&home, USER, 0o755);
    let way_out = format!("another --dir, or chown -h root \"{}\"", home.display());
    let parts = ["others can write to", &named, &way_out];
    // Everything in it belongs to root.
    refused(&host.installer(&dir, &["run", id]), 254, &parts);

    let attack = format!(
        "mv \"$1\" \"$1.away\"; mkdir -p \"$1/containers/{id}/stage1\"; cd \"$1/containers/{id}/stage1\"
         printf '#!/bin/sh\\necho attacked\\n' >init; chmod 755 init"
    );
    user(&attack, &dir);
    assert_eq!(follow(&pod), ATTACKED, "control: who follows the path executes the user's program");
    refused(&host.installer(&dir, &["run", id]), 254, &parts);
    refused(&host.installer(&host.gantry.dir(), &["run", pod.to_str().unwrap()]), 254, &parts);
    let relative = format!("./{id}");
    let run = host.gantry.installer().args(["run", &relative]).current_dir(pod.parent().unwrap()).output();
    refused(&run.unwrap(), 254, &parts);
}

#[root_test]
fn no_command_works_in_a_directory_that_others_can_put_another_in_place_of() {
    let host = Host::new();
    let image = host.image.to_str().unwrap().to_owned();
    for (name, owner, bits) in [("home", USER, 0o755), ("group", 0, 0o775), ("all", 0, 0o757)] {
        let open = host.directory(name, owner, bits);
        let named = on_the_way(&open, owner, bits);
        let parts = ["others can write to", &named];
        // It is refused at any depth, and whether or not it exists.
        refused(&host.prepare(&open.join("a/new")), 1, &parts);
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0, "nothing is made there");
        let dir = open.join("a/gantry");
        fs::create_dir(open.join("a")).unwrap();
        host.pod_in(&dir);
        for words in [
            &["prepare", "--image", &image][..],
            &["image", "import", &image],
            &["image", "list"],
            &["image", "rm", "sha256-00"],
            &["verify"],
            &["gc"],
        ] {
            refused(&host.installer(&dir, words), 1, &parts);
        }
        refused(&host.installer(&dir, &["run", "--image", &image]), 254, &parts);
    }
}

#[root_test]
fn in_a_sticky_directory_it_counts_whose_the_entry_is() {
    let host = Host::new();
    let sticky = host.directory("sticky", 0, 0o1777);
    assert!(host.prepare(&sticky.join("gantry")).status.success());
    assert!(host.prepare(&sticky.join("a/gantry")).status.success());
    let entry = host.directory("sticky/entry", USER, 0o755);
    let parts = ["its owner can replace", &on_the_way(&entry, USER, 0o755)];
    refused(&host.prepare(&entry.join("gantry")), 1, &parts);
    // A sticky bit protects nothing in a directory that belongs to a user.
    let users = host.directory("users", USER, 0o1777);
    refused(&host.prepare(&users.join("gantry")), 1, &[&on_the_way(&users, USER, 0o1777)]);
    assert_eq!(fs::read_dir(&users).unwrap().count(), 0);
}

#[root_test]
fn links_on_the_way_to_a_directory_must_be_guarded_too() {
    let host = Host::new();
    let (home, safe) = (host.directory("home", USER, 0o755), host.directory("safe", 0, 0o755));
    let sticky = host.directory("sticky", 0, 0o1777);
    let link = |at: &Path, target: &Path, owner: u32| {
        symlink(target, at).unwrap();
        std::os::unix::fs::lchown(at, Some(owner), Some(owner)).unwrap();
        at.to_owned()
    };
    // The user who can replace a link decides where it leads.
    let users = link(&home.join("link"), &safe, 0);
    refused(&host.prepare(&users.join("gantry")), 1, &[&on_the_way(&home, USER, 0o755)]);
    let through = link(&safe.join("through"), Path::new("../home/link/below"), 0);
    refused(&host.prepare(&through.join("gantry")), 1, &[&on_the_way(&home, USER, 0o755)]);
    let in_sticky = link(&sticky.join("users"), &safe, USER);
    refused(&host.prepare(&in_sticky.join("gantry")), 1, &[&on_the_way(&in_sticky, USER, 0o777)]);
    assert_eq!(fs::read_dir(&safe).unwrap().count(), 1);
    // Only root can have changed where these lead.
    for good in
        [link(&sticky.join("roots"), &safe, 0), link(&safe.join("relative"), Path::new("../safe/./"), USER)]
    {
        let output = host.prepare(&good.join("gantry"));
        assert!(output.status.success(), "{good:?}: {}", text(&output.stderr));
    }
}

/// Runs the installer with a DIR other than the pod's. The error is found where the pod is.
#[root_test]
fn a_pod_that_is_not_roots_alone_is_not_run() {
    let host = Host::new();
    let pod = host.gantry.prepare(&[&host.image], &["--layout", "copy"]);
    let id = pod.file_name().unwrap().to_str().unwrap();
    let stage1 = pod.join("stage1");
    let init = stage1.join("init");
    let run = || host.gantry.installer().args(["run", id]).output().unwrap();
    for (path, what) in
        [(&pod, "pod directory"), (&stage1, "stage1: "), (&init, "stage1/init of pod directory")]
    {
        let original = fs::metadata(path).unwrap().permissions().mode();
        for (owner, bits) in [(USER, 0o755), (0, 0o775), (0, 0o757)] {
            chown(path, Some(owner), None).unwrap();
            mode(path, bits);
            let found = format!("others can write to it: owner {owner}, mode {bits:04o}");
            refused(&run(), 254, &[what, id, &found]);
        }
        chown(path, Some(0), None).unwrap();
        mode(path, original);
    }
    for path in [&init, &stage1, &pod] {
        let away = path.with_extension("away");
        fs::rename(path, &away).unwrap();
        symlink(&away, path).unwrap();
        // A link to a pod directory works like the directory, but the pod is named after its directory.
        refused(&run(), 254, &[if *path == pod { "not in a pod directory" } else { id }]);
        fs::remove_file(path).unwrap();
        fs::rename(&away, path).unwrap();
    }
    assert_eq!(text(&run().stdout), "own\n");
    host.gantry.wait_all();
}

/// A user who executes `/init` directly has to trust it. What it reads may still be anybody's.
#[root_test]
fn init_itself_trusts_no_directory_of_others() {
    let host = Host::new();
    let pod = host.gantry.prepare(&[&host.image], &[]);
    for (path, what) in [
        (pod.clone(), "the pod directory"),
        (pod.join("stage1"), "stage1"),
        (host.gantry.dir(), "the data directory"),
    ] {
        let original = fs::metadata(&path).unwrap().permissions().mode();
        for (owner, bits, found) in [
            (USER, 0o755, "it belongs to user 1000: expected 0".to_owned()),
            (0, 0o775, "others than its owner can write there: mode 0775".to_owned()),
        ] {
            chown(&path, Some(owner), None).unwrap();
            mode(&path, bits);
            let (code, output) = host.gantry.start(&pod).wait();
            let error = text(&output.stderr);
            assert_eq!((code, text(&output.stdout).as_str()), (1, ""), "{error}");
            assert!(error.ends_with(&format!("{what}: {found}\n")), "{error}");
        }
        chown(&path, Some(0), None).unwrap();
        mode(&path, original);
    }
    assert_eq!(host.gantry.start(&pod).wait().0, 0);
}

/// Starts a pod again and again while the objects at `first` and `second` are exchanged. Only what was checked may be
/// started: root's, which can't load a missing manifest. The user's is refused.
fn race(host: &Host, pod: &Path, first: &Path, second: &Path) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, first, CWD, second, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let run = || host.gantry.installer().arg("run").arg(pod).output().unwrap();
        let starts: Vec<_> = (0..300).map(|_| run()).collect();
        let followed = (0..100_000).map(|_| follow(pod)).find(|said| !said.is_empty());
        done.store(true, Ordering::Relaxed);
        for output in &starts {
            refused(output, 254, &["error: "]);
        }
        let count = |part| starts.iter().filter(|output| text(&output.stderr).contains(part)).count();
        let (loads, looks) = (count("cannot read the pod's manifest"), count("others can write to it"));
        assert_eq!(loads + looks, starts.len(), "{loads} and {looks}");
        assert_eq!(
            followed.as_deref(),
            Some(ATTACKED),
            "control: who follows the path executes the user's program"
        );
    });
}

/// Makes a pod directory that has a program and nothing else, in a directory of its own.
fn empty_pod(host: &Host, parent: &str, owner: u32) -> PathBuf {
    let pod = host.gantry.beside(parent).join("6733c088-a507-4694-aabf-ae0bc1ccaaff");
    fs::create_dir_all(pod.join("stage1")).unwrap();
    let init = pod.join("stage1/init");
    if owner == 0 {
        fs::copy(testing::init(), &init).unwrap();
    } else {
        fs::write(&init, PROGRAM).unwrap();
    }
    mode(&init, 0o755);
    for path in [&init, init.parent().unwrap(), &pod] {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    pod
}

#[root_test]
fn a_pod_directory_that_is_replaced_while_it_starts_is_not_executed() {
    let host = Host::new();
    let (pod, users) = (empty_pod(&host, "roots", 0), empty_pod(&host, "users", USER));
    race(&host, &pod, &pod, &users);
}

#[root_test]
fn a_program_that_is_replaced_while_it_starts_is_not_executed() {
    let host = Host::new();
    let (pod, users) = (empty_pod(&host, "roots", 0), empty_pod(&host, "users", USER));
    race(&host, &pod, &pod.join("stage1/init"), &users.join("stage1/init"));
}
