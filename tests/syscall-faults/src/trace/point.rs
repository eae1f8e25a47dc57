// SPDX-License-Identifier: Apache-2.0
//! Identifies a call across runs: by its name, the objects it names, and the number of equal calls before it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::event::Event;
use pod::id::PodId;

/// A call that changes something. Random ids in its paths are replaced by `ID`, and those of processes by `PID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The call's name.
    pub call: &'static str,
    objects: Vec<PathBuf>,
    /// The number of equal calls earlier in the run.
    before: usize,
}

/// The points of one run.
#[derive(Debug, Default)]
pub struct Points(HashMap<(&'static str, Vec<PathBuf>), usize>);

impl Points {
    /// Returns the point of the run's next call.
    pub fn at(&mut self, event: &Event) -> Point {
        let objects: Vec<PathBuf> = event.objects.iter().map(|object| without_ids(object)).collect();
        let count = self.0.entry((event.call, objects.clone())).or_default();
        *count += 1;
        Point { call: event.call, objects, before: *count - 1 }
    }
}

fn without_ids(path: &Path) -> PathBuf {
    let is_id = |name: &str| name.parse::<PodId>().is_ok();
    let is_process = |name: &str| path.starts_with("/proc") && name.parse::<u32>().is_ok();
    let part = |name: &'_ OsStr| -> OsString {
        match name.to_str() {
            Some(text) if is_id(text) => "ID".into(),
            Some(text) if is_process(text) => "PID".into(),
            _ => name.to_owned(),
        }
    };
    path.iter().map(part).collect()
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        self.objects.iter().try_for_each(|object| write!(f, " {}", object.display()))?;
        if self.before > 0 { write!(f, ", after {} of these", self.before) } else { Ok(()) }
    }
}
