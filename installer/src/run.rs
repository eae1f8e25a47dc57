// SPDX-License-Identifier: Apache-2.0
//! Run: becomes the `/init` of a prepared pod.

use std::convert::Infallible;
use std::env;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::{chdir, execve};
use pod::id::PodId;
use pod::layout;

use crate::input::shown;

/// What `run` exits with where Gantry fails; the pod's own codes are all others.
pub(crate) const FAILURE: u8 = 254;

/// The directory of a pod that is named by its id or its directory.
pub(crate) fn find(directory: &Path, pod: &Path) -> Result<PathBuf> {
    let id: Option<PodId> = pod.to_str().and_then(|text| text.parse().ok());
    let path = match id {
        Some(id) => directory.join(layout::CONTAINERS).join(id.to_string()),
        None => pod.to_owned(),
    };
    let path = path
        .canonicalize()
        .with_context(|| format!("pod {}: expected a pod's id or directory", shown(pod)))?;
    Ok(path)
}

/// Becomes the pod's `/init`. Of the caller's environment only TERM is passed on.
pub(crate) fn exec(pod: &Path, debug: bool) -> Result<Infallible> {
    let about = || format!("pod {}", shown(pod));
    chdir(pod).with_context(about)?;
    let init = CString::new(format!("./{}/{}", layout::STAGE1, layout::INIT))?;
    let mut arguments = vec![init.clone()];
    arguments.extend(debug.then(|| c"debug".to_owned()));
    arguments.push(CString::new(format!("--failure-code={FAILURE}"))?);
    let environment: Vec<CString> = env::var_os("TERM")
        .and_then(|term| CString::new([b"TERM=".to_vec(), term.into_vec()].concat()).ok())
        .into_iter()
        .collect();
    execve(&init, &arguments, &environment).with_context(|| format!("{}: cannot execute its /init", about()))
}
