// SPDX-License-Identifier: Apache-2.0
//! `manual DIR`: writes man pages and completions below DIR.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let prefix = std::env::args_os().nth(1).context("expected a directory")?;
    manual::write(&PathBuf::from(prefix))
}
