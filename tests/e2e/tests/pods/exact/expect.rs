// SPDX-License-Identifier: Apache-2.0
//! What a program of an app's has according to the documentation alone: nothing of Gantry's code is used here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::generate::{App, Capabilities, ERRORS, Seccomp, Users};

/// The specification's 14 default capabilities, a bit each (docs/manifests.md).
const DEFAULT: u64 = 0xa804_25fb;
/// Capabilities that only the pod's users can have (docs/security.md): NET_ADMIN, IPC_OWNER, SYS_PTRACE, SYS_ADMIN and
/// SYS_BOOT.
const OF_THE_POD: u64 = 1 << 12 | 1 << 15 | 1 << 19 | 1 << 21 | 1 << 22;
/// The number of ids of an app, and of a pod's own.
const BLOCK: u32 = 1 << 16;

/// What the test's own process has: bounds of what it can give.
pub(super) struct Host {
    capabilities: u64,
    oom_score: i16,
    threads: u64,
    /// Its limits by name, soft and hard.
    limits: BTreeMap<String, String>,
}

/// `CAP_SYS_RESOURCE`, without which no hard limit is raised and no score lowered.
const RESOURCE: u64 = 1 << 24;

impl Host {
    pub(super) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap().trim().to_owned();
        let status = fields(&read("/proc/self/status"));
        Self {
            capabilities: u64::from_str_radix(&status["CapBnd"], 16).unwrap(),
            oom_score: read("/proc/self/oom_score_adj").parse().unwrap(),
            limits: limits_of(&read("/proc/self/limits")),
            threads: read("/proc/sys/kernel/threads-max").parse().unwrap(),
        }
    }

    fn score(&self, wanted: Option<i16>) -> i16 {
        let may_have = |score: &i16| self.capabilities & RESOURCE != 0 || *score >= self.oom_score;
        wanted.filter(may_have).unwrap_or(self.oom_score)
    }

    /// Returns a limit, or the hard one of this process if that is lower and can't be raised.
    fn limit(&self, name: &str, wanted: &str) -> String {
        let own = self.limits[name].rsplit(' ').next().unwrap();
        let number = |limit: &str| limit.parse().unwrap_or(u64::MAX);
        let is_free = self.capabilities & RESOURCE != 0 || number(own) >= number(wanted);
        if is_free { wanted } else { own }.to_owned()
    }
}

/// Returns soft and hard limits by name, of a file /proc/PID/limits, whose names have a column of 26 bytes.
fn limits_of(text: &str) -> BTreeMap<String, String> {
    let limit = |line: &str| {
        let (name, values) = line.split_at_checked(26)?;
        let values: Vec<_> = values.split_whitespace().take(2).collect();
        Some((name.trim().to_owned(), values.join(" ")))
    };
    text.lines().skip(1).filter_map(limit).collect()
}

/// Returns the fields of /proc/PID/status, each as words with one blank between.
fn fields(status: &str) -> BTreeMap<String, String> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    status.lines().filter_map(field).collect()
}

fn capabilities(app: &App) -> u64 {
    let bits = |set: &std::collections::BTreeSet<u8>| set.iter().fold(0, |bits, number| bits | 1 << number);
    match &app.capabilities {
        Capabilities::Default => DEFAULT,
        Capabilities::Retain(set) => bits(set),
        Capabilities::Remove(set) => DEFAULT & !bits(set),
    }
}

/// Returns what the program of the app at `index` has, by name.
pub(super) fn expected(app: &App, index: usize, apps: usize, host: &Host) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: String| assert!(all.insert(name.to_owned(), value).is_none());
    let bounding = capabilities(app) & host.capabilities;
    // Root has what it may have, others have nothing until they execute a file with capabilities.
    let usable = if app.uid == 0 { bounding } else { 0 };
    for (name, value) in
        [("CapInh", 0), ("CapPrm", usable), ("CapEff", usable), ("CapBnd", bounding), ("CapAmb", 0)]
    {
        set(name, format!("{value:016x}"));
    }
    set("Uid", [app.uid.to_string().as_str(); 4].join(" "));
    set("Gid", [app.gid.to_string().as_str(); 4].join(" "));
    set("Groups", groups(app));
    set("NoNewPrivs", u8::from(app.no_new_privileges == Some(true)).to_string());
    set("Seccomp", "2".into());
    // The pod's is there always. With the host's users, there is a floor below what the app asks for.
    let further = match (&app.seccomp, app.users) {
        (Seccomp::Default, _) | (Seccomp::All, Users::Host) => 1,
        (Seccomp::All, _) => 0,
        (Seccomp::List { .. }, Users::Host) => 2,
        (Seccomp::List { .. }, _) => 1,
    };
    set("Seccomp_filters", (1 + further).to_string());
    set("oom_score_adj", host.score(app.oom_score).to_string());
    let is_of_the_pod = app.users == Users::Shared || capabilities(app) & OF_THE_POD != 0;
    let (first, blocks) = (BLOCK * u32::try_from(index + 1).unwrap(), u32::try_from(apps + 1).unwrap());
    set(
        "uid_map",
        match app.users {
            Users::Host => format!("0 0 {}", u32::MAX),
            _ if is_of_the_pod => format!("0 the-pods {}", BLOCK * blocks),
            _ => format!("0 {first} {BLOCK}"),
        },
    );
    set("mkdir", mkdir(&app.seccomp).to_owned());
    for (name, soft, hard) in limits(host.threads) {
        set(name, format!("{} {}", host.limit(name, &soft), host.limit(name, &hard)));
    }
    all
}

/// The supplementary groups include the primary one, as initgroups(3) has it, but for root's where it is the only one. The
/// kernel sorts them.
fn groups(app: &App) -> String {
    let mut groups = app.groups.clone();
    if !groups.contains(&app.gid) && (app.gid != 0 || !groups.is_empty()) {
        groups.push(app.gid);
    }
    groups.sort_unstable();
    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn mkdir(seccomp: &Seccomp) -> &'static str {
    match seccomp {
        Seccomp::List { denies_mkdir: true, errno: None, .. } => "killed",
        Seccomp::List { denies_mkdir: true, errno: Some(errno), .. } => {
            ERRORS.iter().find(|(name, _)| name == errno).unwrap().1
        }
        _ => "made",
    }
}

/// The limits of docs/running.md, as /proc/PID/limits has them.
fn limits(threads: u64) -> [(&'static str, String, String); 16] {
    let half = (threads / 2).to_string();
    let all = "unlimited";
    let both = |name, limit: &str| (name, limit.to_owned(), limit.to_owned());
    [
        both("Max cpu time", all),
        both("Max file size", all),
        both("Max data size", all),
        ("Max stack size", "8388608".into(), all.into()),
        ("Max core file size", "0".into(), all.into()),
        both("Max resident set", all),
        both("Max processes", &half),
        ("Max open files", "1024".into(), "524288".into()),
        both("Max locked memory", "8388608"),
        both("Max address space", all),
        both("Max file locks", all),
        both("Max pending signals", &half),
        both("Max msgqueue size", "819200"),
        both("Max nice priority", "0"),
        both("Max realtime priority", "0"),
        both("Max realtime timeout", all),
    ]
}

/// Reads what a program has shown in its directory, under the names of [`expected`].
pub(super) fn found(directory: &Path) -> BTreeMap<String, String> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let names = [
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "Uid",
        "Gid",
        "Groups",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
    ];
    let mut all = fields(&read("status"));
    all.retain(|name, _| names.contains(&name.as_str()));
    all.extend(limits_of(&read("limits")));
    all.insert("oom_score_adj".into(), read("oom_score_adj").trim().to_owned());
    let mut map: Vec<_> = read("uid_map").split_whitespace().map(str::to_owned).collect();
    if map.get(1).and_then(|first| first.parse().ok()).is_some_and(|first: u32| first >= 0x4000_0000) {
        map[1] = "the-pods".into();
    }
    all.insert("uid_map".into(), map.join(" "));
    let (is_made, said) = (directory.join("made").is_dir(), read("said"));
    let error = ERRORS.iter().find(|(_, text)| said.contains(text));
    let mkdir = match (is_made, error) {
        (true, None) => "made",
        (false, Some((_, text))) => text,
        (false, None) if said.is_empty() || said.contains("Bad system call") => "killed",
        _ => &said,
    };
    all.insert("mkdir".into(), mkdir.to_owned());
    all
}
