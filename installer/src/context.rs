// SPDX-License-Identifier: Apache-2.0
//! What commands share: the directory and the signal that they work with, and how they print and sweep.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;
use image::stage1::BuiltIn;
use pod::text::escape;
use serde_json::Value;
use store::DataDir;
use store::staging::{Mounted, Staging};
use sys::Interrupt;

use crate::exit::Exit;
use crate::ui::Ui;

/// The values that every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The directory DIR, as an absolute path.
    pub(crate) dir: PathBuf,
    /// The signal that ends a command early.
    pub(crate) interrupt: Interrupt,
    /// The stage1 that is built into this program.
    pub(crate) built_in: Option<&'static BuiltIn>,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

impl Context {
    /// Runs `task` on DIR's store, if there is one. Leaves no directories behind that opening the store has created.
    pub(crate) fn in_store(&self, task: impl FnOnce(&DataDir) -> Result<Exit>) -> Result<Option<Exit>> {
        let Some(data_dir) = DataDir::find(&self.dir, &self.interrupt, &Ui)? else { return Ok(None) };
        // If the store was removed right before it was opened, then opening it has created it anew. It is not kept.
        task(&data_dir).map(Some)
    }

    /// Checks that DIR is a directory. Its owner doesn't matter.
    pub(crate) fn check_dir(&self) -> Result<()> {
        if !Path::is_dir(&self.dir) {
            let dir = escape(&self.dir.to_string_lossy());
            bail!("no directory {dir}: expected --dir to name the directory of pods and images");
        }
        Ok(())
    }
}

/// Formats a document for programs. What a terminal could obey is escaped: JSON leaves control characters above 127 as
/// they are.
pub(crate) fn json(document: &Value) -> String {
    let escaped = |c: char| match c {
        '\n' => "\n".to_owned(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("{document:#}\n").chars().map(escaped).collect()
}

/// Sweeps staging. Directories that stay because something is mounted in them are reported, and are a failure.
pub(crate) fn sweep(data_dir: &DataDir) -> Result<Exit> {
    let mut exit = Exit::Done;
    for mounted in Staging::sweep(data_dir)? {
        exit = report_mounted("cannot remove what a dead run left".into(), mounted);
    }
    Ok(exit)
}

/// Reports what stays because something is mounted in it, which is a failure.
pub(crate) fn report_mounted(what: String, mounted: Mounted) -> Exit {
    Ui.error(&anyhow::Error::new(mounted).context(what));
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_it_obeys() {
        let text = json(&serde_json::json!({"a": "\u{9b}31m\u{7f}ä\n"}));
        assert_eq!(text, "{\n  \"a\": \"\\u009b31m\\u007fä\\n\"\n}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["a"], "\u{9b}31m\u{7f}ä\n");
    }
}
