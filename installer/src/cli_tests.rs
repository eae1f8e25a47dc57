// SPDX-License-Identifier: Apache-2.0
//! Which command lines are accepted, and which are refused.

use clap::CommandFactory as _;

use super::*;

#[test]
fn arguments_are_consistent() {
    Arguments::command().debug_assert();
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
        &["prepare", "--image", "a", "--pod-manifest", "m"],
        &["prepare", "--image", "a", "--volume", "v,kind=host,source=/"],
        &["prepare", "--image", "sha256-0", "--layout", "copy", "--max-bytes", "1Gi", "--max-depth", "9"],
        &["image", "import", "a", "b"],
        &["image", "list", "--format", "json"],
        &["image", "rm", "sha256-0", "name"],
        &["gc", "--dir", "d"],
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
        &["run", "pod", "--stage1", "a"],
        &["run", "pod", "--layout", "copy"],
        &["prepare", "--image", "a", "--pod-manifest", "m", "--volume", "v,kind=host,source=/"],
        &["prepare", "--image", "a", "--stage1-sha256", "x"],
        &["prepare", "--image", "a@sha256-x"],
        &["prepare", "--image", "a", "--dir", "a\nb"],
        &["prepare", "--image", "a", "--layout", "other"],
        &["prepare", "--image", "a", "--max-bytes", "-1"],
        &["prepare", "--image", "a", "b"],
        &["image"],
        &["image", "import"],
        &["image", "rm"],
        &["image", "list", "--format", "xml"],
        &["gc", "a"],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}
