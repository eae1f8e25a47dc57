// SPDX-License-Identifier: Apache-2.0
//! Becoming a pod: from here on, this process is stage1's `/init`.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use pod::id::PodId;
use pod::layout;
use pod::text::escape;

/// What Gantry ends with where it fails itself: apps seldom do.
pub(crate) const FAILURE: u8 = 254;

/// The pod directory that a person means: a pod's id below `dir`, or a path.
pub(crate) fn find(pod: &Path, dir: &Path) -> PathBuf {
    match pod.to_str().map(str::parse::<PodId>) {
        Some(Ok(id)) => dir.join(layout::CONTAINERS).join(id.to_string()),
        _ => pod.to_owned(),
    }
}

/// Executes the pod's `/init`, with an environment of TERM alone and the caller's stdio.
///
/// # Errors
/// Where it can't; it returns in no other case.
pub(crate) fn exec(pod: &Path, debug: bool) -> Result<Infallible> {
    let shown = escape(&pod.to_string_lossy());
    std::env::set_current_dir(pod).with_context(|| format!("cannot enter pod directory {shown}"))?;
    let mut command = Command::new(format!("./{}/{}", layout::STAGE1, layout::INIT));
    if debug {
        command.arg("debug");
    }
    command.arg(format!("--failure-code={FAILURE}")).env_clear();
    if let Some(term) = std::env::var_os("TERM") {
        command.env("TERM", term);
    }
    Err(command.exec()).with_context(|| format!("cannot execute stage1/init of pod directory {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_below_dir_and_anything_else_is_a_path() {
        let dir = Path::new("/d");
        let id = "6733c088-a507-4694-aabf-ae0bc1ccaaff";
        assert_eq!(find(Path::new(id), dir), Path::new("/d/containers").join(id));
        let path = format!("./{id}");
        assert_eq!(find(Path::new(&path), dir), Path::new(&path));
        assert_eq!(find(Path::new("pod"), dir), Path::new("pod"));
    }
}
