// SPDX-License-Identifier: Apache-2.0
//! Which command lines are accepted, and which are refused.

use super::*;
use crate::help::called_by;

#[test]
fn arguments_are_consistent() {
    command().debug_assert();
}

#[test]
fn the_program_has_the_name_that_it_was_called_by() {
    for (path, name) in [
        (Some("/usr/bin/gantry"), "gantry"),
        (Some("gantry"), "gantry"),
        (Some("./installer"), "installer"),
        (Some("/usr/bin/other"), "installer"),
        (Some("gantry/"), "gantry"),
        (None, "installer"),
    ] {
        assert_eq!(called_by(path.map(AsRef::as_ref)), name, "{path:?}");
    }
}

#[test]
fn usage_table() {
    let parse = |words: &[&str]| {
        let words = std::iter::once("installer").chain(words.iter().copied());
        Arguments::try_parse_from(words).and_then(understood)
    };
    for good in [
        &["prepare", "--image", "a"][..],
        &["--dir", "d", "run", "--image", "a", "--image", "b", "--debug"],
        &["run", "pod", "--dir", "d"],
        &["run", "a", "b", "-e", "A=1", "-v", "/a:/b"],
        &["run", "-d", "--log-opt", "max-size=1m", "--rm", "--name", "n", "-l", "a=b", "a"],
        &["run", "-e", "A=1", "a", "--", "-x", "--y"],
        &["run", "a", "--read-only", "--read-only=false", "--stage1", "s", "--layout", "copy"],
        &["prepare", "--pod-manifest", "m"],
        &["prepare", "a", "b"],
        &["start", "a", "b"],
        &["start", "--attach", "a"],
        &["logs", "a", "-f", "-n", "3", "--since", "5m", "--app", "web"],
        &["prepare", "--image", "a", "--pod-manifest", "m"],
        &["prepare", "--image", "a", "--volume", "v,kind=host,source=/"],
        &["prepare", "--image", "sha256-0", "--layout", "copy", "--max-bytes", "1Gi", "--max-depth", "9"],
        &["image", "import", "a", "b"],
        &["image", "list", "--format", "json"],
        &["image", "rm", "sha256-0", "name"],
        &["gc", "--dir", "d"],
        &["gc", "--grace", "0"],
        &["list"],
        &["ps", "--state", "running", "--state", "exited", "-q"],
        &["list", "--format", "json", "--full"],
        &["status", "6733"],
        &["status", "6733", "--wait"],
        &["status", "--wait=30s", "6733", "--format", "json"],
        &["inspect", "a", "b"],
        &["cat-manifest", "."],
        &["wait", "a", "b"],
        &["stop", "a", "b", "--timeout", "5m"],
        &["stop", "--force", "a"],
        &["kill", "-s", "HUP", "--app", "web", "a"],
        &["kill", "a"],
        &["rm", "-f", "a", "b"],
        &["df", "--format", "json"],
        &["verify", "--repair", "a", "--max-depth", "9", "--max-decoder-memory", "65Mi"],
        &["verify"],
    ] {
        assert!(parse(good).is_ok(), "{good:?}");
    }
    for bad in [
        &[][..],
        &["prepare"],
        &["run"],
        &["run", "pod", "--image", "a"],
        &["run", "-e", "A=1", "a", "b"],
        &["run", "-e", "A=1"],
        &["run", "a", "--log-driver", "none"],
        &["prepare", "--pod-manifest", "m", "-e", "A=1"],
        &["prepare", "--", "x"],
        &["start"],
        &["start", "--attach", "a", "b"],
        &["logs"],
        &["logs", "a", "--since", "soon"],
        &["prepare", "--image", "a", "--pod-manifest", "m", "--volume", "v,kind=host,source=/"],
        &["prepare", "--image", "a", "--stage1-sha256", "x"],
        &["prepare", "--image", "a@sha256-x"],
        &["prepare", "--image", "a", "--dir", "a\nb"],
        &["prepare", "--image", "a", "--layout", "other"],
        &["prepare", "--image", "a", "--max-bytes", "-1"],
        &["image"],
        &["image", "import"],
        &["image", "rm"],
        &["image", "list", "--format", "xml"],
        &["gc", "a"],
        &["gc", "--grace", "soon"],
        &["list", "--state", "dead"],
        &["list", "-q", "--format", "json"],
        &["status"],
        &["status", "a", "b"],
        &["status", "a", "--wait=x"],
        &["inspect"],
        &["cat-manifest"],
        &["wait"],
        &["stop"],
        &["stop", "--force", "--timeout", "3", "a"],
        &["kill", "-s", "NONE", "a"],
        &["rm"],
        &["df", "a"],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}
