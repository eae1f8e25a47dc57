// SPDX-License-Identifier: Apache-2.0
//! Compares what was meant with what systemd understood and what the launch files say.

use std::collections::{BTreeMap, BTreeSet};

use pod::exec::Word;
use stage1_init::launch_file::Launch;
use stage1_init::plan::Plan;

use super::generate::App;
use super::oracle::Parsed;

const UNLIMITED: u64 = u64::MAX;

/// Returns the number of an app's units that were compared, and their differences. The app's slice is system.slice if
/// no app of its pod has limits.
pub(crate) fn app(app: &App, limited: bool, plan: &Plan, parsed: &Parsed) -> (usize, Vec<String>) {
    let mut differences = Vec::new();
    let roles = [
        ("pre-start", app.pre_start.as_ref()),
        ("app", Some(&app.exec)),
        ("post-stop", app.post_stop.as_ref()),
    ];
    let roles: Vec<_> = roles.into_iter().filter_map(|(role, exec)| Some((role, exec?))).collect();
    let own = format!("app-{}.slice", app.name.replace('-', r"\x2d"));
    let slice = if limited { own.as_str() } else { "system.slice" };
    if limited {
        differences.extend(compare(slice, resources(app), parsed));
    }
    for (role, exec) in &roles {
        let service = format!("{role}-{}", app.name);
        let mut expected = everywhere(app, &service);
        expected.extend(of_role(app, role, slice));
        differences.extend(compare(&format!("{service}.service"), expected, parsed));
        differences.extend(launch(app, exec, &service, plan));
    }
    (roles.len(), differences)
}

fn compare(unit: &str, expected: Properties, parsed: &Parsed) -> Vec<String> {
    let Some(found) = parsed.units.get(unit) else {
        return vec![format!("{unit}: not loaded")];
    };
    let mut differences = Vec::new();
    for (key, values) in expected {
        let values: BTreeSet<String> = values.into_iter().collect();
        let found: BTreeSet<String> =
            found.get(key).into_iter().flatten().map(|value| plain(key, value)).collect();
        if found != values {
            differences.push(format!("{unit}: {key} is {found:?}, meant {values:?}"));
        }
    }
    differences
}

type Properties = BTreeMap<&'static str, Vec<String>>;

fn resources(app: &App) -> Properties {
    let number = |value: Option<u64>, default: u64| vec![value.unwrap_or(default).to_string()];
    Properties::from([
        ("Unit Load State", vec!["loaded".into()]),
        ("DefaultDependencies", vec!["no".into()]),
        ("CPUQuotaPerSecSec", vec![app.quota.map_or("infinity".into(), |quota| quota.to_string())]),
        ("CPUWeight", number(app.weight, UNLIMITED)),
        ("MemoryMax", number(app.memory_limit, UNLIMITED)),
        ("MemoryLow", number(app.memory_request, 0)),
    ])
}

/// How many processes an app without users of its own may have.
const TASKS: u32 = 4096;

fn everywhere(app: &App, service: &str) -> Properties {
    let launchers = ["SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE"];
    let capability = |name: &&str| format!("cap_{}", name.to_lowercase());
    let mut bounding: Vec<_> = app.capabilities.iter().map(capability).collect();
    bounding.extend(launchers.iter().map(capability));
    let words = |words: &BTreeSet<String>| vec![words.iter().cloned().collect::<Vec<_>>().join(" ")];
    let mut all = Properties::from([
        ("Unit Load State", vec!["loaded".into()]),
        ("DefaultDependencies", vec!["no".into()]),
        ("CapabilityBoundingSet", words(&bounding.into_iter().collect())),
        ("TasksMax", vec![TASKS.to_string()]),
        ("OOMPolicy", vec!["continue".into()]),
        ("UMask", vec!["0022".into()]),
        ("KillMode", vec!["mixed".into()]),
        ("IgnoreSIGPIPE", vec!["no".into()]),
        ("RootDirectory", vec!["/".into()]),
        ("StandardInput", vec!["file".into()]),
        ("StandardInputFile", vec![format!("/etc/gantry/launch/{service}")]),
        ("StandardOutput", vec!["null".into()]),
        ("StandardError", vec!["null".into()]),
        ("ExecStart", vec!["/usr/lib/gantry/launch".into()]),
    ]);
    // Without a score, the dump has the default of an unprivileged systemd.
    if let Some(score) = app.oom_score_adjust {
        all.insert("OOMScoreAdjust", vec![score.to_string()]);
    }
    let is_condition =
        app.restart != "no" && app.pre_start.is_some() && service == format!("app-{}", app.name);
    let condition = is_condition.then(|| format!("/usr/lib/gantry/status before {}", app.name));
    all.insert("ExecCondition", condition.into_iter().collect());
    let first = if app.pre_start.is_some() { "pre-start" } else { "app" };
    let is_renewed = app.restart != "no" && service == format!("{first}-{}", app.name);
    let renews = is_renewed.then(|| format!("/usr/lib/gantry/status renew {}", app.name));
    all.insert("ExecStartPre", renews.into_iter().collect());
    all.insert("ExecStartPost", vec![]);
    all
}

fn of_role(app: &App, role: &str, slice: &str) -> Properties {
    let App { name, .. } = app;
    let pre_start = app.pre_start.as_ref().map(|_| format!("pre-start-{name}.service"));
    let post_stop = app.post_stop.as_ref().map(|_| format!("post-stop-{name}.service"));
    let is_app = role == "app";
    let with = |first: &[&str], more: &[&Option<String>]| -> Vec<String> {
        first
            .iter()
            .map(|name| (*name).to_owned())
            .chain(more.iter().filter_map(|name| (*name).clone()))
            .collect()
    };
    let none = None;
    let before = if is_app { &pre_start } else { &none };
    let then = if is_app { &post_stop } else { &none };
    let cleaned = if role == "post-stop" { &none } else { &post_stop };
    let pod = Some("gantry-pod.target".to_owned());
    let (needed, up) = if role == "post-stop" { (None, pod) } else { (pod, None) };
    // The directory of leftovers is on it.
    let run = cleaned.as_ref().map(|_| "-.mount".to_owned());
    let of = if app.restart == "no" { "app" } else { "restarted-app" };
    let mut all = Properties::from([
        ("Requires", with(&[slice], &[&needed])),
        ("Wants", with(&["gantry-stdio.socket"], &[before])),
        ("Requisite", with(&[], &[&up])),
        ("After", with(&["gantry-pod.target", slice, "gantry-stdio.socket"], &[before, cleaned, &run])),
        ("OnSuccess", with(&[], &[then])),
        ("RuntimeDirectory", cleaned.iter().map(|_| format!("gantry-begun/{name}")).collect()),
        ("Type", vec![if is_app { "simple" } else { "oneshot" }.into()]),
        ("TimeoutStopSec", vec![(app.stop_seconds * 1_000_000).to_string()]),
        ("Restart", vec![if is_app { app.restart } else { "no" }.into()]),
    ]);
    let own = match role {
        "app" => Properties::from([
            ("ExecStop", vec![]),
            ("ExecStopPost", vec![format!("/usr/lib/gantry/status {of} {name}")]),
        ]),
        "pre-start" => Properties::from([
            ("ExecStop", vec![]),
            ("ExecStopPost", vec![format!("/usr/lib/gantry/status pre-start {name}")]),
        ]),
        _ => Properties::from([
            ("TimeoutStartSec", vec!["60000000".into()]),
            ("ExecStop", vec![]),
            ("ExecStopPost", vec![format!("/usr/lib/gantry/status post-stop {name}")]),
        ]),
    };
    all.extend(own);
    if role == "post-stop" {
        all.extend([("Conflicts", vec![]), ("OnFailure", vec![])]);
    } else {
        all.insert("Conflicts", vec!["exit.target".into()]);
        all.insert("OnFailure", with(&[&format!("gantry-failed@{role}-{name}.target")], &[then]));
        all.insert("OnFailureJobMode", vec!["replace-irreversibly".into()]);
    }
    if is_app && app.restart != "no" {
        all.insert("RestartSec", vec!["1000000".into()]);
    }
    all
}

/// Normalises a property of the dump: the order of words, and the notation of times.
fn plain(key: &str, value: &str) -> String {
    match key {
        "CapabilityBoundingSet" => {
            let words: BTreeSet<_> = value.split_whitespace().collect();
            words.into_iter().collect::<Vec<_>>().join(" ")
        }
        "CPUQuotaPerSecSec" | "RestartSec" | "TimeoutStopSec" | "TimeoutStartSec" if value != "infinity" => {
            microseconds(value).to_string()
        }
        _ => value.to_owned(),
    }
}

/// Parses a time span as systemd writes it: `1d 2h 3min 4.5s`.
fn microseconds(span: &str) -> u64 {
    let part = |part: &str| {
        let unit = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = part.strip_suffix(unit).unwrap();
        let factor: u64 = match unit {
            "us" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "w" => 604_800_000_000,
            other => panic!("a time unit that is not expected: {other:?} in {span:?}"),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let scale = 10_u64.pow(u32::try_from(fraction.len()).unwrap());
        whole.parse::<u64>().unwrap() * factor + fraction.parse::<u64>().unwrap() * factor / scale
    };
    span.split_whitespace().map(part).sum()
}

fn launch(app: &App, exec: &[String], service: &str, plan: &Plan) -> Vec<String> {
    let file = &plan.files[&format!("etc/gantry/launch/{service}")].content;
    let found: Launch = serde_json::from_str(file).unwrap();
    let mut differences = Vec::new();
    let mut compare = |what: &str, found: String, meant: String| {
        if found != meant {
            differences.push(format!("{service}: {what} is {found}, meant {meant}"));
        }
    };
    let words: Vec<_> = found.exec.words().iter().map(Word::as_str).collect();
    compare("exec", format!("{words:?}"), format!("{exec:?}"));
    let primary = (!app.groups.is_empty()).then_some(app.gid);
    let groups: BTreeSet<u32> = app.groups.iter().copied().chain(primary).collect();
    compare(
        "groups",
        format!("{:?}", found.groups.into_iter().collect::<BTreeSet<_>>()),
        format!("{groups:?}"),
    );
    compare("handler", found.handler.to_string(), (!service.starts_with("app-")).to_string());
    compare("directory", found.directory.into(), app.directory.clone());
    compare("root", found.root.into(), format!("/apps/{}", app.name));
    let environment: BTreeMap<String, String> =
        found.environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    compare("environment", format!("{environment:?}"), format!("{:?}", app.environment));
    let filter = found
        .seccomp
        .map(|filter| (filter.retain, filter.calls.into_iter().collect::<BTreeSet<_>>(), filter.errno));
    compare("seccomp", format!("{filter:?}"), format!("{:?}", app.seccomp));
    let found_set: BTreeSet<_> = found.capabilities.iter().map(|one| one.to_string()).collect();
    let meant: BTreeSet<_> = app.capabilities.iter().map(|name| format!("CAP_{name}")).collect();
    compare("capabilities", format!("{found_set:?}"), format!("{meant:?}"));
    compare("user", found.user.to_string(), app.uid.to_string());
    compare("group", found.group.to_string(), app.gid.to_string());
    differences
}
