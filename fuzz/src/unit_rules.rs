// SPDX-License-Identifier: Apache-2.0
//! What rendered units may contain, checked on their text alone. systemd drops what it can't read and continues, so a
//! unit must contain nothing that any reader could misread.

/// The directives that Gantry sets.
const DIRECTIVES: &[&str] = &[
    "After",
    "Before",
    "CPUQuota",
    "CPUWeight",
    "CapabilityBoundingSet",
    "ConditionPathExists",
    "Conflicts",
    "DefaultDependencies",
    "Description",
    "ExecCondition",
    "ExecStart",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
    "IgnoreSIGPIPE",
    "KillMode",
    "KillSignal",
    "MemoryLow",
    "MemoryMax",
    "NoNewPrivileges",
    "OOMPolicy",
    "OOMScoreAdjust",
    "OnFailure",
    "OnFailureJobMode",
    "OnSuccess",
    "Requires",
    "Requisite",
    "Restart",
    "RestartPreventExitStatus",
    "RestartSec",
    "RuntimeDirectory",
    "RuntimeDirectoryPreserve",
    "Slice",
    "Sockets",
    "StandardError",
    "StandardInput",
    "StandardOutput",
    "StartLimitIntervalSec",
    "TasksMax",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "Wants",
];
/// Directives that may occur twice: they add to a list.
const LISTS: &[&str] = &["After"];
/// `-` as it is written in a slice's name.
const ESCAPED: &str = r"\x2d";
/// systemd.unit(5), and the file systems' limit.
const NAME_MAX: usize = 255;

/// A path in stage1 is relative and plain, and its components are file names.
#[track_caller]
pub(crate) fn check_path(path: &str) {
    for component in path.split('/') {
        assert!(!matches!(component, "" | "." | ".."), "{path:?}");
        assert!(component.len() <= NAME_MAX, "{path:?}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let name =
            if path.ends_with(".slice") { component.replace(ESCAPED, "") } else { component.to_owned() };
        assert!(name.bytes().all(plain), "{path:?}");
    }
}

/// A unit has the sections Unit and Service or Slice, once each and in this order, and known directives. Their values
/// are words without characters that have a meaning in systemd.syntax(7) or systemd.service(5).
#[track_caller]
pub(crate) fn check_unit(text: &str) {
    assert!(text.ends_with('\n'));
    // Not lines(), which takes a CR as a part of the line's end.
    let mut sections = Vec::new();
    let mut seen = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(section);
            continue;
        }
        let (directive, value) = line.split_once('=').unwrap();
        assert!(DIRECTIVES.contains(&directive), "{line:?}");
        assert!(LISTS.contains(&directive) || !seen.contains(&directive), "twice: {line:?}");
        seen.push(directive);
        check_value(directive, value);
    }
    assert!(matches!(sections[..], ["Unit", "Service" | "Slice"]), "{sections:?}");
}

fn check_value(directive: &str, value: &str) {
    let shown = || format!("{directive}={value:?}");
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b" -._/:+%".contains(&byte);
    // A slice's name has an app's `-` escaped (systemd.unit(5)).
    let plain = if directive == "Slice" { value.replace(ESCAPED, "") } else { value.to_owned() };
    // A template's instance.
    let plain = if directive == "OnFailure" { plain.replacen('@', "", 1) } else { plain };
    assert!(plain.bytes().all(harmless), "{}", shown());
    assert!(!value.is_empty() && value.trim() == value, "{}", shown());
    assert_eq!(value.contains('%'), directive == "CPUQuota", "{}", shown());
    if let Some(phase) = directive.strip_prefix("Exec") {
        let prefix = if phase == "Start" { ":/usr/lib/gantry/" } else { ":+/usr/lib/gantry/" };
        assert!(value.starts_with(prefix), "{}", shown());
        assert!(!value[1..].contains(':'), "{}", shown());
    }
    match directive {
        "CPUQuota" => {
            let percent: f64 = value.strip_suffix('%').unwrap().parse().unwrap();
            assert!(percent > 0.0, "{}", shown());
        }
        "CPUWeight" => assert!((1..=10_000).contains(&value.parse().unwrap()), "{}", shown()),
        "OOMScoreAdjust" => assert!((-1000..=1000).contains(&value.parse().unwrap()), "{}", shown()),
        "MemoryMax" | "MemoryLow" => drop(value.parse::<u64>().unwrap()),
        "CapabilityBoundingSet" => {
            assert!(value.split(' ').all(|name| name.starts_with("CAP_")), "{}", shown());
        }
        _ => {}
    }
}
