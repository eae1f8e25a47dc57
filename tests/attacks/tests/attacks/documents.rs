// SPDX-License-Identifier: Apache-2.0
//! Pages with a part that the suite measures, between `<!-- measured: NAME -->` and `<!-- end -->`. The page must say what
//! was measured.
//!
//! `UPDATE_DOCUMENTS=1 cargo test -p attacks` writes these parts anew.

use std::fs;
use std::sync::{Mutex, PoisonError};

use testing::repository;

/// Parts of one page are written by tests that run at the same time.
static WRITING: Mutex<()> = Mutex::new(());

/// Compares a part of a page with what was measured, or writes it. Lines about which this host can't say anything stay as
/// they are: `is_unknown` is asked with a table's first column.
pub(crate) fn check(page: &str, name: &str, measured: &str, is_unknown: impl Fn(&str) -> bool) {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = repository().join(page);
    let whole = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- measured: {name} -->\n");
    let (before, rest) = whole.split_once(&begin).unwrap_or_else(|| panic!("{page} has no {begin}"));
    let (there, after) = rest.split_once("<!-- end -->\n").unwrap();
    let unknown = |line: &&str| is_unknown(line.trim_start_matches("| ").split(" |").next().unwrap_or(""));
    let known = |part: &str| -> Vec<String> {
        part.lines().filter(|line| !unknown(line)).map(str::to_owned).collect()
    };
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(path, format!("{before}{begin}{measured}<!-- end -->\n{after}")).unwrap();
        return;
    }
    let (there, found) = (known(there), known(measured));
    let wrong: Vec<_> = found.iter().filter(|line| !there.contains(line)).collect();
    assert!(there == found, "{page} is old: expected what UPDATE_DOCUMENTS=1 writes, among it {wrong:#?}");
}
