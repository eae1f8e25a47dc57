// SPDX-License-Identifier: Apache-2.0
//! An app fills the disk that its pod directory is on, to the last block.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gate::root_test;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use testing::host::own_mounts;
use testing::image::{manifest, with_handler};
use testing::pods::{Gantry, image_id, status, text};
use testing::rootfs::Rootfs;

/// Writes blocks and then bytes, until nothing more can be written.
const FILL: &str = "busybox dd if=/dev/zero of=/fill bs=64k 2>/dev/null; \
                    busybox dd if=/dev/zero of=/rest bs=1 2>/dev/null; \
                    (echo x > /more) 2>/dev/null && exit 99; ";

const DISKS: [Disk; 2] = [Disk::Ext4, Disk::Tmpfs];

#[derive(Clone, Copy, Debug)]
pub(super) enum Disk {
    Ext4,
    Tmpfs,
}

impl Disk {
    /// Mounts a file system where the data directory is, for this thread and the processes that it starts.
    pub(super) fn mount(self) -> OnDisk {
        let gantry = Gantry::new();
        own_mounts();
        let dir = gantry.dir();
        fs::create_dir(&dir).unwrap();
        match self {
            Self::Ext4 => {
                let image = gantry.beside("disk");
                File::create(&image).unwrap().set_len(96 << 20).unwrap();
                run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-b", "1024"]).arg(&image));
                run(Command::new("mount").args(["-o", "loop"]).args([&image, &dir]));
            }
            Self::Tmpfs => {
                mount(None::<&str>, &dir, Some("tmpfs"), MsFlags::empty(), Some("size=64m")).unwrap();
            }
        }
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        OnDisk(gantry)
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

pub(super) struct OnDisk(pub(super) Gantry);

impl Drop for OnDisk {
    fn drop(&mut self) {
        // The reaper may keep it open for a moment.
        umount2(&self.0.dir(), MntFlags::MNT_DETACH).unwrap();
    }
}

impl OnDisk {
    /// Prepares a pod of one app that is root.
    fn prepare(&self, image: &Value) -> PathBuf {
        let image = self.0.image("one", &Rootfs::busybox().unwrap(), image);
        self.0.prepare(&[&image], &[])
    }

    fn run(&self, pod: &Path) -> (Option<i32>, String, String) {
        let output: Output = self.0.installer().arg("run").arg(pod).stdin(Stdio::null()).output().unwrap();
        self.0.wait_all();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

fn app(script: &str) -> Value {
    manifest("one", &["/bin/sh", "-c", script])
}

#[root_test]
fn a_full_disk_loses_no_code() {
    for disk in DISKS {
        let on = disk.mount();
        for code in [7, 0] {
            let image =
                with_handler(app(&format!("{FILL}exit {code}")), "post-stop", "echo after; rm -f /fill");
            let pod = on.prepare(&image);
            let ended = on.run(&pod);
            assert_eq!(ended, (Some(code), "after\n".into(), String::new()), "{disk:?}");
            assert_eq!(i32::from(status(&pod, "one")), code, "{disk:?}");
            // Statuses are complete before the handler that freed space has run.
            fs::remove_dir_all(&pod).unwrap();
        }
    }
}

#[root_test]
fn an_app_that_is_started_again_on_a_full_disk_has_its_last_status() {
    for disk in DISKS {
        let on = disk.mount();
        let mut image = app(&format!("[ -e /rest ] && exit 0; {FILL}exit 137"));
        image["annotations"] = json!([{"name": "gantry/restart", "value": "on-failure"}]);
        let pod = on.prepare(&image);
        assert_eq!(on.run(&pod), (Some(0), String::new(), String::new()), "{disk:?}");
        assert_eq!(status(&pod, "one"), 0, "{disk:?}");
    }
}

/// More names than a directory's first block holds.
#[root_test]
fn every_app_of_many_has_its_status_on_a_full_disk() {
    let on = Disk::Ext4.mount();
    let full = format!("{FILL}echo > /dev/shm/full; exit 0");
    let image = on.0.image("one", &Rootfs::busybox().unwrap(), &app(&full));
    let waits = ["/bin/sh", "-c", "until [ -e /dev/shm/full ]; do sleep 0.1; done"];
    let names: Vec<_> = (0..APPS).map(|number| format!("an-app-with-quite-a-long-name-{number}")).collect();
    let apps = names.iter().enumerate().map(|(number, name)| {
        let mut app = json!({"name": name, "image": {"id": image_id(&image)}});
        if number > 0 {
            app["app"] = json!({"exec": waits, "user": "0", "group": "0"});
        }
        app
    });
    let apps: Vec<_> = apps.collect();
    let manifest = on.0.beside("pod.json");
    fs::write(&manifest, json!({"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps}).to_string())
        .unwrap();
    let pod = on.0.prepare(&[&image], &["--pod-manifest", manifest.to_str().unwrap()]);
    assert_eq!(on.run(&pod), (Some(0), String::new(), String::new()));
    assert!(names.iter().all(|name| status(&pod, name) == 0));
}

/// The number of apps whose reserved statuses fill the directory's block, which has 1024 bytes here: 10 entries of 40
/// bytes and 13 of 44 leave 16.
const APPS: usize = 23;

/// The space that was reserved for the status is taken away, as on a file system that reserves nothing.
#[root_test]
fn a_status_that_can_not_be_written_is_said_and_makes_no_success() {
    let said = "error: cannot write the status of app one: No space left on device (os error 28)\n";
    let on = Disk::Tmpfs.mount();
    for (code, expected) in [(7, 7), (0, 254)] {
        let mut image = app(&format!("echo up; read line < /go; {FILL}exit {code}"));
        image["app"]["mountPoints"] = json!([{"name": "go", "path": "/go"}]);
        let image = on.0.image("one", &Rootfs::busybox().unwrap(), &image);
        let go = on.0.beside(&format!("go-{code}"));
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pod = on.0.prepare(&[&image], &["--volume", &format!("go,kind=host,source={}", go.display())]);
        let mut run = on.0.installer();
        run.arg("run").arg(&pod).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = run.spawn().unwrap();
        // From then on, the app has it open for reading.
        let mut writer = File::options().write(true).open(&go).unwrap();
        fs::remove_file(pod.join("stage1/rkt/status/.one")).unwrap();
        std::io::Write::write_all(&mut writer, b"go\n").unwrap();
        let output = run.wait_with_output().unwrap();
        on.0.wait_all();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(expected), said));
        fs::remove_dir_all(&pod).unwrap();
    }
}

#[root_test]
fn a_full_disk_keeps_no_app_in_the_background_waiting() {
    let on = Disk::Tmpfs.mount();
    let pod = on.prepare(&app("busybox head -c 200000000 /dev/zero | busybox tr '\\0' x; echo; exit 7"));
    let id = pod.file_name().unwrap().to_string_lossy().into_owned();
    let run = |words: &[&str]| on.0.installer().args(words).output().unwrap();
    let started = run(&["start", &id, "--log-opt", "max-size=unlimited"]);
    assert!(started.status.success(), "{started:?}");
    assert_eq!(text(&run(&["wait", &id]).stdout), "7\n", "it has come to its end");
    let logs = run(&["logs", &id]);
    let said = text(&logs.stderr);
    assert!(logs.status.success() && !logs.stdout.is_empty(), "{said}");
    // In the log itself, if there was space for that at the end, else beside it.
    let is_said = said.contains("bytes are not in this log: No") || said.contains("bytes are not there: No");
    assert!(is_said, "{said}");
    on.0.wait_all();
    fs::remove_dir_all(&pod).unwrap();
}
