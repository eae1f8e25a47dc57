// SPDX-License-Identifier: Apache-2.0
//! Asks stage1's systemd what it understands: `systemd --test` reads units and dumps them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use archive::GENEROUS_MEMORY;
use archive::decode::decode;
use stage1_init::plan::Plan;
use tempfile::TempDir;
use testing::stage1;

const UNITS: &str = "etc/systemd/system/";

/// Stage1, unpacked where another user can read it.
pub(crate) struct Oracle {
    stage1: TempDir,
}

/// What systemd understood.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// Each unit's properties by name. A property that occurs several times has its values in their order.
    pub(crate) units: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// What it complained of in our units.
    pub(crate) complaints: Vec<String>,
}

/// Starts systemd as nobody, since it refuses to test as root.
const START: &str = "mount -t proc proc \"$1/proc\"; mount --rbind /sys \"$1/sys\"
exec chroot --userspec=65534:65534 \"$1\" \
    /usr/lib/systemd/systemd --test --system --unit=all.target --log-target=console";

fn public_directory() -> TempDir {
    // In memory if possible, since there are tens of thousands of small files.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { public_directory_in(memory) } else { public_directory_in(&std::env::temp_dir()) }
}

fn public_directory_in(place: &Path) -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::Builder::new().prefix("units").tempdir_in(place).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

impl Oracle {
    pub(crate) fn new() -> Self {
        let directory = public_directory();
        let (_, tar) = decode(File::open(stage1()).unwrap(), GENEROUS_MEMORY).unwrap();
        tar::Archive::new(tar).unpack(directory.path()).unwrap();
        let run = directory.path().join("run");
        fs::set_permissions(run, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        Self { stage1: directory }
    }

    /// Has systemd read all units of these plans at once.
    pub(crate) fn parse(&self, plans: &[Plan]) -> Parsed {
        let directory = public_directory_in(self.stage1.path());
        let wanted = directory.path().join("all.target.wants");
        fs::create_dir(&wanted).unwrap();
        fs::write(directory.path().join("all.target"), "[Unit]\nDefaultDependencies=no\n").unwrap();
        copy_units(&self.stage1.path().join("usr/lib/systemd/system"), directory.path());
        for (path, unit) in plans.iter().flat_map(|plan| &plan.files) {
            if let Some(name) = path.strip_prefix(UNITS) {
                fs::write(directory.path().join(name), &unit.content).unwrap();
                symlink(format!("../{name}"), wanted.join(name)).unwrap();
            }
        }
        let output = self.systemd(directory.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let of_ours = said
            .lines()
            .filter(|line| [".service", ".slice", "gantry"].iter().any(|ours| line.contains(ours)));
        let complaints = of_ours.map(str::to_owned).collect();
        Parsed { units: properties(&String::from_utf8_lossy(&output.stdout)), complaints }
    }

    /// Starts it in stage1, with what it looks for before it reads a unit. These mounts are in a namespace of its own: nothing
    /// that removes stage1 meets them.
    fn systemd(&self, units: &Path) -> Command {
        let units = Path::new("/").join(units.file_name().unwrap());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", START, "sh"]).arg(self.stage1.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command.env("SYSTEMD_UNIT_PATH", units).env("SYSTEMD_LOG_LEVEL", "warning");
        command
    }
}

fn copy_units(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Parses `-> Unit NAME:` with a line for each property, and `-> ExecX:` before a command's line.
fn properties(dump: &str) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut units = BTreeMap::new();
    let (mut unit, mut command) = (String::new(), None);
    for line in dump.lines() {
        let line = line.trim_start();
        if let Some(name) = line.strip_prefix("-> Unit ").and_then(|rest| rest.strip_suffix(':')) {
            unit = name.to_owned();
        } else if let Some(name) = line.strip_prefix("-> ").and_then(|rest| rest.strip_suffix(':')) {
            command = Some(name.to_owned());
        } else if let Some((key, value)) = line.split_once(':') {
            let key =
                if key == "Command Line" { command.clone().unwrap_or_default() } else { key.to_owned() };
            // The origin of a dependency doesn't matter.
            let value = value.trim().split(" (").next().unwrap_or_default().to_owned();
            let properties: &mut BTreeMap<String, Vec<String>> = units.entry(unit.clone()).or_default();
            properties.entry(key).or_default().push(value);
        }
    }
    units
}
